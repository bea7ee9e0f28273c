// SPDX-License-Identifier: GPL-2.0-or-later
//! One round of one form: a seed becomes a plan of payloads, the plan becomes units of work, and each unit gives findings
//! and counts.

use std::ops::Range;
use std::sync::Arc;

use kop_ops::choices::{Choices, Seeded};
use kop_ops::state::Slot;
use kop_ops::{Form, Kop, Memory};

use super::classes::{note_operands, operand_classes};
use super::row::FormResult;
use super::tally::Tally;
use super::{DEFAULT_STATES, Proofs, Settings, shapes};
use crate::behaviour::Behaviour;
use crate::finding::Finding;
use crate::generate::{Planned, StatePlan, alias_pattern, invalid_payload, kind_of, many_operands, plan};
use crate::rig::{Load, Rig};
use crate::subject::{Scope, Subject, ignored_bits, prepare};
use crate::turns;

/// Payloads per unit of work.
const PAYLOADS_PER_UNIT: usize = 24;

/// About how many payloads of a form have a state observed although nothing looks odd: as many as a default run has. Being
/// observed takes longer than all states of a payload together where a form has so many that each gets few.
const SAMPLED_PAYLOADS: usize = DEFAULT_STATES / 8;

/// Payloads, valid and not, whose callbacks are compared in one unit of work without running anything.
const INSPECTED_PER_UNIT: usize = 1000;

/// Such units per form and round.
pub(super) const INSPECTIONS: [usize; 4] = [INSPECTED_PER_UNIT; 4];

/// One operation's form with its plan.
pub(super) struct Target<'a> {
    pub kop: &'a dyn Kop,
    pub form: &'a Form,
    pub planned: Vec<Planned>,
}

impl<'a> Target<'a> {
    /// A form with the payloads that a seed gives it; `number` is its place among all forms.
    pub fn new(kop: &'a dyn Kop, form: &'a Form, settings: &Settings, seed: u64, number: usize) -> Self {
        let mut planned = unplaced(kop, form, settings, seed, number);
        turns::share(kop, form, &mut planned, settings.states >= DEFAULT_STATES);
        Target { kop, form, planned }
    }
}

/// The payloads and their states, before pointers are given their places.
pub(super) fn unplaced(
    kop: &dyn Kop,
    form: &Form,
    settings: &Settings,
    seed: u64,
    number: usize,
) -> Vec<Planned> {
    let mut choices = Seeded::derived(seed, &[PLANNING, number as u64]);
    let mut planned = plan(kop, form, settings.states, &mut choices);
    if settings.states >= DEFAULT_STATES {
        shapes::extend(kop, form, &mut planned, &settings.scope);
    }
    planned
}

/// A unit of work: some payloads of a target.
pub(super) struct Unit {
    pub target: usize,
    number: u64,
    work: Work,
}

enum Work {
    Run(Range<usize>),
    /// The callbacks alone, on so many payloads.
    Inspect(usize),
    Noted,
}

/// What a unit gave.
#[derive(Default)]
pub(super) struct UnitResult {
    pub findings: Vec<(Finding, u64)>,
    pub tally: Tally,
}

/// Labels that keep the sequences of decisions apart.
pub(super) const PLANNING: u64 = 1;
const RUNNING: u64 = 2;
const INSPECTING: u64 = 3;

/// The units of work for these targets; in one for each of `inspections` callbacks alone are compared, on so many payloads.
pub(super) fn units(targets: &[Target], inspections: &[usize]) -> Vec<Unit> {
    let mut units = Vec::new();
    for (target, planned) in targets.iter().enumerate() {
        let length = planned.planned.len();
        let runs =
            (0..length).step_by(PAYLOADS_PER_UNIT).map(|from| from..length.min(from + PAYLOADS_PER_UNIT));
        let noted = (!planned.kop.noted_payloads(planned.form).is_empty()).then_some(Work::Noted);
        // What is noted comes first: of equal causes the first is told.
        let work = noted.into_iter().chain(runs.map(Work::Run));
        let work = work.chain(inspections.iter().map(|&payloads| Work::Inspect(payloads)));
        units.extend(work.enumerate().map(|(number, work)| Unit { target, number: number as u64, work }));
    }
    units
}

/// Does a whole round of a form, on the calling thread, and notes what it did. The seed is all that it depends on.
pub(crate) fn run_form<'a>(
    rig: &mut Rig,
    (kop, form): (&'a dyn Kop, &'a Form),
    seed: u64,
    settings: &Settings,
    behaviour: &mut Behaviour,
) -> FormResult<'a> {
    let target = Target::new(kop, form, settings, seed, 0);
    let mut whole = FormResult { kop, form, findings: Vec::new(), tally: Tally::default() };
    for unit in units(std::slice::from_ref(&target), &[settings.states.min(INSPECTED_PER_UNIT)]) {
        let result = run_unit(rig, &target, &unit, seed, settings, Some(behaviour));
        for (finding, count) in result.findings {
            match whole.findings.iter_mut().find(|(known, _)| known.cause() == finding.cause()) {
                Some((_, known)) => *known += count,
                None => whole.findings.push((finding, count)),
            }
        }
        whole.tally.merge(result.tally);
    }
    let tally = &whole.tally;
    let classes = tally.state_classes.by_name(tally.possible).into_iter();
    classes.filter(|(_, count)| *count > 0).for_each(|(class, _)| behaviour.note(&["state", &class]));
    tally.engines.iter().for_each(|(arch, engine)| behaviour.note(&["engine", arch.name(), engine]));
    tally.unable.values().for_each(|reason| behaviour.note(&["unable", reason]));
    whole.findings.iter().for_each(|(finding, _)| behaviour.note(&["finding", &finding.cause()]));
    whole
}

/// Does one unit of work.
pub(super) fn run_unit(
    rig: &mut Rig,
    target: &Target,
    unit: &Unit,
    seed: u64,
    settings: &Settings,
    behaviour: Option<&mut Behaviour>,
) -> UnitResult {
    rig.take_breath();
    let label = |kind| Seeded::derived(seed, &[kind, unit.target as u64, unit.number]);
    match &unit.work {
        Work::Noted => inspect_noted(target, &settings.scope),
        Work::Inspect(count) => inspect_payloads(target, *count, &mut label(INSPECTING), &settings.scope),
        Work::Run(range) => run_payloads(
            rig,
            target,
            &target.planned[range.clone()],
            unit.number,
            &mut label(RUNNING),
            settings,
            behaviour,
        ),
    }
}

/// Compares the callbacks on payloads, valid and not, without running anything.
fn inspect_payloads(target: &Target, count: usize, choices: &mut Seeded, scope: &Scope) -> UnitResult {
    let (kop, form) = (target.kop, target.form);
    let mut result = UnitResult::default();
    let payloads: Vec<u64> = many_operands(kop, form, count, choices)
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
    behaviour: Option<&mut Behaviour>,
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
    if let Some(behaviour) = behaviour {
        subjects.iter().for_each(|(subject, _)| note(subject, behaviour));
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

/// Notes what a payload is and what it becomes.
fn note(subject: &Subject, behaviour: &mut Behaviour) {
    let alias = alias_pattern(subject.form, &subject.operands);
    for class in operand_classes(subject.form, &subject.operands) {
        behaviour.note(&["operands", &class]);
    }
    let proof: Vec<String> = subject.proof.iter().map(kind_of).collect();
    behaviour.note(&["proof", &proof.join(";")]);
    for variant in &subject.variants {
        let of = format!("{} {} {alias}", subject.form.name, variant.features);
        behaviour.note_code(variant.code.arch, &of, &variant.code.bytes);
    }
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
    let state_plan = StatePlan::of(subject, slot);
    let inputs = state_plan.inputs;
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
