// SPDX-License-Identifier: GPL-2.0-or-later
//! Numbers in words, and what a record says in a few, as every rendering has them.

use crate::record::Record;
use crate::standing::Standing;

/// A number with commas between thousands.
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number and a noun, in the plural but for one.
pub(crate) fn plural(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(n), if n == 1 { "" } else { "s" })
}

/// Seconds as `12.3 s` or `5 min 2 s`.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let seconds = seconds as u64;
    format!("{} min {} s", number(seconds / 60), seconds % 60)
}

/// A part of one as `97.5%`; only all of it is `100.0%`.
pub(crate) fn percent(part: f64) -> String {
    let tenths = (part * 1000.0).floor();
    format!("{:.1}%", tenths / 10.0)
}

/// Milliseconds as `850 us`, `12.5 ms` or `3.2 s`.
pub(crate) fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms < 1.0 => format!("{:.0} us", ms * 1000.0),
        ms if ms < 1000.0 => format!("{ms:.1} ms"),
        ms => format!("{:.1} s", ms / 1000.0),
    }
}

/// What the record says, in a few words.
pub(crate) fn headline(record: &Record) -> String {
    let rows = record.ops.len() as u64;
    let survivors = record.mutation.as_ref().map_or(0, |mutation| mutation.survivors.len() as u64);
    match (record.count(Standing::Divergent), record.count(Standing::Known)) {
        (0, _) if survivors > 0 => format!("{} survived", plural(survivors, "mutant")),
        (0, _) if record.mutation.as_ref().is_some_and(|mutation| !mutation.holds()) => {
            "the mutation score dropped".to_owned()
        }
        (0, 0) if rows == 0 && record.mutation.is_some() => "no mutant survived".to_owned(),
        (0, 0) if record.count(Standing::Equivalent) == 0 => "nothing was tested".to_owned(),
        (0, 0) => format!("no divergence in {}", plural(rows, "row")),
        (0, known) => format!("no new divergence; {} known", plural(known, "row")),
        (divergent, _) => format!("{} of {} divergent", number(divergent), plural(rows, "row")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas_between_thousands() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (123_456, "123,456"),
            (7_929_856, "7,929,856"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(number(n), text);
        }
        assert_eq!(plural(1, "row"), "1 row");
        assert_eq!(plural(0, "row"), "0 rows");
    }

    #[test]
    fn only_all_is_all() {
        assert_eq!([1.0, 0.99999, 0.5, 0.0].map(percent), ["100.0%", "99.9%", "50.0%", "0.0%"]);
        assert_eq!([0.25, 1.0, 999.0, 1500.0].map(milliseconds), ["250 us", "1.0 ms", "999.0 ms", "1.5 s"]);
    }
}
