// SPDX-License-Identifier: GPL-2.0-or-later
//! What a record says of a run.

use std::cmp::Ordering;
use std::time::Duration;

use kop_reports::{Mutant, Mutation, MutationRow, Record, SCHEMA, Verdict as RecordVerdict};

use super::broken::Place;
use super::decide::Verdict;
use super::{Mutated, Run, Settings};
use crate::selection;

/// How many of the mutants that took longest to kill are told.
const SLOWEST: usize = 10;

/// The record of a run: mutants alone, no rows of a check.
pub fn record(run: &Run, settings: &Settings) -> Record {
    let verdict = if run.holds() { RecordVerdict::Equivalent } else { RecordVerdict::Divergent };
    Record {
        schema: SCHEMA.to_owned(),
        verdict,
        seed: settings.check.seed,
        engines: selection::engines_of(&settings.check.engines),
        ops: Vec::new(),
        elapsed_s: (run.elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
        jobs: settings.check.jobs,
        timings: None,
        rates: Vec::new(),
        mutation: Some(mutation(run)),
    }
}

impl Run<'_> {
    /// The mutants, in the order of the rows.
    pub fn mutated(&self) -> impl Iterator<Item = &Mutated<'_>> {
        self.mutated.iter()
    }

    /// How long the slowest kill of a row took, in milliseconds.
    pub fn slowest_ms(&self, row: &MutationRow) -> Option<f64> {
        let of_row = self.mutated.iter().filter(|mutated| {
            let Place { kop, form, arch, side } = mutated.place;
            kop.name() == row.name && form.name == row.form && arch.name() == row.arch && side == row.side
        });
        of_row.filter_map(|mutated| mutated.killed_after()).max().map(milliseconds)
    }
}

impl Mutated<'_> {
    /// What became of it, in words.
    pub fn outcome(&self) -> String {
        match &self.verdict {
            Verdict::Killed { by, after } => format!("killed by {by} after {} ms", milliseconds(*after)),
            Verdict::Equivalent => "equivalent".to_owned(),
            Verdict::Survived { undecided } => format!("survived; {undecided}"),
        }
    }

    fn killed_after(&self) -> Option<Duration> {
        match self.verdict {
            Verdict::Killed { after, .. } => Some(after),
            Verdict::Equivalent | Verdict::Survived { .. } => None,
        }
    }
}

fn mutation(run: &Run) -> Mutation {
    let mut killed: Vec<(&Mutated, Duration)> =
        run.mutated.iter().filter_map(|mutated| Some((mutated, mutated.killed_after()?))).collect();
    killed.sort_by_key(|(_, after)| *after);
    let is_survivor = |mutated: &&Mutated| matches!(mutated.verdict, Verdict::Survived { .. });
    Mutation {
        rows: run
            .rows
            .iter()
            .map(|row| counted(row.place, &run.mutated))
            .filter(|row| row.mutants > 0)
            .collect(),
        survivors: run.mutated.iter().filter(is_survivor).map(told).collect(),
        slowest: killed.iter().rev().take(SLOWEST).map(|(mutated, _)| told(mutated)).collect(),
        detection_ms: killed.iter().map(|(_, after)| milliseconds(*after)).collect(),
    }
}

fn counted(place: Place, mutated: &[Mutated]) -> MutationRow {
    let of_row = |other: &&Mutated| is_same(place, other.place);
    let count = |wanted: fn(&Verdict) -> bool| {
        mutated.iter().filter(of_row).filter(|mutated| wanted(&mutated.verdict)).count() as u64
    };
    MutationRow {
        name: place.kop.name().to_owned(),
        form: place.form.name.to_string(),
        arch: place.arch.name().to_owned(),
        side: place.side,
        mutants: count(|_| true),
        killed: count(|verdict| matches!(verdict, Verdict::Killed { .. })),
        equivalent: count(|verdict| matches!(verdict, Verdict::Equivalent)),
        survived: count(|verdict| matches!(verdict, Verdict::Survived { .. })),
    }
}

fn is_same(a: Place, b: Place) -> bool {
    let names = a.kop.name().cmp(b.kop.name()).then(a.form.name.cmp(&b.form.name));
    names == Ordering::Equal && a.arch == b.arch && a.side == b.side
}

fn told(mutated: &Mutated) -> Mutant {
    let Mutated { place, mutant, verdict } = mutated;
    let layout = &place.form.layout;
    let payload = mutant.payloads.first().copied().unwrap_or_default();
    let operands = layout.decode(payload).unwrap_or_default();
    let mut told = Mutant {
        name: place.kop.name().to_owned(),
        form: place.form.name.to_string(),
        arch: place.arch.name().to_owned(),
        side: place.side,
        operator: mutant.change.edit.operator().to_owned(),
        change: mutant.text.clone(),
        payload: layout.show(&operands).to_string(),
        killed_by: None,
        detection_ms: None,
        undecided: None,
    };
    match verdict {
        Verdict::Killed { by, after } => {
            told.killed_by = Some(by.clone());
            told.detection_ms = Some(milliseconds(*after));
        }
        Verdict::Survived { undecided } => told.undecided = Some(undecided.clone()),
        Verdict::Equivalent => (),
    }
    told
}

/// Milliseconds to the microsecond.
fn milliseconds(spent: Duration) -> f64 {
    (spent.as_secs_f64() * 1e6).round() / 1e3
}
