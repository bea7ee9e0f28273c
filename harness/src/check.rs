// SPDX-License-Identifier: GPL-2.0-or-later
//! The main job: every form of every operation, on both architectures, on every engine, over payloads and states from the
//! generators; rows and verdicts come out.

mod classes;
mod round;
mod row;
mod shapes;
mod tally;
pub mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kop_emulators::NativeCode;
use kop_emulators::engines::EngineKind;
use kop_ops::choices::mix;
use kop_ops::ebpf::{Insn, RegSet};
use kop_ops::{Catalog, Form, Kop};
use kop_reports as reports;
use rayon::prelude::*;

use crate::finding::Finding;
use crate::rates::Rates;
use crate::rig::Rig;
use crate::subject::Scope;
pub(crate) use classes::possible_classes;
pub(crate) use round::run_form;
use round::{INSPECTIONS, Target, UnitResult, run_unit, units};
use row::FormResult;
pub(crate) use row::missing_classes;
use tally::Tally;

/// How a check is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Architectures and SIMD.
    pub scope: Scope,
    /// The states of each row.
    pub states: usize,
    /// Go on with other seeds until this much time has passed.
    pub time: Option<Duration>,
    /// The engines, all of them available.
    pub engines: Vec<&'static EngineKind>,
    /// Determines everything.
    pub seed: u64,
    /// Threads.
    pub jobs: usize,
    /// What the prover is known to have proved; rows say so.
    pub proofs: Option<Arc<dyn Proofs>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            scope: Scope::default(),
            states: DEFAULT_STATES,
            time: None,
            engines: crate::selection::available().0,
            seed: 0,
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            proofs: None,
        }
    }
}

/// The states of each row unless told otherwise.
pub const DEFAULT_STATES: usize = 20_000;

/// What is known to be proved.
pub trait Proofs: fmt::Debug + Send + Sync {
    /// Whether native code is known to do what a proof sequence says, where the registers of `dead` do not matter afterwards.
    fn knows(&self, proof: &[Insn], code: &NativeCode, dead: RegSet) -> bool;
}

/// Hears how far a check is.
pub trait Progress: Sync {
    /// So many of the units of the next round are an operation's.
    fn share(&self, _label: &str, _units: usize) {}
    /// There are so many units of work in this round.
    fn round(&self, units: usize);
    /// One more is done.
    fn unit(&self, label: &str);
    /// Whether the rest is not wanted any more.
    fn is_enough(&self) -> bool {
        false
    }
}

/// Hears nothing.
pub struct Quiet;

impl Progress for Quiet {
    fn round(&self, _units: usize) {}
    fn unit(&self, _label: &str) {}
}

/// Checks the operations of a catalog.
///
/// `found` is called with every finding of a new cause at once, from the thread that found it.
///
/// # Errors
/// Why an engine cannot be made, in one line.
pub fn check<'a>(
    catalog: &Catalog<'a>,
    settings: &Settings,
    progress: &dyn Progress,
    found: &(dyn Fn(&dyn Kop, &Form, &Finding) + Sync),
) -> Result<Checked<'a>, String> {
    check_with(catalog, settings, progress, found, &|rig| rig)
}

/// As [`check`], with a change to every rig, for tests that plant a fault in an engine.
///
/// # Errors
/// As [`check`].
pub fn check_with<'a>(
    catalog: &Catalog<'a>,
    settings: &Settings,
    progress: &dyn Progress,
    found: &(dyn Fn(&dyn Kop, &Form, &Finding) + Sync),
    change: &(dyn Fn(Rig) -> Rig + Sync),
) -> Result<Checked<'a>, String> {
    let start = Instant::now();
    let jobs = settings.jobs.max(1);
    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(jobs).build().map_err(|error| error.to_string())?;
    let forms: Vec<_> = catalog.forms().collect();
    let mut totals: Vec<(Vec<(Finding, u64)>, Tally)> = forms.iter().map(|_| Default::default()).collect();
    let over = || settings.time.is_some_and(|time| start.elapsed() >= time);
    let rates = Rates::from(start);
    for round in 0u64.. {
        let seed = if round == 0 { settings.seed } else { mix(settings.seed ^ mix(round)) };
        let targets: Vec<Target> = pool.install(|| {
            forms
                .par_iter()
                .enumerate()
                .map(|(number, &(kop, form))| Target::new(kop, form, settings, seed, number))
                .collect()
        });
        let units = units(&targets, &INSPECTIONS);
        for of_kop in units.chunk_by(|a, b| targets[a.target].kop.name() == targets[b.target].kop.name()) {
            progress.share(targets[of_kop[0].target].kop.name(), of_kop.len());
        }
        progress.round(units.len());
        let next = AtomicUsize::new(0);
        let results: Mutex<BTreeMap<usize, UnitResult>> = Mutex::new(BTreeMap::new());
        let known: Mutex<BTreeSet<(usize, String)>> = Mutex::new(BTreeSet::new());
        let failures: Vec<Result<(), String>> = pool.broadcast(|_| {
            let mut rig = change(Rig::new(&settings.engines)?);
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(unit) = units.get(index) else { return Ok(()) };
                if progress.is_enough() || (round > 0 && over()) {
                    return Ok(());
                }
                let target = &targets[unit.target];
                let result = run_unit(&mut rig, target, unit, seed, settings, None);
                rates.add(result.tally.states.values().sum());
                for (finding, _) in &result.findings {
                    let new = known.lock().expect("no thread panics").insert((unit.target, finding.cause()));
                    if new {
                        found(target.kop, target.form, finding);
                    }
                }
                results.lock().expect("no thread panics").insert(index, result);
                progress.unit(target.kop.name());
            }
        });
        failures.into_iter().collect::<Result<(), String>>()?;
        for (index, result) in results.into_inner().expect("no thread panics") {
            let (findings, tally) = &mut totals[units[index].target];
            for (finding, count) in result.findings {
                match findings.iter_mut().find(|(known, _)| known.cause() == finding.cause()) {
                    Some((_, known)) => *known += count,
                    None => findings.push((finding, count)),
                }
            }
            tally.merge(result.tally);
        }
        if settings.time.is_none() || over() {
            break;
        }
    }
    let rows = forms
        .iter()
        .zip(totals)
        .map(|(&(kop, form), (findings, tally))| FormResult { kop, form, findings, tally })
        .collect();
    Ok(Checked { forms: rows, elapsed: start.elapsed(), rates: rates.samples() })
}

/// What a check found, form by form.
pub struct Checked<'a> {
    forms: Vec<FormResult<'a>>,
    elapsed: Duration,
    rates: Vec<reports::Rate>,
}

impl<'a> Checked<'a> {
    /// The findings, with the operation and form they belong to.
    pub fn findings(&self) -> impl Iterator<Item = (&'a dyn Kop, &'a Form, &Finding)> {
        self.forms.iter().flat_map(|result| {
            result.findings.iter().map(move |(finding, _)| (result.kop, result.form, finding))
        })
    }

    /// The record, with every finding minimised; `save` is the directory for cases.
    ///
    /// # Errors
    /// Why an engine cannot be made or a case cannot be written, in one line.
    pub fn record(&self, settings: &Settings, save: Option<&Path>) -> Result<reports::Record, String> {
        let mut rig = None;
        let mut rows = Vec::new();
        for result in &self.forms {
            let shared = result.shared();
            for arch in result.archs(settings) {
                let divergences = result.divergences(arch, settings, save, &mut rig)?;
                rows.push(result.row(arch, &shared, settings, divergences));
            }
        }
        Ok(reports::Record {
            schema: reports::SCHEMA.to_owned(),
            verdict: reports::Record::verdict_of(&rows),
            seed: settings.seed,
            engines: crate::selection::engines_of(&settings.engines),
            ops: rows,
            elapsed_s: (self.elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
            jobs: settings.jobs,
            timings: None,
            rates: self.rates.clone(),
            mutation: None,
        })
    }
}
