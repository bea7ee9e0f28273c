// SPDX-License-Identifier: GPL-2.0-or-later
//! How good a check is at finding faults: every emit and every proof sequence is broken in every way that [`edit`] knows, and each
//! mutant is checked as `kop check` checks an operation, with its payloads, states and engines, up to the first finding.
//!
//! What the first units of a check leave alive goes to the prover, and what that does not show to be equivalent goes through the
//! rest of the check. What is then alive is a survivor.

mod aarch64;
mod broken;
mod decide;
mod ebpf;
mod edit;
mod mutants;
mod record;
mod x86_64;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kop_ops::{Arch, Catalog, Kop};
use kop_prover::statement::Options;
use kop_prover::sweep::Claims;
use kop_reports::MutatedSide;
use rayon::prelude::*;

use crate::check::trial::{Plan, Trial};
use crate::check::{self, Progress};
use crate::prove::STACK;
use crate::rig::Rig;

use broken::Place;
use decide::{Decider, Verdict};
use mutants::Mutant;

pub use record::record;

/// How mutants are made and decided.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How each of them is checked: that of `kop check`, on one thread each. Time and proofs do not count.
    pub check: check::Settings,
    /// The time that one formula may take.
    pub limit: Duration,
    /// Only mutants whose line (see [`Mutated::line`]) holds this text.
    pub only: Option<String>,
}

/// A mutant and what became of it.
pub struct Mutated<'a> {
    place: Place<'a>,
    mutant: Mutant,
    verdict: Verdict,
}

/// Where the operation diverges as it is, so that nothing can be said of its mutants.
#[derive(Clone, Debug)]
pub struct Divergent {
    /// The operation.
    pub name: String,
    /// The form.
    pub form: String,
    /// The architecture.
    pub arch: Arch,
    /// What is wrong.
    pub message: String,
}

/// What a run gave.
pub struct Run<'a> {
    rows: Vec<Row<'a>>,
    mutated: Vec<Mutated<'a>>,
    /// Operations that diverge as they are: they have no mutants.
    pub divergent: Vec<Divergent>,
    elapsed: Duration,
}

impl Run<'_> {
    /// Whether every mutant is killed or shown to be equivalent, and no operation diverges as it is.
    pub fn holds(&self) -> bool {
        let survived = |mutated: &Mutated| matches!(mutated.verdict, Verdict::Survived { .. });
        self.divergent.is_empty() && !self.mutated.iter().any(survived)
    }
}

/// An emit or a proof, with what its check runs.
struct Row<'a> {
    place: Place<'a>,
    settings: check::Settings,
    plan: Plan,
}

impl<'a> Row<'a> {
    fn new(place: Place<'a>, number: usize, settings: &check::Settings) -> Self {
        let mut settings = check::Settings { time: None, proofs: None, ..settings.clone() };
        settings.scope.archs = vec![place.arch];
        let plan = Plan::new(place.kop, place.form, number, &settings);
        Row { place, settings, plan }
    }

    fn payloads(&self) -> Vec<u64> {
        self.plan.payloads(self.place.form).collect()
    }

    /// What a check finds of the operation as it is.
    fn divergence(&self, rig: &mut Rig) -> Option<Divergent> {
        let Place { kop, form, arch, .. } = self.place;
        let trial = Trial::new(kop, form, &self.plan, false, &self.settings);
        rig.forget();
        let finding = (0..trial.units()).find_map(|unit| trial.run(rig, unit))?;
        let (name, form) = (kop.name().to_owned(), form.name.to_string());
        Some(Divergent { name, form, arch, message: finding.message })
    }
}

/// The emits and proofs of a catalog. A proof is checked in the row of the first architecture.
fn places<'a>(catalog: &Catalog<'a>, settings: &Settings) -> Vec<(Place<'a>, usize)> {
    let mut places = Vec::new();
    // A check of one operation counts its forms from 0.
    let mut number = 0;
    let mut last: Option<&'a dyn Kop> = None;
    for (kop, form) in catalog.forms() {
        number = if last.is_some_and(|last| last.name() == kop.name()) { number + 1 } else { 0 };
        last = Some(kop);
        let archs = settings.check.scope.archs_of(kop, form);
        let first = archs.first().map(|&arch| (arch, MutatedSide::Proof));
        let rows = archs.iter().map(|&arch| (arch, MutatedSide::Emit)).chain(first);
        places.extend(rows.map(|(arch, side)| (Place { kop, form, arch, side }, number)));
    }
    places
}

/// Breaks the operations of a catalog and decides every mutant.
///
/// # Errors
/// Why an engine cannot be made, in one line.
pub fn mutate<'a>(
    catalog: &Catalog<'a>,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Run<'a>, String> {
    let start = Instant::now();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(settings.check.jobs.max(1))
        .stack_size(STACK)
        .build()
        .map_err(|error| error.to_string())?;
    let places = places(catalog, settings);
    let mut rows: Vec<Row<'a>> = pool.install(|| {
        places.par_iter().map(|&(place, number)| Row::new(place, number, &settings.check)).collect()
    });
    let emits: Vec<usize> =
        (0..rows.len()).filter(|&row| rows[row].place.side == MutatedSide::Emit).collect();
    progress.round(emits.len());
    let found = on_rigs(&pool, settings, emits.len(), |rig, number| {
        let row = &rows[emits[number]];
        let divergence = row.divergence(rig);
        progress.unit(row.place.kop.name());
        divergence
    })?;
    let divergent: Vec<Divergent> = found.into_iter().flatten().collect();
    rows.retain(|row| !divergent.iter().any(|other| other.name == row.place.kop.name()));
    let work: Vec<(usize, Mutant)> = pool.install(|| {
        let of_row = |(number, row): (usize, &Row<'a>)| {
            let mutants = mutants::mutants(row.place, &row.payloads(), &row.settings.scope);
            let wanted = mutants.into_iter().filter(|mutant| is_wanted(row.place, mutant, settings));
            wanted.map(|mutant| (number, mutant)).collect::<Vec<_>>()
        };
        rows.par_iter().enumerate().flat_map_iter(of_row).collect()
    });
    progress.round(work.len());
    let claims = Claims::new(Options { limit: settings.limit, keep: false });
    let verdicts = on_rigs(&pool, settings, work.len(), |rig, number| {
        let (row, mutant) = &work[number];
        let row = &rows[*row];
        let verdict = Decider { place: row.place, plan: &row.plan, settings: &row.settings, claims: &claims }
            .decide(rig, mutant);
        progress.unit(row.place.kop.name());
        verdict
    })?;
    let mutated = work.into_iter().zip(verdicts).map(|((row, mutant), verdict)| {
        let place = rows[row].place;
        Mutated { place, mutant, verdict }
    });
    let mutated = mutated.collect();
    Ok(Run { rows, mutated, divergent, elapsed: start.elapsed() })
}

fn is_wanted(place: Place, mutant: &Mutant, settings: &Settings) -> bool {
    settings.only.as_ref().is_none_or(|only| line(place, mutant).contains(only.as_str()))
}

/// The form, the architecture, the side and the change of a mutant.
fn line(place: Place, mutant: &Mutant) -> String {
    format!("{} {} {} {}", place.form.name, place.arch, place.side.name(), mutant.text)
}

impl Mutated<'_> {
    /// The form, the architecture, the side and the change, in one line.
    pub fn line(&self) -> String {
        line(self.place, &self.mutant)
    }
}

/// Does work on all threads, each with engines of its own; the results in the order of the work.
fn on_rigs<T: Send>(
    pool: &rayon::ThreadPool,
    settings: &Settings,
    count: usize,
    work: impl Fn(&mut Rig, usize) -> T + Sync,
) -> Result<Vec<T>, String> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, T)>> = Mutex::new(Vec::with_capacity(count));
    let failures: Vec<Result<(), String>> = pool.broadcast(|_| {
        if next.load(Ordering::Relaxed) >= count {
            return Ok(());
        }
        let mut rig = Rig::new(&settings.check.engines)?.hasty();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            let result = work(&mut rig, number);
            done.lock().expect("no thread panics").push((number, result));
        }
    });
    failures.into_iter().collect::<Result<(), String>>()?;
    let mut done = done.into_inner().expect("no thread panics");
    done.sort_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}
