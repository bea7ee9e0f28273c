// SPDX-License-Identifier: GPL-2.0-or-later
//! Rows of the same form and architecture as one.

use kop_reports::{Row, Variant};

/// The most remarks and restored registers of a row.
const MOST_WORDS: usize = 32;

/// What the rows say of states that nobody looked at, behind their number.
const UNINVESTIGATED: &str = " further states of the form went wrong and were counted, not investigated";

/// Adds what a unit counted to what was counted before.
pub fn add(rows: &mut Vec<Row>, more: &[Row]) {
    for row in more {
        let same =
            |known: &&mut Row| (&known.name, &known.form, &known.arch) == (&row.name, &row.form, &row.arch);
        match rows.iter_mut().find(same) {
            Some(known) => join(known, row),
            None => rows.push(row.clone()),
        }
    }
}

fn join(row: &mut Row, more: &Row) {
    row.payloads += more.payloads;
    row.payloads_inspected += more.payloads_inspected;
    row.states += more.states;
    row.observed += more.observed;
    row.untested = if row.states > 0 { None } else { row.untested.take().or_else(|| more.untested.clone()) };
    for engine in &more.engines {
        if !row.engines.contains(engine) {
            row.engines.push(engine.clone());
        }
    }
    for variant in &more.variants {
        match row.variants.iter_mut().find(|known| known.features == variant.features) {
            None => row.variants.push(variant.clone()),
            Some(known) => {
                let states = known.states + variant.states;
                let untested = known.untested.take().or_else(|| variant.untested.clone());
                *known = Variant { states, untested: untested.filter(|_| states == 0), ..known.clone() };
            }
        }
    }
    union(&mut row.clobbers, &more.clobbers);
    union(&mut row.warnings, &more.warnings);
    for (class, count) in &more.classes {
        *row.classes.entry(class.clone()).or_default() += count;
    }
}

/// Words that are new are added; where both say how many states nobody looked at, the numbers are.
fn union(words: &mut Vec<String>, more: &[String]) {
    for word in more {
        if let Some(count) = uninvestigated(word)
            && let Some(known) = words.iter_mut().find(|known| uninvestigated(known).is_some())
        {
            *known = format!("{}{UNINVESTIGATED}", count + uninvestigated(known).unwrap_or(0));
        } else if !words.contains(word) && words.len() < MOST_WORDS {
            words.push(word.clone());
        }
    }
}

fn uninvestigated(word: &str) -> Option<u64> {
    word.strip_suffix(UNINVESTIGATED)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(states: u64) -> Row {
        let variant = Variant { features: "bmi2".to_owned(), states, untested: None };
        Row {
            states,
            payloads: 3,
            untested: (states == 0).then(|| "nobody ran it".to_owned()),
            engines: vec!["spec".to_owned()],
            variants: vec![variant],
            warnings: vec![format!("{states}{UNINVESTIGATED}"), "odd".to_owned()],
            classes: [("alias distinct".to_owned(), states)].into(),
            ..Row::of_case("rotate", "imm64", "x86_64")
        }
    }

    #[test]
    fn counts_are_sums_and_words_are_said_once() {
        let mut rows = Vec::new();
        [0, 5, 7].into_iter().for_each(|states| add(&mut rows, &[row(states)]));
        let other = Row::of_case("rotate", "imm64", "aarch64");
        add(&mut rows, std::slice::from_ref(&other));
        let expected = Row { payloads: 9, untested: None, ..row(12) };
        assert_eq!(rows, [expected, other]);
    }

    #[test]
    fn what_nobody_ran_stays_untested() {
        let mut rows = Vec::new();
        (0..2).for_each(|_| add(&mut rows, &[row(0)]));
        assert_eq!(rows[0].untested.as_deref(), Some("nobody ran it"));
    }
}
