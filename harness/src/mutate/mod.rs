// SPDX-License-Identifier: GPL-2.0-or-later
//! How good a check is at finding faults: every emit and every proof sequence is broken in every way that [`edit`] knows, and each
//! mutant is checked as `kop check` checks an operation, with its payloads, states and engines, up to the first finding.
//!
//! What the first units of a check leave alive goes to the prover, and what that does not show to be equivalent goes through the
//! rest of the check. What is then alive is a survivor.

mod aarch64;
mod broken;
mod cover;
mod decide;
mod ebpf;
mod edit;
mod mutants;
mod record;
mod same;
mod x86_64;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use kop_ops::{Arch, Catalog, Form, Kop};
use kop_reports::MutatedSide;
use rayon::prelude::*;

use crate::check::trial::{Plan, Trial};
use crate::check::{self, Progress};
use crate::prove::{STACK, Space};
use crate::rig::Rig;

use broken::Place;
use decide::{Decided, Decider, Provers, Verdict};
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
    /// At most so many mutants of each emit and of each proof: of every instruction some, and of every kind of change.
    pub most: Option<usize>,
    /// No mutant is begun after so long.
    pub time: Option<Duration>,
    /// The number of the operation to begin with, from which it goes on around the catalog.
    pub turn: u64,
}

/// A mutant and what became of it.
pub struct Mutated<'a> {
    row: usize,
    place: Place<'a>,
    mutant: Mutant,
    decided: Decided,
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
    /// Operations that there was no time for.
    pub left_out: Vec<String>,
    elapsed: Duration,
    /// How many mutants of a row are decided at most, and the seed that says which.
    sample: Option<(usize, u64)>,
}

impl Run<'_> {
    /// Whether every mutant is killed or shown to be equivalent, and no operation diverges as it is.
    pub fn holds(&self) -> bool {
        let survived = |mutated: &Mutated| matches!(mutated.decided.verdict, Verdict::Survived { .. });
        self.divergent.is_empty() && !self.mutated.iter().any(survived)
    }
}

/// An emit or a proof, with what its check runs.
struct Row<'a> {
    place: Place<'a>,
    settings: check::Settings,
    plan: Plan,
    /// What the mutants are proved for; made when the first has to be.
    space: OnceLock<Space>,
    /// Whether the operation as it is is proved for that.
    is_proved: OnceLock<bool>,
    /// How many mutants there was no time for.
    left_out: u64,
    /// How many shapes of the code are broken, of how many.
    shapes: (usize, usize),
    /// How many mutants the broken shapes have, of which at most [`Settings::most`] are decided.
    all: usize,
}

impl<'a> Row<'a> {
    fn new(place: Place<'a>, number: usize, settings: &check::Settings) -> Self {
        let mut settings = check::Settings { time: None, proofs: None, ..settings.clone() };
        settings.scope.archs = vec![place.arch];
        let plan = Plan::new(place.kop, place.form, number, &settings);
        let (space, is_proved) = (OnceLock::new(), OnceLock::new());
        Row { place, settings, plan, space, is_proved, left_out: 0, shapes: (0, 0), all: 0 }
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

/// The forms of a catalog with their operations, each operation's together.
fn operations<'a>(catalog: &Catalog<'a>) -> Vec<Vec<(&'a dyn Kop, &'a Form)>> {
    let mut operations: Vec<Vec<(&'a dyn Kop, &'a Form)>> = Vec::new();
    for (kop, form) in catalog.forms() {
        match operations.last_mut().filter(|forms| forms[0].0.name() == kop.name()) {
            Some(forms) => forms.push((kop, form)),
            None => operations.push(vec![(kop, form)]),
        }
    }
    operations
}

/// The emits and proofs of an operation. A proof is checked in the row of the first architecture.
fn places<'a>(forms: &[(&'a dyn Kop, &'a Form)], settings: &Settings) -> Vec<(Place<'a>, usize)> {
    let mut places = Vec::new();
    // A check of one operation counts its forms from 0.
    for (number, &(kop, form)) in forms.iter().enumerate() {
        let archs = settings.check.scope.archs_of(kop, form);
        let first = archs.first().map(|&arch| (arch, MutatedSide::Proof));
        let rows = archs.iter().map(|&arch| (arch, MutatedSide::Emit)).chain(first);
        places.extend(rows.map(|(arch, side)| (Place { kop, form, arch, side }, number)));
    }
    places
}

/// Breaks the operations of a catalog and decides every mutant, as far as there is time.
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
    let work = Work {
        pool,
        settings,
        progress,
        end: settings.time.map(|time| start + time),
        provers: Provers::new(settings.limit),
    };
    let operations = operations(catalog);
    let first = settings.turn as usize % operations.len().max(1);
    let mut done: Vec<Option<Run>> = operations.iter().map(|_| None).collect();
    for number in (0..operations.len()).map(|number| (first + number) % operations.len()) {
        done[number] = if work.is_over() { None } else { Some(work.operation(&operations[number])?) };
    }
    let nothing = || Run {
        rows: vec![],
        mutated: vec![],
        divergent: vec![],
        left_out: vec![],
        elapsed: Duration::ZERO,
        sample: settings.most.map(|most| (most, settings.check.seed)),
    };
    let mut whole = nothing();
    for (operation, run) in operations.iter().zip(done) {
        match run {
            Some(run) => whole.add(run),
            None => whole.left_out.push(operation[0].0.name().to_owned()),
        }
    }
    Ok(Run { elapsed: start.elapsed(), ..whole })
}

impl<'a> Run<'a> {
    fn add(&mut self, other: Run<'a>) {
        let before = self.rows.len();
        self.rows.extend(other.rows);
        self.mutated.extend(
            other.mutated.into_iter().map(|mutated| Mutated { row: before + mutated.row, ..mutated }),
        );
        self.divergent.extend(other.divergent);
    }
}

/// What all operations of a run share.
struct Work<'s> {
    pool: rayon::ThreadPool,
    settings: &'s Settings,
    progress: &'s dyn Progress,
    end: Option<Instant>,
    provers: Provers,
}

impl Work<'_> {
    fn is_over(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// Breaks one operation.
    fn operation<'a>(&self, forms: &[(&'a dyn Kop, &'a Form)]) -> Result<Run<'a>, String> {
        let settings = self.settings;
        let places = places(forms, settings);
        let mut rows: Vec<Row<'a>> = self.pool.install(|| {
            places.par_iter().map(|&(place, number)| Row::new(place, number, &settings.check)).collect()
        });
        let divergent = self.divergent(&rows)?;
        if !divergent.is_empty() {
            rows.clear();
        }
        let work: Vec<(usize, Mutant)> = self.pool.install(|| {
            let of_row = |(number, row): (usize, &mut Row<'a>)| {
                let made = mutants::mutants(row.place, &row.payloads(), &row.settings.scope);
                let made = made.at_most(settings.most.unwrap_or(usize::MAX), settings.check.seed);
                row.shapes = (made.broken, made.shapes);
                row.all = made.all;
                let place = row.place;
                let wanted =
                    made.mutants.into_iter().filter(move |mutant| is_wanted(place, mutant, settings));
                wanted.map(|mutant| (number, mutant)).collect::<Vec<_>>()
            };
            rows.par_iter_mut().enumerate().flat_map_iter(of_row).collect()
        });
        self.progress.round(work.len());
        let decided = self.on_rigs(work.len(), |rig, number| {
            let (row, mutant) = &work[number];
            let row = &rows[*row];
            let decided = (!self.is_over()).then(|| self.decide(row, rig, mutant));
            self.progress.unit(row.place.kop.name());
            decided
        })?;
        let mut mutated = Vec::new();
        for ((row, mutant), decided) in work.into_iter().zip(decided) {
            match decided {
                Some(decided) => mutated.push(Mutated { row, place: rows[row].place, mutant, decided }),
                None => rows[row].left_out += 1,
            }
        }
        let (left_out, elapsed) = (Vec::new(), Duration::ZERO);
        Ok(Run { rows, mutated, divergent, left_out, elapsed, sample: None })
    }

    /// Where an operation diverges as it is.
    fn divergent(&self, rows: &[Row]) -> Result<Vec<Divergent>, String> {
        let emits: Vec<&Row> = rows.iter().filter(|row| row.place.side == MutatedSide::Emit).collect();
        self.progress.round(emits.len());
        let found = self.on_rigs(emits.len(), |rig, number| {
            let divergence = emits[number].divergence(rig);
            self.progress.unit(emits[number].place.kop.name());
            divergence
        })?;
        Ok(found.into_iter().flatten().collect())
    }

    fn decide(&self, row: &Row, rig: &mut Rig, mutant: &Mutant) -> Decided {
        let Row { place, plan, settings, space, is_proved, .. } = row;
        let decider = Decider { place: *place, plan, settings, space, is_proved, provers: &self.provers };
        decider.decide(rig, mutant)
    }

    /// Does work on all threads, each with engines of its own; the results in the order of the work.
    fn on_rigs<T: Send>(
        &self,
        count: usize,
        work: impl Fn(&mut Rig, usize) -> T + Sync,
    ) -> Result<Vec<T>, String> {
        let next = AtomicUsize::new(0);
        let done: Mutex<Vec<(usize, T)>> = Mutex::new(Vec::with_capacity(count));
        let failures: Vec<Result<(), String>> = self.pool.broadcast(|_| {
            if next.load(Ordering::Relaxed) >= count {
                return Ok(());
            }
            let mut rig = Rig::new(&self.settings.check.engines)?.hasty();
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
