// SPDX-License-Identifier: GPL-2.0-or-later
//! The main job: every form of every operation, on both architectures, on every engine, over payloads and states from the
//! generators; rows and verdicts come out.

pub mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kop_emulators::NativeCode;
use kop_emulators::engines::EngineKind;
use kop_emulators::inspect::{Writes, Written};
use kop_ops::choices::{Choices, Seeded, mix};
use kop_ops::ebpf::{Insn, RegSet};
use kop_ops::state::Slot;
use kop_ops::{Arch, Catalog, Features, Form, Kop, Memory, Operands};
use kop_reports as reports;
use rayon::prelude::*;

use crate::describe;
use crate::finding::Finding;
use crate::generate::{
    Planned, Possible, StateClasses, StatePlan, alias_pattern, invalid_payload, many_operands, plan,
};
use crate::place;
use crate::rates::Rates;
use crate::rig::{Load, Rig};
use crate::subject::{Scope, Subject, ignored_bits, prepare};
use crate::turns;

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

/// Payloads per unit of work.
const PAYLOADS_PER_UNIT: usize = 24;

/// About how many payloads of a form have a state observed although nothing looks odd: as many as a default run has. Being
/// observed takes longer than all states of a payload together where a form has so many that each gets few.
const SAMPLED_PAYLOADS: usize = DEFAULT_STATES / 8;

/// Payloads, valid and not, whose callbacks are compared in one unit of work without running anything.
const INSPECTED_PER_UNIT: usize = 1000;

/// Such units per form and round.
const INSPECTION_UNITS: usize = 4;

/// What is known to be proved.
pub trait Proofs: fmt::Debug + Send + Sync {
    /// Whether native code is known to do what a proof sequence says, where the registers of `dead` do not matter afterwards.
    fn knows(&self, proof: &[Insn], code: &NativeCode, dead: RegSet) -> bool;
}

/// Hears how far a check is.
pub trait Progress: Sync {
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

/// One operation's form with its plan.
struct Target<'a> {
    kop: &'a dyn Kop,
    form: &'a Form,
    planned: Vec<Planned>,
}

/// A unit of work: some payloads of a target.
struct Unit {
    target: usize,
    number: u64,
    work: Work,
}

enum Work {
    Run(Range<usize>),
    Inspect,
    Noted,
}

/// What a unit gave.
#[derive(Default)]
struct UnitResult {
    findings: Vec<(Finding, u64)>,
    tally: Tally,
}

/// What is counted for a target.
#[derive(Default)]
struct Tally {
    payloads: BTreeMap<Arch, u64>,
    /// Payloads all of whose codes are known to be proved.
    proved: BTreeMap<Arch, u64>,
    states: BTreeMap<Arch, u64>,
    variants: BTreeMap<(Arch, Features), u64>,
    absent: BTreeMap<(Arch, Features), u64>,
    unable: BTreeMap<(Arch, Features), String>,
    refused: BTreeMap<(Arch, &'static str), String>,
    unjudged: BTreeMap<(Arch, &'static str), u64>,
    unreferenced: BTreeSet<String>,
    engines: BTreeSet<(Arch, &'static str)>,
    inspected: u64,
    uninvestigated: BTreeMap<Option<Arch>, u64>,
    observed: u64,
    ignored: u64,
    writes: BTreeMap<Arch, Writes>,
    operand_classes: BTreeMap<String, u64>,
    state_classes: StateClasses,
    possible: Possible,
}

impl Tally {
    fn merge(&mut self, other: Tally) {
        fn add<K: Ord>(mine: &mut BTreeMap<K, u64>, theirs: BTreeMap<K, u64>) {
            for (key, count) in theirs {
                *mine.entry(key).or_default() += count;
            }
        }
        add(&mut self.payloads, other.payloads);
        add(&mut self.proved, other.proved);
        add(&mut self.states, other.states);
        add(&mut self.variants, other.variants);
        add(&mut self.absent, other.absent);
        add(&mut self.operand_classes, other.operand_classes);
        add(&mut self.unjudged, other.unjudged);
        self.unable.extend(other.unable);
        for (engine, reason) in other.refused {
            self.refused.entry(engine).or_insert(reason);
        }
        self.unreferenced.extend(other.unreferenced);
        self.engines.extend(other.engines);
        self.inspected += other.inspected;
        add(&mut self.uninvestigated, other.uninvestigated);
        self.observed += other.observed;
        self.ignored |= other.ignored;
        for (arch, writes) in other.writes {
            let mine = self.writes.entry(arch).or_default();
            *mine = mine.union(writes);
        }
        self.state_classes.merge(&other.state_classes);
        self.possible = self.possible.or(other.possible);
    }
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
                .map(|(number, &(kop, form))| {
                    let mut choices = Seeded::derived(seed, &[PLANNING, number as u64]);
                    let mut planned = plan(kop, form, settings.states, &mut choices);
                    turns::share(kop, form, &mut planned, settings.states >= DEFAULT_STATES);
                    Target { kop, form, planned }
                })
                .collect()
        });
        let units = units(&targets);
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
                let result = run_unit(&mut rig, target, unit, seed, settings);
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

/// Labels that keep the sequences of decisions apart.
const PLANNING: u64 = 1;
const RUNNING: u64 = 2;
const INSPECTING: u64 = 3;

fn units(targets: &[Target]) -> Vec<Unit> {
    let mut units = Vec::new();
    for (target, planned) in targets.iter().enumerate() {
        let length = planned.planned.len();
        let runs =
            (0..length).step_by(PAYLOADS_PER_UNIT).map(|from| from..length.min(from + PAYLOADS_PER_UNIT));
        let noted = (!planned.kop.noted_payloads(planned.form).is_empty()).then_some(Work::Noted);
        // What is noted comes first: of equal causes the first is told.
        let work = noted.into_iter().chain(runs.map(Work::Run));
        let work = work.chain((0..INSPECTION_UNITS).map(|_| Work::Inspect));
        units.extend(work.enumerate().map(|(number, work)| Unit { target, number: number as u64, work }));
    }
    units
}

fn run_unit(rig: &mut Rig, target: &Target, unit: &Unit, seed: u64, settings: &Settings) -> UnitResult {
    rig.take_breath();
    let label = |kind| Seeded::derived(seed, &[kind, unit.target as u64, unit.number]);
    match &unit.work {
        Work::Noted => inspect_noted(target, &settings.scope),
        Work::Inspect => inspect_payloads(target, &mut label(INSPECTING), &settings.scope),
        Work::Run(range) => run_payloads(
            rig,
            target,
            &target.planned[range.clone()],
            unit.number,
            &mut label(RUNNING),
            settings,
        ),
    }
}

/// Compares the callbacks on payloads, valid and not, without running anything.
fn inspect_payloads(target: &Target, choices: &mut Seeded, scope: &Scope) -> UnitResult {
    let (kop, form) = (target.kop, target.form);
    let mut result = UnitResult::default();
    let payloads: Vec<u64> = many_operands(kop, form, INSPECTED_PER_UNIT, choices)
        .into_iter()
        .enumerate()
        .filter_map(|(number, operands)| {
            if number % 2 == 0 {
                return Some(invalid_payload(form, choices, |_| operands));
            }
            operands.map(|operands| form.layout.pack(&operands))
        })
        .collect();
    kop.expect(&payloads, &scope.all_feature_sets(kop));
    for (number, payload) in payloads.into_iter().enumerate() {
        if number % 64 == 1 {
            result.tally.ignored |= ignored_bits(kop, form, payload, scope);
        }
        result.tally.inspected += 1;
        add_findings(&mut result.findings, prepare(kop, form, payload, scope).findings);
    }
    result
}

/// Compares the callbacks on the payloads that the operation itself has noted.
fn inspect_noted(target: &Target, scope: &Scope) -> UnitResult {
    let (kop, form) = (target.kop, target.form);
    let mut result = UnitResult::default();
    for payload in kop.noted_payloads(form) {
        result.tally.inspected += 1;
        add_findings(&mut result.findings, prepare(kop, form, payload, scope).findings);
    }
    result
}

fn add_findings(known: &mut Vec<(Finding, u64)>, findings: impl IntoIterator<Item = Finding>) {
    for finding in findings {
        match known.iter_mut().find(|(known, _)| known.cause() == finding.cause()) {
            Some((_, count)) => *count += 1,
            None => known.push((finding, 1)),
        }
    }
}

fn run_payloads(
    rig: &mut Rig,
    target: &Target,
    planned: &[Planned],
    number: u64,
    choices: &mut Seeded,
    settings: &Settings,
) -> UnitResult {
    let (kop, form) = (target.kop, target.form);
    let mut result = UnitResult::default();
    let slot = Slot::of_batch(number);
    let memory = random_memory(slot, choices);
    let mut subjects: Vec<(Subject, Planned)> = Vec::new();
    let payloads: Vec<u64> = planned.iter().map(|planned| form.layout.pack(&planned.operands)).collect();
    kop.expect(&payloads, &settings.scope.all_feature_sets(kop));
    for planned in planned {
        note_operands(form, &planned.operands, &mut result.tally.operand_classes);
        let prepared = prepare(kop, form, form.layout.pack(&planned.operands), &settings.scope);
        add_findings(&mut result.findings, prepared.findings);
        if let Some(subject) = prepared.subject {
            subjects.push((subject, *planned));
        }
        if rig.is_enough(&result.findings) {
            return result;
        }
    }
    // Evenly over the plan, wherever in it this unit is.
    let every = target.planned.len().div_ceil(SAMPLED_PAYLOADS).max(1);
    let loads: Vec<Load> = subjects
        .iter()
        .enumerate()
        .flat_map(|(index, (subject, planned))| {
            let sampled = (number as usize * PAYLOADS_PER_UNIT + index).is_multiple_of(every);
            make_loads(subject, *planned, slot, sampled, choices, &mut result.tally)
        })
        .collect();
    for run in runs(&loads) {
        if rig.is_enough(&result.findings) {
            break;
        }
        let outcome = rig.run(&memory, run);
        for (load, ran) in run.iter().zip(&outcome.ran) {
            for &arch in ran {
                *result.tally.states.entry(arch).or_default() += load.count() as u64;
            }
            for variant in &load.subject.variants {
                if ran.contains(&variant.code.arch) {
                    let key = (variant.code.arch, variant.features);
                    *result.tally.variants.entry(key).or_default() += load.count() as u64;
                }
            }
        }
        for (finding, count) in outcome.findings {
            match result.findings.iter_mut().find(|(known, _)| known.cause() == finding.cause()) {
                Some((_, known)) => *known += count,
                None => result.findings.push((finding, count)),
            }
        }
        let tally = &mut result.tally;
        for (arch, count) in outcome.uninvestigated {
            *tally.uninvestigated.entry(arch).or_default() += count;
        }
        tally.observed += outcome.observed;
        tally.engines.extend(outcome.engines);
        tally.unreferenced.extend(outcome.unreferenced);
        for (engine, reason) in outcome.refused {
            tally.refused.entry(engine).or_insert(reason);
        }
        for (engine, count) in outcome.unjudged {
            *tally.unjudged.entry(engine).or_default() += count;
        }
        for (arch, features, reason) in outcome.unable {
            tally.unable.insert((arch, features), reason);
        }
    }
    for (subject, _) in &subjects {
        for &(arch, features) in &subject.absent {
            *result.tally.absent.entry((arch, features)).or_default() += 1;
        }
        for variant in &subject.variants {
            let writes = result.tally.writes.entry(variant.code.arch).or_default();
            *writes = writes.union(variant.writes);
        }
        for &arch in &settings.scope.archs {
            let codes =
                || subject.variants.iter().map(|variant| &variant.code).filter(|code| code.arch == arch);
            if codes().next().is_none() {
                continue;
            }
            *result.tally.payloads.entry(arch).or_default() += 1;
            let knows = |proofs: &Arc<dyn Proofs>| {
                codes().all(|code| proofs.knows(&subject.proof, code, subject.dead))
            };
            if settings.proofs.as_ref().is_some_and(knows) {
                *result.tally.proved.entry(arch).or_default() += 1;
            }
        }
    }
    result
}

/// The most states of one load: more go into further loads.
const STATES_PER_LOAD: usize = 2048;

/// The same for an operation that stores: copies of copies make memory alike everywhere, and then hide mistakes.
const STORING_STATES_PER_LOAD: usize = 255;

fn make_loads<'s>(
    subject: &'s Subject<'s>,
    planned: Planned,
    slot: Slot,
    sampled: bool,
    choices: &mut Seeded,
    tally: &mut Tally,
) -> Vec<Load<'s>> {
    let inputs = subject.named();
    let state_plan = StatePlan {
        inputs,
        memory: &subject.memory,
        interesting: subject.kop.interesting_values(subject.form),
        slot,
    };
    tally.possible = tally.possible.or(state_plan.possible());
    let states = planned.states;
    let each = if subject.stores() { STORING_STATES_PER_LOAD } else { STATES_PER_LOAD };
    (0..states)
        .step_by(each)
        .map(|from| {
            let mut values = Vec::new();
            for number in from..states.min(from + each) {
                let placing = turns::placing(planned.turn, number);
                state_plan.generate_placed(placing, choices, &mut tally.state_classes, &mut values);
            }
            let background = state_plan.background(choices);
            Load { subject, inputs, states: values, background, garbage: choices.bits(), sampled }
        })
        .collect()
}

/// Loads that may share a memory: one alone when it stores, otherwise as many as a chunk holds.
fn runs<'l, 's>(loads: &'l [Load<'s>]) -> Vec<&'l [Load<'s>]> {
    let mut runs = Vec::new();
    let mut start = 0;
    let mut words = 0;
    for (index, load) in loads.iter().enumerate() {
        let own = load.count() * 2 * load.inputs.len();
        let alone = load.subject.stores() || loads[start].subject.stores();
        let full = index - start >= kop_emulators::engine::MAX_BATCHES / 2
            || words + own > kop_emulators::engine::MAX_ROW_WORDS;
        if index > start && (alone || full) {
            runs.push(&loads[start..index]);
            (start, words) = (index, 0);
        }
        words += own;
    }
    if start < loads.len() {
        runs.push(&loads[start..]);
    }
    runs
}

fn random_memory(slot: Slot, choices: &mut impl Choices) -> Memory {
    let mut memory = Memory::zeroed(slot);
    for bytes in [&mut memory.window, &mut memory.stack] {
        for word in bytes.chunks_exact_mut(8) {
            word.copy_from_slice(&choices.bits().to_le_bytes());
        }
    }
    memory
}

fn note_operands(form: &Form, operands: &Operands, classes: &mut BTreeMap<String, u64>) {
    for class in operand_classes(form, operands) {
        *classes.entry(class).or_default() += 1;
    }
}

/// The classes that a payload belongs to.
fn operand_classes(form: &Form, operands: &Operands) -> Vec<String> {
    let mut classes = vec![format!("alias {}", alias_pattern(form, operands))];
    for (field, &value) in form.layout.fields().iter().zip(operands.values()) {
        let (min, max) = field.range();
        if field.is_register() {
            classes.push(format!("{}=r{value}", field.name));
        } else if value == min || value == max {
            classes.push(format!("{}={value}", field.name));
        } else if crate::generate::is_boundary(field, value) {
            classes.push(format!("{} at a power of two", field.name));
        }
    }
    classes
}

/// The classes that the form's payloads can belong to, from many random ones.
fn possible_classes(kop: &dyn Kop, form: &Form) -> BTreeSet<String> {
    let mut choices = Seeded::derived(0, &[PLANNING]);
    many_operands(kop, form, 4000, &mut choices)
        .into_iter()
        .flatten()
        .flat_map(|operands| operand_classes(form, &operands))
        .collect()
}

/// What is known of a row without asking the prover.
fn known_proof(payloads: u64, payloads_total: u64) -> reports::Proof {
    let whole = payloads == payloads_total;
    reports::Proof {
        verdict: if whole { reports::ProofVerdict::Proved } else { reports::ProofVerdict::Partial },
        payloads,
        payloads_total,
        formulas: 0,
        solved: 0,
        recalled: payloads,
        algebra: Vec::new(),
        reason: None,
        seconds: 0.0,
    }
}

/// What a check found, form by form.
pub struct Checked<'a> {
    forms: Vec<FormResult<'a>>,
    elapsed: Duration,
    rates: Vec<reports::Rate>,
}

struct FormResult<'a> {
    kop: &'a dyn Kop,
    form: &'a Form,
    findings: Vec<(Finding, u64)>,
    tally: Tally,
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
            let archs = settings.scope.archs_of(result.kop, result.form);
            // What has no emit at all is named once: its proof alone may be wrong.
            let bare = result.kop.archs(result.form).is_empty();
            for arch in archs.into_iter().map(Some).chain(bare.then_some(None)) {
                rows.push(result.row(arch, &shared, settings, save, &mut rig)?);
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

/// What the rows of a form have in common.
struct Shared {
    payloads_total: u64,
    classes: BTreeMap<String, u64>,
}

impl FormResult<'_> {
    fn shared(&self) -> Shared {
        Shared { payloads_total: describe::payloads_total(self.kop, self.form), classes: self.classes() }
    }

    /// The row of an architecture, or of an operation that has no emit for any.
    fn row(
        &self,
        arch: Option<Arch>,
        shared: &Shared,
        settings: &Settings,
        save: Option<&Path>,
        rig: &mut Option<Rig>,
    ) -> Result<reports::Row, String> {
        let tally = &self.tally;
        let divergences = self.divergences(arch, settings, save, rig)?;
        let count = |counts: &BTreeMap<Arch, u64>| arch.and_then(|arch| counts.get(&arch)).copied();
        let states = count(&tally.states).unwrap_or(0);
        let untested = (states == 0).then(|| self.why_untested(arch));
        let verdict = if !divergences.is_empty() {
            reports::RowVerdict::Divergent
        } else if untested.is_some() {
            reports::RowVerdict::Untested
        } else {
            reports::RowVerdict::Equivalent
        };
        let is_engine_of = |name| arch.is_some_and(|arch| tally.engines.contains(&(arch, name)));
        Ok(reports::Row {
            name: self.kop.name().to_owned(),
            form: self.form.name.to_string(),
            arch: arch.map_or("none", Arch::name).to_owned(),
            engines: settings
                .engines
                .iter()
                .filter(|engine| is_engine_of(engine.name))
                .map(|engine| engine.name.to_owned())
                .collect(),
            payloads: count(&tally.payloads).unwrap_or(0),
            payloads_total: shared.payloads_total,
            payloads_inspected: tally.inspected,
            states,
            observed: tally.observed,
            verdict,
            untested,
            variants: arch.map_or_else(Vec::new, |arch| self.variants(arch, settings)),
            contract: self.kop.declared_contract().to_vec(),
            clobbers: arch.map_or_else(Vec::new, |arch| self.clobbers(arch)),
            warnings: self.warnings(arch, &shared.classes),
            divergences,
            classes: shared.classes.clone(),
            proof: count(&tally.proved).map(|proved| known_proof(proved, shared.payloads_total)),
            source: place::source(self.kop, arch),
        })
    }

    fn divergences(
        &self,
        arch: Option<Arch>,
        settings: &Settings,
        save: Option<&Path>,
        rig: &mut Option<Rig>,
    ) -> Result<Vec<reports::Divergence>, String> {
        let concerns = |finding: &Finding| match arch {
            Some(arch) => finding.concerns(arch),
            None => finding.arch.is_none(),
        };
        let mut divergences = Vec::new();
        for (finding, count) in self.findings.iter().filter(|(finding, _)| concerns(finding)) {
            let rig = match rig {
                Some(rig) => rig,
                None => rig.insert(Rig::new(&settings.engines)?),
            };
            let (kop, form, scope) = (self.kop, self.form, &settings.scope);
            let arch = arch.unwrap_or(Arch::X86_64);
            divergences.push(describe::divergence(rig, kop, form, finding, *count, arch, scope, save)?);
        }
        Ok(divergences)
    }

    /// The names of what native code writes beyond the eBPF registers.
    fn clobbers(&self, arch: Arch) -> Vec<String> {
        let broken = |written: &Written| {
            self.findings.iter().any(|(finding, _)| {
                finding.kind == reports::Kind::Frame
                    && finding.concerns(arch)
                    && finding.place == written.name
            })
        };
        let writes = self.tally.writes.get(&arch).copied().unwrap_or_default();
        writes
            .others(arch)
            .into_iter()
            .map(|written| match written.preserved && !broken(&written) {
                true => format!("{} (restored)", written.name),
                false => written.name,
            })
            .collect()
    }

    fn variants(&self, arch: Arch, settings: &Settings) -> Vec<reports::Variant> {
        settings
            .scope
            .feature_sets(self.kop, arch)
            .into_iter()
            .filter_map(|features| {
                let key = (arch, features);
                let states = self.tally.variants.get(&key).copied().unwrap_or(0);
                let untested = match (self.tally.absent.get(&key), self.tally.unable.get(&key)) {
                    (Some(_), _) => Some("no emit: the proof sequence is compiled".to_owned()),
                    (None, Some(reason)) => Some(reason.clone()),
                    // The same bytes as for a fuller set of features.
                    (None, None) if states == 0 => return None,
                    (None, None) => None,
                };
                Some(reports::Variant { features: features.to_string(), states, untested })
            })
            .collect()
    }

    fn why_untested(&self, arch: Option<Arch>) -> String {
        let tally = &self.tally;
        let Some(arch) = arch else {
            return "it registers no emit: the proof sequence is compiled".to_owned();
        };
        if let Some(reason) =
            tally.unable.iter().find_map(|((own, _), reason)| (*own == arch).then_some(reason))
        {
            return reason.clone();
        }
        if let Some(reason) = tally.unreferenced.first() {
            return reason.clone();
        }
        if tally.absent.keys().any(|(own, _)| *own == arch) {
            return "there is no emit for these features: the proof sequence is compiled".to_owned();
        }
        format!("no reference engine, or none that executes {arch} code, was asked for or is here")
    }

    fn classes(&self) -> BTreeMap<String, u64> {
        let mut classes: BTreeMap<String, u64> =
            possible_classes(self.kop, self.form).into_iter().map(|class| (class, 0)).collect();
        for (class, count) in &self.tally.operand_classes {
            *classes.entry(class.clone()).or_default() += count;
        }
        classes.extend(self.tally.state_classes.by_name(self.tally.possible));
        classes
    }

    fn warnings(&self, arch: Option<Arch>, classes: &BTreeMap<String, u64>) -> Vec<String> {
        let mut warnings = self.kop.remarks(self.form);
        let ran = arch.is_some_and(|arch| self.tally.states.get(&arch).is_some_and(|&states| states > 0));
        let missing: Vec<&str> =
            classes.iter().filter(|(_, count)| **count == 0).map(|(class, _)| class.as_str()).collect();
        if ran && !missing.is_empty() {
            let shown = missing.iter().take(3).copied().collect::<Vec<_>>().join(", ");
            let dots = if missing.len() > 3 { ", .." } else { "" };
            warnings.push(format!(
                "{} of {} classes never occurred: {shown}{dots}",
                missing.len(),
                classes.len()
            ));
        }
        if self.tally.ignored != 0 {
            warnings.push(format!(
                "payload bits {:#x} are ignored: several encodings of one site",
                self.tally.ignored
            ));
        }
        let counts = self.tally.uninvestigated.iter();
        let count: u64 =
            counts.filter(|(own, _)| own.is_none() || **own == arch).map(|(_, count)| count).sum();
        if count > 0 {
            warnings.push(format!(
                "{count} further states of the form went wrong and were counted, not investigated"
            ));
        }
        for ((own, features), reason) in &self.tally.unable {
            if Some(*own) == arch {
                warnings.push(format!("the code for features {features} did not run: {reason}"));
            }
        }
        for (&(own, name), reason) in &self.tally.refused {
            if Some(own) == arch {
                warnings.push(format!("{name} does not run all code: {reason}"));
            }
        }
        for (&(own, name), count) in &self.tally.unjudged {
            if Some(own) == arch {
                warnings.push(format!(
                    "{name} is not judged in {count} states: the proof faults where {name} has memory of its own"
                ));
            }
        }
        if ran {
            warnings.extend(self.tally.unreferenced.iter().cloned());
        }
        warnings
    }
}
