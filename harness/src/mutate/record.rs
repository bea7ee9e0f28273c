// SPDX-License-Identifier: GPL-2.0-or-later
//! What a record says of a run.

use std::time::Duration;

use kop_reports::{Mutant, Mutation, MutationRow, Record, SCHEMA, Sample, Verdict as RecordVerdict};

use super::broken::Place;
use super::decide::{Decided, Verdict};
use super::{Mutated, Row, Run, Settings};
use crate::prove::Space;
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
        elapsed_s: seconds(run.elapsed),
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
}

impl Mutated<'_> {
    /// What became of it, in words.
    pub fn outcome(&self) -> String {
        match &self.decided.verdict {
            Verdict::Killed { by, after } => format!("killed by {by} after {} ms", milliseconds(*after)),
            Verdict::Equivalent => "equivalent".to_owned(),
            Verdict::Survived { undecided } => format!("survived; {undecided}"),
        }
    }

    fn killed_after(&self) -> Option<Duration> {
        match self.decided.verdict {
            Verdict::Killed { after, .. } => Some(after),
            Verdict::Equivalent | Verdict::Survived { .. } => None,
        }
    }
}

fn mutation(run: &Run) -> Mutation {
    let mut killed: Vec<(&Mutated, Duration)> =
        run.mutated.iter().filter_map(|mutated| Some((mutated, mutated.killed_after()?))).collect();
    killed.sort_by_key(|(_, after)| *after);
    let is_survivor = |mutated: &&Mutated| matches!(mutated.decided.verdict, Verdict::Survived { .. });
    Mutation {
        rows: run
            .rows
            .iter()
            .enumerate()
            .map(|(number, row)| {
                let own = run.mutated.iter().filter(|mutated| mutated.row == number);
                MutationRow { sample: sample(row, run), ..counted(row, own) }
            })
            .filter(|row| row.mutants > 0 || row.left_out > 0)
            .collect(),
        survivors: run.mutated.iter().filter(is_survivor).map(told).collect(),
        slowest: killed.iter().rev().take(SLOWEST).map(|(mutated, _)| told(mutated)).collect(),
        detection_ms: killed.iter().map(|(_, after)| milliseconds(*after)).collect(),
        dropped: Vec::new(),
        remarks: remarks(run),
    }
}

/// What was left out, and which proofs do not cover all payloads.
fn remarks(run: &Run) -> Vec<String> {
    let mut remarks = Vec::new();
    for row in run.rows.iter().filter(|row| row.left_out > 0) {
        let Place { kop, form, arch, side } = row.place;
        let (name, left_out) = (kop.name(), row.left_out);
        remarks.push(format!(
            "{name} {} {arch} {}: {left_out} mutants left out, the time was over",
            form.name,
            side.name()
        ));
    }
    for row in run.rows.iter().filter(|row| row.shapes.0 < row.shapes.1) {
        let Place { kop, form, arch, side } = row.place;
        let (broken, shapes) = row.shapes;
        remarks.push(format!(
            "{} {} {arch} {}: {broken} of {shapes} shapes of the code are broken",
            kop.name(),
            form.name,
            side.name()
        ));
    }
    remarks.extend(sampled(run));
    if !run.left_out.is_empty() {
        remarks.push(format!("left out, the time was over: {}", run.left_out.join(", ")));
    }
    remarks.extend(covered(run));
    remarks
}

/// Of which operations equivalent mutants are proved for some payloads and not all, in words.
fn covered(run: &Run) -> Option<String> {
    let rows: Vec<(&str, u64)> =
        run.rows.iter().filter_map(|row| Some((row.place.kop.name(), proved_payloads(row)?))).collect();
    let counts = rows.iter().map(|(_, count)| *count);
    let (least, most) = counts.clone().min().zip(counts.max())?;
    let mut names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    names.dedup();
    Some(format!(
        "of forms with very many payloads equivalent mutants are proved for {least} to {most} of them: those that a check plans, and \
         in each aliasing pattern all immediates together, or one by one, of wide ones the edges and some between ({})",
        names.join(", ")
    ))
}

/// Of which operations some mutants are decided and not all, in words.
fn sampled(run: &Run) -> Option<String> {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    let (mut decided, mut all) = (0, 0);
    for (row, mutants) in run.rows.iter().zip(per_row(run)) {
        let Some(Sample { of, .. }) = sample(row, run) else { continue };
        let name = row.place.kop.name();
        match counts.last_mut().filter(|(last, _)| *last == name) {
            Some((_, rows)) => *rows += 1,
            None => counts.push((name, 1)),
        }
        decided += mutants;
        all += of as usize;
    }
    let rows: usize = counts.iter().map(|(_, rows)| rows).sum();
    let names: Vec<&str> = counts.iter().map(|(name, _)| *name).collect();
    (rows > 0).then(|| {
        format!(
            "{decided} of {all} mutants are decided where an emit or a proof has more than {}, of every instruction and every kind \
             of change some ({rows} rows of {})",
            run.sample.map_or(0, |(most, _)| most),
            names.join(", ")
        )
    })
}

/// How many mutants of each row are decided.
fn per_row(run: &Run) -> Vec<usize> {
    let mut counts = vec![0; run.rows.len()];
    run.mutated.iter().for_each(|mutated| counts[mutated.row] += 1);
    counts
}

/// What the mutants of a row are a sample of, where not all are decided.
fn sample(row: &Row, run: &Run) -> Option<Sample> {
    run.sample.filter(|&(most, _)| row.all > most).map(|(_, seed)| Sample { of: row.all as u64, seed })
}

/// How many payloads equivalent mutants of a row are proved for, where that is not all.
fn proved_payloads(row: &Row) -> Option<u64> {
    match row.space.get()? {
        Space::All(..) => None,
        space @ Space::Some(_) => Some(space.len()),
    }
}

fn counted<'a>(row: &Row, mutated: impl Iterator<Item = &'a Mutated<'a>>) -> MutationRow {
    let Place { kop, form, arch, side } = row.place;
    let mut counted = MutationRow {
        name: kop.name().to_owned(),
        form: form.name.to_string(),
        arch: arch.name().to_owned(),
        side,
        left_out: row.left_out,
        proved_payloads: proved_payloads(row),
        ..MutationRow::default()
    };
    let (mut checked, mut proving) = (Duration::ZERO, Duration::ZERO);
    for Decided { verdict, checked: own, proving: proved } in mutated.map(|mutated| &mutated.decided) {
        counted.mutants += 1;
        checked += *own;
        proving += *proved;
        match verdict {
            Verdict::Killed { after, .. } => {
                counted.killed += 1;
                counted.detection_ms.push(milliseconds(*after));
            }
            Verdict::Equivalent => counted.equivalent += 1,
            Verdict::Survived { .. } => counted.survived += 1,
        }
    }
    counted.detection_ms.sort_by(f64::total_cmp);
    (counted.check_s, counted.prover_s) = (seconds(checked), seconds(proving));
    counted
}

fn told(mutated: &Mutated) -> Mutant {
    let Mutated { place, mutant, decided, .. } = mutated;
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
    match &decided.verdict {
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

/// Seconds to the millisecond.
fn seconds(spent: Duration) -> f64 {
    (spent.as_secs_f64() * 1e3).round() / 1e3
}
