// SPDX-License-Identifier: GPL-2.0-or-later
//! Which mutants there are: for each shape that the code of a form has, every change that does something to a payload of that
//! shape, each effect once.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use kop_emulators::inspect::listing;
use kop_ops::{Arch, Features};
use kop_reports::MutatedSide;

use super::broken::{Change, Place, shape};
use super::edit::{Edit, Instruction, Kind, edited, edits};
use super::{aarch64, ebpf, x86_64};
use crate::subject::Scope;

/// The most payloads of a shape that changes are tried on.
const SAMPLES: usize = 64;

/// All shapes are broken while they have at most so many instructions together.
const MOST_INSTRUCTIONS: usize = 320;

/// Of shapes with more, some are, with so many instructions together: of what room there is each takes up to a half, so that long ones
/// and short ones are among them.
const CHOSEN_INSTRUCTIONS: usize = 64;

/// The most payloads that are remembered of those that a change does something to.
const SHOWN: usize = 16;

/// How many payloads are asked about at once.
const ASKED_AT_ONCE: usize = 1024;

/// A mutant.
#[derive(Clone, Debug)]
pub(super) struct Mutant {
    /// What is changed.
    pub change: Change,
    /// Payloads that the change does something to.
    pub payloads: Vec<u64>,
    /// The change in one line.
    pub text: String,
}

/// Code as it is for a payload.
struct Sample<I: Instruction> {
    payload: u64,
    code: I::Code,
    insns: Vec<I>,
}

/// What there is to break.
pub(super) struct Mutants {
    pub mutants: Vec<Mutant>,
    /// How many shapes the code has.
    pub shapes: usize,
    /// How many of them are broken.
    pub broken: usize,
}

/// The mutants of an emit or a proof, for payloads that cover what its code may look like.
pub(super) fn mutants(place: Place, payloads: &[u64], scope: &Scope) -> Mutants {
    let features = scope.feature_sets(place.kop, place.arch);
    match (place.side, place.arch) {
        (MutatedSide::Proof, _) => {
            of_code::<ebpf::Insn>(place, payloads, &[Features::NONE], |payload, _| place.proof(payload))
        }
        (MutatedSide::Emit, Arch::X86_64) => {
            of_code::<x86_64::Insn>(place, payloads, &features, |payload, own| place.code(payload, own))
        }
        (MutatedSide::Emit, Arch::Aarch64) => {
            of_code::<aarch64::Insn>(place, payloads, &features, |payload, own| place.code(payload, own))
        }
    }
}

/// The kinds of instructions of a code, one by one, and the codes that are of these kinds.
type Shape<I> = (Arc<[u64]>, Vec<Sample<I>>);

fn of_code<I: Instruction + Listed>(
    place: Place,
    payloads: &[u64],
    features: &[Features],
    code: impl Fn(u64, Features) -> Option<I::Code>,
) -> Mutants {
    let mut numbers: HashMap<Arc<[u64]>, usize> = HashMap::new();
    let mut shapes: Vec<Shape<I>> = Vec::new();
    for payloads in payloads.chunks(ASKED_AT_ONCE) {
        place.kop.expect(payloads, features);
        for (&payload, &own) in payloads.iter().flat_map(|p| features.iter().map(move |f| (p, f))) {
            let Some(code) = code(payload, own) else { continue };
            let Some(insns) = I::decode(&code) else { continue };
            let shape = shape(&insns);
            let number = *numbers.entry(Arc::clone(&shape)).or_insert(shapes.len());
            if number == shapes.len() {
                shapes.push((shape, Vec::new()));
            }
            let samples = &mut shapes[number].1;
            let is_known = samples.last().is_some_and(|last| last.payload == payload && last.code == code);
            if !is_known {
                samples.push(Sample { payload, code, insns });
            }
        }
    }
    let taken = chosen(&shapes.iter().map(|(shape, _)| shape.len()).collect::<Vec<_>>());
    let broken = taken.iter().map(|&number| &shapes[number]);
    let mutants = broken.flat_map(|(shape, samples)| of_shape(place, shape, samples)).collect();
    Mutants { mutants, shapes: shapes.len(), broken: taken.len() }
}

/// Which of the shapes with so many instructions are broken: all, or as many as there is room for, and one at least.
fn chosen(lengths: &[usize]) -> BTreeSet<usize> {
    if lengths.iter().sum::<usize>() <= MOST_INSTRUCTIONS {
        return (0..lengths.len()).collect();
    }
    let mut taken = BTreeSet::new();
    let mut room = CHOSEN_INSTRUCTIONS;
    let longest = |room: usize, taken: &BTreeSet<usize>| {
        let left =
            (0..lengths.len()).filter(|number| !taken.contains(number) && lengths[*number] <= room / 2);
        left.max_by_key(|&number| (lengths[number], Reverse(number)))
    };
    while let Some(number) = longest(room, &taken) {
        room -= lengths[number];
        taken.insert(number);
    }
    if taken.is_empty() {
        taken.extend((0..lengths.len()).min_by_key(|&number| lengths[number]));
    }
    taken
}

fn of_shape<I: Instruction + Listed>(place: Place, shape: &Arc<[u64]>, all: &[Sample<I>]) -> Vec<Mutant> {
    let samples: Vec<&Sample<I>> = all.iter().step_by(all.len().div_ceil(SAMPLES)).collect();
    // Where registers coincide there are fewer to choose from.
    let Some(richest) = samples.iter().max_by_key(|sample| registers(&sample.insns)) else {
        return Vec::new();
    };
    let roles: Vec<_> = samples.iter().map(|sample| place.roles(sample.payload)).collect();
    let mut effects = HashSet::new();
    let mut mutants = Vec::new();
    for edit in edits(&richest.insns, &place.roles(richest.payload)) {
        let mut hasher = DefaultHasher::new();
        let mut differing: Vec<(&Sample<I>, I::Code)> = Vec::new();
        for (sample, roles) in samples.iter().zip(&roles) {
            let changed = edited(&sample.code, &sample.insns, edit, roles);
            changed.as_ref().map(|changed| difference::<I>(&sample.code, changed)).hash(&mut hasher);
            differing.extend(changed.map(|changed| (*sample, changed)));
        }
        let Some((first, code)) = differing.first() else { continue };
        if effects.insert(hasher.finish()) {
            let text = text::<I>(place, edit, &first.code, code);
            let payloads = differing.iter().step_by(differing.len().div_ceil(SHOWN));
            let payloads = payloads.map(|(sample, _)| sample.payload).collect();
            let change = Change { shape: Arc::clone(shape), edit };
            mutants.push(Mutant { change, payloads, text });
        }
    }
    mutants
}

/// Where code is other than before, which says what it is: its length, the first unit that differs, and those from there to the
/// last one that does.
fn difference<'c, I: Instruction>(before: &I::Code, after: &'c I::Code) -> (usize, usize, &'c [I::Unit]) {
    let (before, after) = (before.as_ref(), after.as_ref());
    let is_same = |(a, b): &(&I::Unit, &I::Unit)| a == b;
    let first = before.iter().zip(after).take_while(is_same).count();
    let (before, rest) = (&before[first..], &after[first..]);
    let last = before.iter().rev().zip(rest.iter().rev()).take_while(is_same).count();
    (after.len(), first, &rest[..rest.len() - last])
}

/// How many registers the code names.
fn registers<I: Instruction>(code: &[I]) -> usize {
    let named: HashSet<_> = code
        .iter()
        .flat_map(|insn| insn.operands().into_iter().map(move |operand| (insn, operand)))
        .filter_map(|(insn, operand)| match operand.kind {
            Kind::Register(class) => Some((class, insn.register(operand.slot))),
            Kind::Immediate { .. } => None,
        })
        .collect();
    named.len()
}

/// The change in one line: the instruction's number, before and after.
fn text<I: Instruction + Listed>(place: Place, edit: Edit, before: &I::Code, after: &I::Code) -> String {
    let (before, after) = (I::listed(before), I::listed(after));
    let index = edit.index();
    let words = edit.words(place.form);
    match edit {
        Edit::Tweak(..) => {
            let (before, after) = (&before[index], after.get(index).map_or("", String::as_str));
            format!("{index}: `{before}` -> `{after}` ({words})")
        }
        Edit::Swap(_) => format!("{index}: `{}` {words}, `{}`", before[index], before[index + 1]),
        Edit::Drop(_) | Edit::Duplicate(_) => format!("{index}: `{}` {words}", before[index]),
    }
}

/// Code that can be shown, a line for each instruction.
pub(super) trait Listed: Instruction {
    /// The lines.
    fn listed(code: &Self::Code) -> Vec<String>;
}

fn native(arch: Arch, code: &[u8]) -> Vec<String> {
    listing(arch, code).into_iter().map(|line| line.text).collect()
}

impl Listed for x86_64::Insn {
    fn listed(code: &Vec<u8>) -> Vec<String> {
        native(Arch::X86_64, code)
    }
}

impl Listed for aarch64::Insn {
    fn listed(code: &Vec<u8>) -> Vec<String> {
        native(Arch::Aarch64, code)
    }
}

impl Listed for ebpf::Insn {
    fn listed(code: &Vec<kop_ops::ebpf::Insn>) -> Vec<String> {
        code.iter().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shapes_are_broken_while_there_is_room_and_one_always() {
        let of = |lengths: &[usize]| chosen(lengths).into_iter().collect::<Vec<_>>();
        assert_eq!(of(&[]), [0; 0]);
        assert_eq!(of(&[7]), [0]);
        assert_eq!(of(&[1000]), [0]);
        assert_eq!(of(&[100, 200, 20]), [0, 1, 2]);
        assert_eq!(of(&[200, 40, 100]), [1]);
        let lengths: Vec<usize> = (1..=128).collect();
        let taken = of(&lengths);
        // Half of the room, a quarter, and so on.
        assert_eq!(taken, [1, 2, 4, 8, 16, 32].map(|length| length - 1));
        assert_eq!(of(&[0; 400]).len(), 400);
    }
}
