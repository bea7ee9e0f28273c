// SPDX-License-Identifier: GPL-2.0-or-later
//! Known divergences: a list of what is not to fail for now, each with a reason and a day on which it runs out.
//!
//! ```toml
//! [[known]]
//! operation = "rotate"
//! form = "imm64"
//! arch = "x86_64"
//! kind = "register"
//! payload = "0xd513"       # any payload without it
//! place = "r3"             # any first difference without it
//! reason = "the emit is wrong for an amount of 13; fixed with the next release"
//! expires = "2027-01-31"
//! ```

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::record::{Divergence, Kind, Record, Row, RowVerdict};

/// Why a divergence is no failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Known {
    /// The reason.
    pub reason: String,
    /// The last day on which that is so, as `2027-01-31`.
    pub expires: String,
}

/// A list of known divergences.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownList {
    #[serde(default)]
    known: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    operation: String,
    form: String,
    arch: String,
    kind: Kind,
    payload: Option<String>,
    place: Option<String>,
    reason: String,
    expires: Date,
}

/// What became of the entries of a list that cover nothing, a line for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// What is a failure: an entry that has run out, and one whose row was run and has no such divergence.
    pub complaints: Vec<String>,
    /// What is none: an entry whose row was not run.
    pub notes: Vec<String>,
}

impl KnownList {
    /// Reads a list from TOML.
    ///
    /// # Errors
    /// One line with the line's number, when the text is no TOML, or an entry lacks a field, has one that is not known, no
    /// reason, or a day that does not exist.
    pub fn parse(text: &str) -> Result<Self, String> {
        let list: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            format!("line {line}: {}", error.message().replace('\n', " "))
        })?;
        match list.known.iter().find(|entry| entry.reason.trim().is_empty()) {
            Some(entry) => Err(format!("{entry}: the reason is empty")),
            None => Ok(list),
        }
    }

    /// Marks the divergences of `record` that are listed, and brings its verdict up to date.
    pub fn apply(&self, record: &mut Record, today: Date) -> Judged {
        let mut judged = Judged::default();
        for entry in &self.known {
            if entry.expires < today {
                judged.complaints.push(format!("{entry}: expired on {} ({})", entry.expires, entry.reason));
                continue;
            }
            let mut matched = false;
            for row in record.ops.iter_mut().filter(|row| entry.is_of(row)) {
                for divergence in row.divergences.iter_mut().filter(|divergence| entry.covers(divergence)) {
                    matched = true;
                    divergence.known =
                        Some(Known { reason: entry.reason.clone(), expires: entry.expires.to_string() });
                }
            }
            if matched {
                continue;
            }
            let mut rows = record.ops.iter().filter(|row| entry.is_of(row)).peekable();
            let (is_there, was_run) =
                (rows.peek().is_some(), rows.any(|row| row.verdict != RowVerdict::Untested));
            let reason = &entry.reason;
            match (is_there, was_run) {
                (_, true) => judged
                    .complaints
                    .push(format!("{entry}: matches nothing, the row has no such divergence ({reason})")),
                (true, false) => {
                    judged.notes.push(format!("{entry}: not judged, the row is untested ({reason})"));
                }
                (false, false) => {
                    judged.notes.push(format!("{entry}: not judged, the report has no such row ({reason})"));
                }
            }
        }
        record.verdict = Record::verdict_of(&record.ops);
        judged
    }
}

impl Entry {
    fn is_of(&self, row: &Row) -> bool {
        self.operation == row.name && self.form == row.form && self.arch == row.arch
    }

    fn covers(&self, divergence: &Divergence) -> bool {
        let place = || divergence.first_difference.as_ref().map(|difference| &difference.r#where);
        self.kind == divergence.kind
            && self.payload.as_ref().is_none_or(|payload| *payload == divergence.payload)
            && self.place.as_ref().is_none_or(|wanted| place() == Some(wanted))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "known divergence {} {} {} {}", self.operation, self.form, self.arch, self.kind)?;
        for text in [&self.payload, &self.place].into_iter().flatten() {
            write!(f, " {text}")?;
        }
        Ok(())
    }
}

/// A day of the Gregorian calendar, in the years 1970 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Date {
    year: u32,
    month: u32,
    day: u32,
}

impl Date {
    /// Today in UTC.
    pub fn today() -> Self {
        // A clock that stands before 1970 is wrong whatever is made of it.
        let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::of_days(passed.as_secs() / 86_400)
    }

    /// The day so many days after the first of January 1970.
    fn of_days(mut days: u64) -> Self {
        let (mut year, mut month) = (1970, 1);
        while days >= 365 + u64::from(is_leap(year)) {
            days -= 365 + u64::from(is_leap(year));
            year += 1;
        }
        while days >= u64::from(days_of(year, month)) {
            days -= u64::from(days_of(year, month));
            month += 1;
        }
        Self { year, month, day: days as u32 + 1 }
    }

    fn parse(text: &str) -> Option<Self> {
        let is_plain = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
        let parts: Vec<&str> = text.split('-').filter(is_plain).collect();
        let &[year, month, day] = parts.as_slice() else { return None };
        if (year.len(), month.len(), day.len()) != (4, 2, 2) || text.len() != 10 {
            return None;
        }
        let date = Self { year: year.parse().ok()?, month: month.parse().ok()?, day: day.parse().ok()? };
        let exists = date.year >= 1970
            && (1..=12).contains(&date.month)
            && (1..=days_of(date.year, date.month)).contains(&date.day);
        exists.then_some(date)
    }
}

impl TryFrom<String> for Date {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is no day, such as 2027-01-31"))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

const fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_of(year: u32, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Verdict;
    use crate::samples::{KNOWN, divergent, fault_divergence, record, register_divergence, row, untested};
    use crate::standing::Standing;

    fn date(text: &str) -> Date {
        Date::parse(text).expect(text)
    }

    fn apply(list: &str, today: &str) -> (Record, Vec<String>) {
        let mut record = record(vec![divergent(vec![register_divergence()])]);
        let judged = KnownList::parse(list).expect("a list").apply(&mut record, date(today));
        assert_eq!(judged.notes, [""; 0]);
        (record, judged.complaints)
    }

    #[test]
    fn a_known_divergence_is_no_failure_until_it_expires() {
        for today in ["2026-12-31", "2027-01-31"] {
            let (record, complaints) = apply(KNOWN, today);
            assert_eq!(complaints, [""; 0]);
            assert_eq!((record.verdict, record.ops[0].standing()), (Verdict::Equivalent, Standing::Known));
            let known = record.ops[0].divergences[0].known.as_ref().expect("known");
            assert_eq!((known.reason.as_str(), known.expires.as_str()), ("fixed soon", "2027-01-31"));
        }
        let (record, complaints) = apply(KNOWN, "2027-02-01");
        let expected = "known divergence rotate imm64 x86_64 register: expired on 2027-01-31 (fixed soon)";
        assert_eq!(complaints, [expected]);
        assert_eq!((record.verdict, record.ops[0].standing()), (Verdict::Divergent, Standing::Divergent));
    }

    #[test]
    fn an_entry_that_matches_nothing_is_told_on_one_line() {
        for other in [
            KNOWN.replace("\"register\"", "\"memory\""),
            format!("{KNOWN}payload = \"0xd514\"\n"),
            format!("{KNOWN}place = \"r5\"\n"),
        ] {
            let (_, complaints) = apply(&other, "2026-12-31");
            assert_eq!(complaints.len(), 1, "{other}");
            assert!(complaints[0].contains("the row has no such divergence (fixed soon)"), "{complaints:?}");
        }
        let (_, complaints) = apply(&format!("{KNOWN}payload = \"0xd513\"\nplace = \"r3\"\n"), "2026-12-31");
        assert_eq!(complaints, [""; 0]);
    }

    #[test]
    fn an_entry_for_a_row_that_was_not_run_is_not_judged() {
        let list = KnownList::parse(&KNOWN.replace("imm64", "imm32")).expect("a list");
        let known = "known divergence rotate imm32 x86_64 register";
        let without = record(vec![row("rotate", "imm64", "x86_64")]);
        let absent = Row { arch: "x86_64".to_owned(), ..untested("rotate", "imm32", "no engine") };
        for (mut record, why) in
            [(without, "the report has no such row"), (record(vec![absent]), "the row is untested")]
        {
            let judged = list.apply(&mut record, date("2026-12-31"));
            assert_eq!(judged.notes, [format!("{known}: not judged, {why} (fixed soon)")]);
            assert_eq!(judged.complaints, [""; 0]);
            // It runs out all the same.
            let judged = list.apply(&mut record, date("2027-02-01"));
            assert_eq!((judged.notes.len(), judged.complaints.len()), (0, 1));
        }
        let mut ran = record(vec![row("rotate", "imm32", "x86_64")]);
        let judged = list.apply(&mut ran, date("2026-12-31"));
        assert_eq!((judged.notes.len(), judged.complaints.len()), (0, 1));
    }

    #[test]
    fn a_row_with_one_divergence_that_is_not_known_is_divergent() {
        let mut record = record(vec![divergent(vec![register_divergence(), fault_divergence()])]);
        let list = KnownList::parse(KNOWN).expect("a list");
        assert_eq!(list.apply(&mut record, date("2026-12-31")), Judged::default());
        assert_eq!((record.verdict, record.ops[0].standing()), (Verdict::Divergent, Standing::Divergent));
    }

    #[test]
    fn what_is_no_list_is_told_on_one_line_with_its_number() {
        for (text, expected) in [
            ("[[known]", "line 1: "),
            (&KNOWN.replace("reason", "reasons"), "line 7: unknown field `reasons`"),
            (&KNOWN.replace("kind = \"register\"\n", ""), "line 2: missing field `kind`"),
            (
                &KNOWN.replace("fixed soon", " "),
                "known divergence rotate imm64 x86_64 register: the reason is",
            ),
            (&KNOWN.replace("01-31", "02-29"), "line 8: `2027-02-29` is no day, such as 2027-01-31"),
            (&KNOWN.replace("\"register\"", "\"colour\""), "line 6: unknown variant `colour`"),
        ] {
            let error = KnownList::parse(text).expect_err(text);
            assert!(error.starts_with(expected), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
        assert_eq!(KnownList::parse(""), Ok(KnownList::default()));
    }

    /// Days since 1970 by GNU date: `date -u -d 2028-02-29 +%s`, divided by 86,400.
    #[test]
    fn days_are_those_of_the_calendar() {
        for (days, text) in [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (20_512, "2026-02-28"),
            (21_243, "2028-02-29"),
            (21_244, "2028-03-01"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(
                (Date::of_days(days).to_string(), Date::parse(text)),
                (text.to_owned(), Some(Date::of_days(days)))
            );
        }
        for text in [
            "2027-1-31",
            "2027-13-01",
            "2027-00-10",
            "2027-04-31",
            "+027-01-01",
            "2027-01-31T",
            "1969-12-31",
            "",
        ] {
            assert_eq!(Date::parse(text), None, "{text}");
        }
    }
}
