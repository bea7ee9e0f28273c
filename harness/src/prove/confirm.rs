// SPDX-License-Identifier: GPL-2.0-or-later
//! What the prover refutes, on the engines: the state of the counterexample, moved to where memory is, and states near to it.
//! What no engine confirms is a finding about the semantics.

use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::Reg;
use kop_ops::state::{Registers, Slot, WINDOW_SIZE};
use kop_ops::{Arch, Memory, State};
use kop_prover::statement::Counterexample;
use kop_prover::sweep::{Failure, FailureKind, Row};
use kop_reports::{Blame, Kind};

use crate::finding::Finding;
use crate::generate::{StateClasses, StatePlan};
use crate::rig::{Load, Rig};
use crate::subject::{Scope, Subject, difference, prepare};

/// How many settings of flags, scratch registers and the like a state is tried with.
const GARBAGE_TRIED: u64 = 24;

/// How many random states of the payload are run where the counterexample's own shows nothing.
const STATES: usize = 4096;

/// What the engines make of a row's failures: the first that they confirm, or that they confirm none; `None` when none is a
/// counterexample.
///
/// A counterexample may be beyond what can be confirmed where others are not: r10 points to the end of the stack here, and anywhere
/// in a formula.
pub(super) fn finding(
    rig: &mut Rig,
    row: Row,
    failures: impl Iterator<Item = Failure>,
    scope: &Scope,
) -> Option<Finding> {
    let scope = Scope { archs: vec![row.arch], ..scope.clone() };
    let mut first = None;
    for failure in failures {
        if matches!(failure.kind, FailureKind::Unsupported(_) | FailureKind::Timeout) {
            continue;
        }
        if let Some(confirmed) = confirmed(rig, row, &failure, &scope) {
            return Some(confirmed);
        }
        first = first.or(Some(failure));
    }
    first.map(|failure| unconfirmed(row.arch, &failure))
}

fn confirmed(rig: &mut Rig, row: Row, failure: &Failure, scope: &Scope) -> Option<Finding> {
    let prepared = prepare(row.kop, row.form, failure.payload, scope);
    // What shows without running anything comes first: such code is not run.
    if let Some(found) = prepared.findings.into_iter().next() {
        return Some(found);
    }
    rig.take_breath();
    let FailureKind::Refuted(counterexample) = &failure.kind else { return None };
    let subject = prepared.subject.as_ref()?;
    by_state(rig, subject, counterexample).or_else(|| by_states(rig, subject))
}

/// The counterexample's state.
fn by_state(rig: &mut Rig, subject: &Subject, counterexample: &Counterexample) -> Option<Finding> {
    let state = state(subject, counterexample)?;
    (0..GARBAGE_TRIED).find_map(|garbage| rig.judge(subject, &state, garbage).into_iter().next())
}

/// Random states.
fn by_states(rig: &mut Rig, subject: &Subject) -> Option<Finding> {
    let mut choices = Seeded::new(subject.payload);
    let slot = Slot::default();
    let plan = StatePlan::of(subject, slot);
    let each = if subject.stores() { 255 } else { 2047 };
    for _ in 0..STATES / each {
        let mut states = Vec::new();
        for _ in 0..each {
            plan.generate(&mut choices, &mut StateClasses::default(), &mut states);
        }
        let mut memory = Memory::zeroed(slot);
        for word in
            [&mut memory.window, &mut memory.stack].into_iter().flat_map(|bytes| bytes.chunks_exact_mut(8))
        {
            word.copy_from_slice(&choices.bits().to_le_bytes());
        }
        let background = plan.background(&mut choices);
        let load =
            Load { subject, inputs: plan.inputs, states, background, garbage: choices.bits(), sampled: true };
        if let Some((finding, _)) = rig.run(&memory, &[load]).findings.into_iter().next() {
            return Some(finding);
        }
    }
    None
}

/// The state of a counterexample, with its pointers moved into the window; `None` when they cannot all be.
///
/// The solver chooses addresses as it likes. Code that keeps to the memory that its proof sequence touches depends on how far they
/// are from each other alone: those that are near to each other keep their distance.
fn state(subject: &Subject, counterexample: &Counterexample) -> Option<State> {
    const NEAR: u64 = 512;
    let slot = Slot::default();
    let mut registers: Registers = counterexample.registers;
    registers[Reg::R10.index()] = slot.stack_end();
    let mut state = State { registers, memory: Memory::zeroed(slot) };
    let mut placed: Vec<(u64, u64)> = Vec::new();
    placed.push((counterexample.register(Reg::R10), slot.stack_end()));
    for pointer in subject.memory.iter().filter(|pointer| pointer.base != Reg::R10) {
        let added = pointer.added(|reg| counterexample.register(reg));
        let from = counterexample.register(pointer.base).wrapping_add(added);
        let near = placed.iter().find(|(old, _)| (from.wrapping_sub(*old) as i64).unsigned_abs() < NEAR);
        let to = match near {
            Some((old, new)) => new.wrapping_add(from.wrapping_sub(*old)),
            None => {
                let number = placed.len() as u64;
                let middle = slot.window() + (number * 2 * NEAR + NEAR) % WINDOW_SIZE as u64;
                middle.wrapping_sub(pointer.low as u64)
            }
        };
        placed.push((from, to));
        state.registers[pointer.base.index()] = to.wrapping_sub(added);
    }
    for &(address, byte) in &counterexample.memory {
        let (old, new) =
            placed.iter().min_by_key(|(old, _)| (address.wrapping_sub(*old) as i64).unsigned_abs())?;
        // What lies outside of window and stack is nothing that the proof sequence may touch here.
        let _outside = state.memory.store(new.wrapping_add(address.wrapping_sub(*old)), 1, u64::from(byte));
    }
    Some(state)
}

/// Whether a finding says something else than that no engine confirms a counterexample.
pub(super) fn is_confirmed(finding: &Finding) -> bool {
    finding.kind != Kind::Reference || finding.run.is_some()
}

/// That no engine shows what the prover claims, or that none could run it.
fn unconfirmed(arch: Arch, failure: &Failure) -> Finding {
    let (message, place, first) = match &failure.kind {
        FailureKind::Refuted(found) => (
            format!("no engine confirms the prover's counterexample: {} is wrong", found.what),
            format!("prover's counterexample, {}", found.what),
            Some(difference(
                found.what.clone(),
                format!("{:#x}", found.proof),
                format!("{:#x}", found.native),
            )),
        ),
        FailureKind::Callbacks(reason) => (reason.clone(), "callbacks".to_owned(), None),
        FailureKind::Unsupported(reason) => (reason.to_string(), "unsupported".to_owned(), None),
        FailureKind::Timeout => ("it was not decided in time".to_owned(), "timeout".to_owned(), None),
    };
    let is_validity = matches!(failure.kind, FailureKind::Callbacks(_));
    Finding {
        kind: if is_validity { Kind::Validity } else { Kind::Reference },
        engine: "-".to_owned(),
        arch: Some(arch),
        features: failure.features,
        payload: failure.payload,
        blame: if is_validity { Blame::Emit } else { Blame::Undecided },
        reason: "the prover and the engines disagree: the semantics are wrong, or the engines miss it"
            .to_owned(),
        message,
        difference: first,
        place,
        run: None,
        sides: Vec::new(),
    }
}
