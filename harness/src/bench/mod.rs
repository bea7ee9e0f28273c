// SPDX-License-Identifier: GPL-2.0-or-later
//! How fast programs run: a suite of them on every backend, in one run, with results that are checked before they are timed.
//!
//! Each program is built by each backend and run once on each input, whose result is known from `NAME.expect` or from the `spec`
//! interpreter. Then the backends take turns: a round keeps the quickest of some short samples of each, and what is reported is the
//! median of the rounds and of the rounds' ratios, since other work on the machine slows both sides of a ratio alike.
//!
//! A program without maps and helper functions runs in a loop in the child of the host engine, on one input and on inputs that take
//! turns, which the branch predictor cannot learn; the kernel runs it through BPF_PROG_TEST_RUN. A program with maps runs over its
//! traffic in a child of its own, on the maps and helper functions of user space, so that only our own compilers are compared.

pub mod backend;
mod clang;
pub mod expectation;
mod machine;
mod measure;
mod parts;
mod reference;
#[cfg(feature = "prover")]
mod rewrites;
mod suite;
mod traffic;
#[cfg(feature = "prover")]
mod training;
mod trial;
mod trust;

use std::time::Instant;

use kop_reports::{
    BENCH_SCHEMA, Bench, BenchBackend, BenchFailure, BenchProgram, Cell, Group, Measure, Spread, Timing,
    baselines,
};

use backend::{BACKENDS, Backend, BackendKind, Built};
use machine::{Inputs, Machine};
pub use measure::Rounds;
use measure::{Times, Way, interleaved};
use parts::Parts;
pub use suite::{Sample, Suite};
pub use trial::{Trial, Tried};

use crate::check::Progress;

/// What is measured, and how much.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The programs.
    pub suite: Suite,
    /// Part of their names, as a regular expression; all without one.
    pub filter: Option<regex::Regex>,
    /// Part of the names of backends, as a regular expression; all without one.
    pub only: Option<regex::Regex>,
    /// How long each is measured.
    pub rounds: Rounds,
}

impl Settings {
    fn make(&self, kind: &BackendKind, machine: &Machine) -> Result<Box<dyn Backend>, String> {
        match &self.only {
            Some(only) if !only.is_match(kind.name) => Err("it was not asked for".to_owned()),
            _ => (kind.make)(machine),
        }
    }
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// What was asked for cannot be: a folder without programs, a file that is none.
    #[error("{0}")]
    Input(String),
    /// Something is not installed.
    #[error("{0}")]
    Environment(String),
}

/// A run of less than this is short: the loop around it is a part of what is measured.
const SHORTEST_NS: f64 = 500.0;

/// Runs the benchmark; `tell` hears the name of each program before it is measured.
///
/// # Errors
/// [`BenchError`] before anything is measured. A wrong result is a failure in the record.
pub fn run(settings: &Settings, progress: &dyn Progress) -> Result<Bench, BenchError> {
    let start = Instant::now();
    let samples = suite::load(&settings.suite, settings.filter.as_ref())?;
    let mut machine = Machine::new();
    let backends: Vec<Result<Box<dyn Backend>, String>> =
        BACKENDS.iter().map(|kind| settings.make(kind, &machine)).collect();
    let mut bench = Bench {
        schema: BENCH_SCHEMA.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        processor: machine.processor.clone(),
        kernel: machine.release.clone(),
        suite: settings.suite.to_string(),
        rounds: settings.rounds.rounds as u64,
        inputs: machine::INPUTS as u64,
        elapsed_s: 0.0,
        backends: BACKENDS
            .iter()
            .zip(&backends)
            .map(|(kind, made)| BenchBackend {
                name: kind.name.to_owned(),
                about: kind.about.to_owned(),
                absent: made.as_ref().err().cloned(),
                trusted: made.as_ref().map(|backend| backend.trusted()).unwrap_or_default(),
            })
            .collect(),
        programs: Vec::new(),
        failures: Vec::new(),
    };
    progress.round(samples.len());
    for sample in &samples {
        let program = if sample.is_alone() {
            alone(sample, &mut machine, &backends, settings.rounds, &mut bench.failures)
        } else {
            traffic::measure(sample, &machine, &backends, settings.rounds, &mut bench.failures)
        };
        bench.programs.push(program);
        progress.unit(&sample.name);
    }
    bench.elapsed_s = start.elapsed().as_secs_f64();
    Ok(bench)
}

/// Says that a program failed on a backend.
fn failure(sample: &Sample, backend: &str, message: String) -> BenchFailure {
    BenchFailure { program: sample.name.clone(), backend: backend.to_owned(), message }
}

/// Measures a program that needs nothing around it.
fn alone(
    sample: &Sample,
    machine: &mut Machine,
    backends: &[Result<Box<dyn Backend>, String>],
    rounds: Rounds,
    failures: &mut Vec<BenchFailure>,
) -> BenchProgram {
    let mut inputs = sample.inputs(2 * machine::INPUTS);
    let training = inputs.split_off(machine::INPUTS);
    let wanted = match reference::results(sample, &inputs) {
        Ok(wanted) => wanted,
        Err(message) => {
            failures.push(failure(sample, "spec", message));
            Vec::new()
        }
    };
    machine.place_inputs(&inputs, &training);
    let mut built: Vec<Result<Built, String>> = backends
        .iter()
        .map(|made| {
            made.as_ref().map_err(|_| String::new()).and_then(|backend| backend.build(machine, sample))
        })
        .collect();
    let parts = Parts::of(backends, sample);
    built.extend(parts.0.iter().map(|(_, part)| part.without.build(machine, sample)));
    for (made, name) in built.iter_mut().zip(parts.names()) {
        let Ok(ready) = made else { continue };
        if let Err(message) = ready.call.check(machine, &inputs, &wanted) {
            failures.push(failure(sample, &name, message));
            *made = Err("it fails".to_owned());
        }
    }
    let [fixed, rotating] = times(&built, machine, &inputs, rounds);
    let group = if sample.has_calls() { Group::Calls } else { Group::Plain };
    let mut cells = cells(&built[..BACKENDS.len()], group, &fixed, &rotating);
    parts.attribute(&mut cells, &fixed, &rotating);
    let base = cells.iter().find_map(|cell| cell.fixed);
    BenchProgram {
        name: sample.name.clone(),
        insns: sample.insns() as u64,
        group,
        packets: 1,
        short: base.is_some_and(|timing| timing.ns.median < SHORTEST_NS),
        cells,
    }
}

/// How a program that was built is called a number of times.
fn way<'a>(
    ready: &'a Result<Built, String>,
    machine: &'a Machine,
    packet: &'a [u8],
    inputs: Inputs,
) -> Way<'a> {
    let call = match ready {
        Ok(ready) if inputs == Inputs::Same || ready.call.rotates() => &ready.call,
        Ok(_) => return Err("a test run repeats one packet".to_owned()),
        Err(reason) => return Err(reason.clone()),
    };
    Ok(Box::new(move |times| call.time(machine, packet, inputs, times)))
}

/// Times on the same input, and on inputs that rotate, less those of an empty call.
fn times(
    built: &[Result<Built, String>],
    machine: &Machine,
    inputs: &[Vec<u8>],
    rounds: Rounds,
) -> [Vec<Times>; 2] {
    let mut ways: Vec<Way> = [Inputs::Same, Inputs::Rotating]
        .into_iter()
        .flat_map(|over| built.iter().map(move |ready| way(ready, machine, &inputs[0], over)))
        .collect();
    let mut times = interleaved(&mut ways, rounds);
    drop(ways);
    for (times, ready) in times.iter_mut().zip(built.iter().chain(built)) {
        if let (Ok(times), Ok(ready)) = (times, ready) {
            let floor = machine.floor(&ready.call);
            times.iter_mut().for_each(|time| *time -= floor);
        }
    }
    let rotating = times.split_off(built.len());
    [times, rotating]
}

/// What a program's cells say.
fn cells(built: &[Result<Built, String>], group: Group, fixed: &[Times], rotating: &[Times]) -> Vec<Cell> {
    let speeds = |times: &[Times], measure: Measure| -> Vec<Option<Timing>> {
        let base = baselines(group, measure).iter().find_map(|name| {
            let index = BACKENDS.iter().position(|kind| kind.name == *name)?;
            times[index].as_ref().ok()
        });
        times.iter().map(|times| Some(timing(times.as_ref().ok()?, base))).collect()
    };
    let (fixed, rotating) = (speeds(fixed, Measure::Fixed), speeds(rotating, Measure::Rotating));
    let cell = |((ready, fixed), rotating): ((&Result<Built, String>, _), _)| match ready {
        Ok(ready) => Cell {
            absent: None,
            fixed,
            rotating,
            code_bytes: ready.code_bytes.map(|bytes| bytes as u64),
            compile_ns: ready.making.compile_ns,
            rewrite_ns: ready.making.rewrite_ns,
            compiler: ready.making.compiler.map(str::to_owned),
            sites: ready.making.sites.clone(),
            operations: Vec::new(),
        },
        Err(reason) => Cell { absent: (!reason.is_empty()).then(|| reason.clone()), ..Cell::default() },
    };
    built.iter().zip(fixed).zip(rotating).map(cell).collect()
}

/// The spread of times, and of the ratios of the baseline's to them.
fn timing(times: &[f64], base: Option<&Vec<f64>>) -> Timing {
    let ratios =
        |base: &Vec<f64>| -> Vec<f64> { base.iter().zip(times).map(|(base, own)| base / own).collect() };
    // A program that is over before an empty call is has no ratio that means something.
    let sound = |ratios: &Vec<f64>| ratios.iter().all(|ratio| ratio.is_finite() && *ratio > 0.0);
    Timing { ns: Spread::of(times), speed: base.map(ratios).filter(sound).map(|ratios| Spread::of(&ratios)) }
}
