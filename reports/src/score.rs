// SPDX-License-Identifier: GPL-2.0-or-later
//! The mutation score that was last agreed upon, in a file of its own: what a later run is compared with.

use serde::{Deserialize, Serialize};

use crate::mutation::{MutatedSide, Mutation, MutationRow, Sample};
use crate::words::{number, plural};

/// The schema's name and version.
const SCHEMA: &str = "kop-mutation-score/1";

/// How many mutants each row has, and what became of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    schema: String,
    rows: Vec<Counts>,
}

/// The mutants of one side of one form on one architecture, as in [`MutationRow`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    name: String,
    form: String,
    arch: String,
    side: MutatedSide,
    mutants: u64,
    killed: u64,
    equivalent: u64,
    survived: u64,
    /// Counts of other samples say nothing of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sample: Option<Sample>,
}

impl Default for Baseline {
    fn default() -> Self {
        Self { schema: SCHEMA.to_owned(), rows: Vec::new() }
    }
}

impl Baseline {
    /// Reads a baseline.
    ///
    /// # Errors
    /// One line, when the text is no JSON, or no baseline of this version.
    pub fn from_json(json: &str) -> Result<Self, String> {
        let baseline: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        match baseline.schema.as_str() {
            SCHEMA => Ok(baseline),
            other => Err(format!("the schema is `{other}`, not `{SCHEMA}`")),
        }
    }

    /// The baseline as JSON, a line for each row.
    pub fn to_json(&self) -> String {
        let row = |row: &Counts| serde_json::to_string(row).expect("counts are JSON");
        let rows: Vec<String> = self.rows.iter().map(|counts| format!("    {}", row(counts))).collect();
        format!("{{\n  \"schema\": \"{SCHEMA}\",\n  \"rows\": [\n{}\n  ]\n}}\n", rows.join(",\n"))
    }

    /// Takes over what a run says of the rows that it has wholly.
    pub fn update(&mut self, mutation: &Mutation) {
        for row in mutation.rows.iter().filter(|row| row.left_out == 0) {
            let counts = Counts {
                name: row.name.clone(),
                form: row.form.clone(),
                arch: row.arch.clone(),
                side: row.side,
                mutants: row.mutants,
                killed: row.killed,
                equivalent: row.equivalent,
                survived: row.survived,
                sample: row.sample,
            };
            match self.rows.iter_mut().find(|known| known.is_of(row)) {
                Some(known) => *known = counts,
                None => self.rows.push(counts),
            }
        }
    }

    /// Notes in `mutation` what is worse, in [`Mutation::dropped`], and what else is not as it was, in [`Mutation::remarks`].
    ///
    /// Worse is a row with more survivors, and one in which fewer are killed of as many mutants.
    pub fn compare(&self, mutation: &mut Mutation) {
        let (mut dropped, mut remarks) = (Vec::new(), Vec::new());
        for row in &mutation.rows {
            let known = self.rows.iter().find(|known| known.is_of(row));
            match (drop_of(known, row), known) {
                (Some(drop), _) => dropped.push(format!("{}: {drop}", row.title())),
                (None, None) => remarks.push(format!("{}: the recorded score has no such row", row.title())),
                (None, Some(_)) if row.left_out > 0 => {}
                (None, Some(known)) => {
                    remarks.extend(change(known, row).map(|change| format!("{}: {change}", row.title())));
                }
            }
        }
        let absent = self.rows.iter().filter(|known| !mutation.rows.iter().any(|row| known.is_of(row)));
        let absent = absent.count() as u64;
        if absent > 0 {
            remarks.push(format!(
                "{} of the recorded score not judged: no mutant of them here",
                plural(absent, "row")
            ));
        }
        mutation.dropped.extend(dropped);
        mutation.remarks.extend(remarks);
    }
}

impl Counts {
    fn is_of(&self, row: &MutationRow) -> bool {
        (&self.name, &self.form, &self.arch, self.side) == (&row.name, &row.form, &row.arch, row.side)
    }
}

/// What is worse.
fn drop_of(known: Option<&Counts>, row: &MutationRow) -> Option<String> {
    let survived = known.map_or(0, |known| known.survived);
    if row.survived > survived {
        return Some(format!("{} survived, {} did", plural(row.survived, "mutant"), number(survived)));
    }
    let are_same = |known: &&Counts| (known.mutants, known.sample) == (row.mutants, row.sample);
    let known = known.filter(|known| row.left_out == 0 && are_same(known))?;
    (row.killed < known.killed).then(|| {
        let (mutants, killed) = (number(row.mutants), number(row.killed));
        format!("{killed} of {mutants} mutants killed, {} were", number(known.killed))
    })
}

/// What is not as it was, and no worse.
fn change(known: &Counts, row: &MutationRow) -> Option<String> {
    if known.sample != row.sample {
        return Some(
            "other mutants than those of the recorded score, of which survivors alone are compared"
                .to_owned(),
        );
    }
    if known.mutants != row.mutants {
        return Some(format!("{}, there were {}", plural(row.mutants, "mutant"), number(known.mutants)));
    }
    (row.survived < known.survived || row.killed > known.killed).then(|| {
        let (mutants, killed) = (number(row.mutants), number(row.killed));
        format!("better, {killed} of {mutants} mutants killed, {} were", number(known.killed))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, mutants: u64, killed: u64, survived: u64) -> MutationRow {
        MutationRow {
            name: name.to_owned(),
            form: "imm64".to_owned(),
            arch: "x86_64".to_owned(),
            mutants,
            killed,
            equivalent: mutants - killed - survived,
            survived,
            ..MutationRow::default()
        }
    }

    fn of(rows: impl IntoIterator<Item = MutationRow>) -> Mutation {
        Mutation { rows: rows.into_iter().collect(), ..Mutation::default() }
    }

    /// What is worse and what is other in the second run.
    fn compared(first: &[MutationRow], second: &[MutationRow]) -> (Vec<String>, Vec<String>) {
        let mut baseline = Baseline::default();
        baseline.update(&of(first.to_vec()));
        let baseline = Baseline::from_json(&baseline.to_json()).expect("it was written");
        let mut mutation = of(second.to_vec());
        baseline.compare(&mut mutation);
        (mutation.dropped, mutation.remarks)
    }

    #[test]
    fn the_same_again_is_nothing_to_tell() {
        let rows = [row("rotate", 10, 8, 0), row("select", 1200, 1000, 2)];
        assert_eq!(compared(&rows, &rows), (Vec::new(), Vec::new()));
    }

    #[test]
    fn fewer_kills_and_more_survivors_are_a_drop() {
        let was = [row("rotate", 1200, 1000, 1)];
        let drop = |is: MutationRow| compared(&was, &[is]);
        let expected = |text: &str| (vec![format!("rotate imm64 x86_64 emit: {text}")], Vec::new());
        assert_eq!(drop(row("rotate", 1200, 999, 2)), expected("2 mutants survived, 1 did"));
        assert_eq!(drop(row("rotate", 1200, 999, 1)), expected("999 of 1,200 mutants killed, 1,000 were"));
        // Fewer kills of fewer mutants are none, more survivors are.
        assert_eq!(drop(row("rotate", 900, 800, 1)).0, [""; 0]);
        assert_eq!(drop(row("rotate", 900, 800, 2)), expected("2 mutants survived, 1 did"));
        let (dropped, _) = compared(&[], &[row("rotate", 10, 9, 1)]);
        assert_eq!(dropped, ["rotate imm64 x86_64 emit: 1 mutant survived, 0 did"]);
    }

    #[test]
    fn what_is_other_and_no_worse_is_told() {
        let was = [row("rotate", 10, 8, 1), row("select", 10, 8, 0)];
        let is = [row("rotate", 10, 9, 0), row("extract", 4, 4, 0)];
        let (dropped, remarks) = compared(&was, &is);
        assert_eq!(dropped, [""; 0]);
        let expected = [
            "rotate imm64 x86_64 emit: better, 9 of 10 mutants killed, 8 were",
            "extract imm64 x86_64 emit: the recorded score has no such row",
            "1 row of the recorded score not judged: no mutant of them here",
        ];
        assert_eq!(remarks, expected);
    }

    #[test]
    fn of_a_row_that_is_not_whole_survivors_alone_are_judged_and_nothing_is_taken_over() {
        let was = [row("rotate", 10, 8, 0)];
        let partial = |survived| MutationRow { left_out: 5, ..row("rotate", 5, 2, survived) };
        assert_eq!(compared(&was, &[partial(0)]), (Vec::new(), Vec::new()));
        assert_eq!(compared(&was, &[partial(1)]).0.len(), 1);
        let mut baseline = Baseline::default();
        baseline.update(&of([partial(0)]));
        assert_eq!(baseline, Baseline::default());
    }

    #[test]
    fn of_other_samples_survivors_alone_are_judged() {
        let sampled = |seed, killed, survived| {
            let sample = Some(Sample { of: 1000, seed });
            MutationRow { sample, ..row("rotate", 10, killed, survived) }
        };
        let was = [sampled(0, 8, 0)];
        assert_eq!(compared(&was, &[sampled(0, 7, 0)]).0.len(), 1);
        assert_eq!(compared(&was, &[sampled(0, 8, 0)]), (Vec::new(), Vec::new()));
        let (dropped, remarks) = compared(&was, &[sampled(1, 7, 0)]);
        assert_eq!((dropped.len(), remarks.len()), (0, 1), "{remarks:?}");
        assert_eq!(compared(&was, &[sampled(1, 9, 1)]).0.len(), 1);
        assert_eq!(compared(&was, &[row("rotate", 10, 7, 0)]).0.len(), 0);
    }

    #[test]
    fn what_is_no_baseline_is_refused() {
        for text in ["", "{}", "{\"schema\": \"kop-mutation-score/2\", \"rows\": []}"] {
            assert!(Baseline::from_json(text).is_err(), "{text}");
        }
    }
}
