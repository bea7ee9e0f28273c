// SPDX-License-Identifier: GPL-2.0-or-later
//! What a record says of faults that were planted on purpose: how good a check is at finding them.

use serde::{Deserialize, Serialize};

/// What became of every mutant of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Mutation {
    /// One for each form, architecture and side, in the order of the catalog.
    pub rows: Vec<MutationRow>,
    /// The mutants that nothing killed and that are not shown to be equivalent.
    pub survivors: Vec<Mutant>,
    /// The mutants that took longest to kill, the slowest first.
    pub slowest: Vec<Mutant>,
    /// How long each kill took, in milliseconds, ascending.
    pub detection_ms: Vec<f64>,
    /// What is worse than the recorded score, a line for each row, which starts with [`MutationRow::title`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<String>,
    /// What else is to be known of the run: what was left out, what is not as the recorded score has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// The mutants of one side of one form on one architecture.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MutationRow {
    /// The operation.
    pub name: String,
    /// The form.
    pub form: String,
    /// `x86_64` or `aarch64`.
    pub arch: String,
    /// What was broken.
    pub side: MutatedSide,
    /// How many mutants are decided.
    pub mutants: u64,
    /// What these are a sample of, where an emit or a proof has too many to decide all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
    /// How many a check kills within its default budget.
    pub killed: u64,
    /// How many the prover shows to be equivalent.
    pub equivalent: u64,
    /// How many are neither.
    pub survived: u64,
    /// How many there was no time for; they are none of [`MutationRow::mutants`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
    /// How many payloads those that are equivalent are proved for, where that is not all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved_payloads: Option<u64>,
    /// How long each kill took, in milliseconds, ascending; empty in records of earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detection_ms: Vec<f64>,
    /// How long all mutants were checked together, in seconds on one thread.
    #[serde(default)]
    pub check_s: f64,
    /// How long the prover had them together, in seconds on one thread.
    #[serde(default)]
    pub prover_s: f64,
}

/// Some mutants of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sample {
    /// How many there are.
    pub of: u64,
    /// What decides which are taken.
    pub seed: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What a mutant breaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum MutatedSide {
    /// The native emit.
    #[default]
    Emit,
    /// The proof sequence.
    Proof,
}

impl MutatedSide {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            MutatedSide::Emit => "emit",
            MutatedSide::Proof => "proof",
        }
    }
}

/// One mutant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Mutant {
    /// The operation.
    pub name: String,
    /// The form.
    pub form: String,
    /// The architecture of the row that it is checked in.
    pub arch: String,
    /// What is broken.
    pub side: MutatedSide,
    /// The kind of change: `register`, `immediate`, `condition`, `width`, `drop`, `duplicate`, `swap`, `order`.
    pub operator: String,
    /// The change in one line: the instruction's number, before and after.
    pub change: String,
    /// A payload that shows the change.
    pub payload: String,
    /// How it was killed: the kind of the divergence and the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub killed_by: Option<String>,
    /// How long that took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detection_ms: Option<f64>,
    /// Why the prover does not decide it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undecided: Option<String>,
}

impl MutationRow {
    /// Operation, form, architecture and side.
    pub fn title(&self) -> String {
        format!("{} {} {} {}", self.name, self.form, self.arch, self.side.name())
    }
}

impl Mutation {
    /// Whether no mutant survived, and nothing is worse than the recorded score.
    pub fn holds(&self) -> bool {
        self.survivors.is_empty() && self.dropped.is_empty()
    }

    /// Of the mutants that are not equivalent, the part that is killed, from 0 to 1; `None` when there are none.
    pub fn score(&self) -> Option<f64> {
        let killed: u64 = self.rows.iter().map(|row| row.killed).sum();
        let relevant: u64 = self.rows.iter().map(|row| row.mutants - row.equivalent).sum();
        (relevant > 0).then(|| killed as f64 / relevant as f64)
    }

    /// The median of [`Mutation::detection_ms`], the lower one of two in the middle.
    pub fn median_detection_ms(&self) -> Option<f64> {
        let last = self.detection_ms.len().checked_sub(1)?;
        self.detection_ms.get(last / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(mutants: u64, killed: u64, equivalent: u64) -> MutationRow {
        MutationRow {
            name: "rotate".to_owned(),
            form: "imm64".to_owned(),
            arch: "x86_64".to_owned(),
            side: MutatedSide::Emit,
            mutants,
            killed,
            equivalent,
            survived: mutants - killed - equivalent,
            ..MutationRow::default()
        }
    }

    #[test]
    fn equivalent_mutants_do_not_count() {
        let mutation = Mutation { rows: vec![row(10, 6, 2), row(4, 3, 1)], ..Mutation::default() };
        assert_eq!(mutation.score(), Some(9.0 / 11.0));
        assert_eq!(Mutation { rows: vec![row(2, 0, 2)], ..Mutation::default() }.score(), None);
        assert_eq!(Mutation::default().score(), None);
    }

    #[test]
    fn the_median_is_one_of_the_times() {
        let times = |detection_ms: &[f64]| {
            Mutation { detection_ms: detection_ms.to_vec(), ..Mutation::default() }.median_detection_ms()
        };
        assert_eq!(times(&[]), None);
        assert_eq!(times(&[3.0]), Some(3.0));
        assert_eq!(times(&[1.0, 2.0, 7.0, 9.0]), Some(2.0));
    }
}
