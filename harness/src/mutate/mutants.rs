// SPDX-License-Identifier: GPL-2.0-or-later
//! Which mutants there are: for each shape that the code of a form has, every change that does something to a payload of that
//! shape, each effect once.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use kop_emulators::inspect::listing;
use kop_ops::choices::{Choices, Seeded};
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
    /// How many there are before some are taken ([`Mutants::at_most`]).
    pub all: usize,
    /// How many shapes the code has.
    pub shapes: usize,
    /// How many of them are broken.
    pub broken: usize,
}

impl Mutants {
    /// So many of them in the same order: of every shape, instruction and kind of change one before any has two. Which of those that
    /// are alike is the seed's choice.
    #[must_use]
    pub(super) fn at_most(mut self, most: usize, seed: u64) -> Self {
        if self.mutants.len() <= most {
            return self;
        }
        let mut lots = Seeded::new(seed);
        let lots: Vec<u64> = self.mutants.iter().map(|_| lots.bits()).collect();
        let mut order: Vec<usize> = (0..lots.len()).collect();
        order.sort_unstable_by_key(|&number| lots[number]);
        let mut taken: HashMap<_, usize> = HashMap::new();
        let ranks = order.iter().map(|&number| {
            let Change { shape, edit } = &self.mutants[number].change;
            let rank = taken.entry((shape, edit.index(), edit.operator())).or_default();
            *rank += 1;
            *rank
        });
        let mut ranked: Vec<(usize, usize)> = ranks.zip(order.iter().copied()).collect();
        // A stable sort: those of one rank stay in the order of their lots.
        ranked.sort_by_key(|(rank, _)| *rank);
        let chosen: HashSet<usize> = ranked.into_iter().take(most).map(|(_, number)| number).collect();
        let mut number = 0..;
        self.mutants.retain(|_| number.next().is_some_and(|number| chosen.contains(&number)));
        self
    }
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
    let mutants: Vec<Mutant> = broken.flat_map(|(shape, samples)| of_shape(place, shape, samples)).collect();
    Mutants { all: mutants.len(), mutants, shapes: shapes.len(), broken: taken.len() }
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
    use super::super::edit::Tweak;
    use super::*;

    fn mutant(index: usize, tweak: Option<u32>) -> Mutant {
        let edit = tweak.map_or(Edit::Drop(index), |bit| Edit::Tweak(index, Tweak::Flip(0, bit)));
        let change = Change { shape: Arc::from([1, 2, 3]), edit };
        Mutant { change, payloads: vec![0], text: format!("{edit:?}") }
    }

    #[test]
    fn each_instruction_is_broken_in_every_way_before_one_is_twice_in_one() {
        let all: Vec<Mutant> = (0..9)
            .flat_map(|i| (0..32).map(move |bit| mutant(i, Some(bit))).chain([mutant(i, None)]))
            .collect();
        let of = |most, seed| {
            let mutants = Mutants { mutants: all.clone(), all: all.len(), shapes: 1, broken: 1 };
            let mutants = mutants.at_most(most, seed);
            assert_eq!(mutants.all, 9 * 33);
            mutants.mutants.into_iter().map(|mutant| mutant.change.edit).collect::<Vec<_>>()
        };
        let is_drop = |edit: &&Edit| matches!(edit, Edit::Drop(_));
        let eighteen = of(18, 7);
        assert_eq!((eighteen.len(), eighteen.iter().filter(is_drop).count()), (18, 9));
        assert!(eighteen.is_sorted_by_key(|edit| edit.index()));
        let forty = of(40, 7);
        assert_eq!((forty.len(), forty.iter().filter(is_drop).count()), (40, 9));
        assert!(eighteen.iter().all(|edit| forty.contains(edit)));
        assert_eq!(of(18, 7), eighteen);
        assert_ne!(of(18, 8), eighteen);
        assert_eq!(of(9 * 33, 7).len(), 9 * 33);
        assert_eq!(of(4, 7).len(), 4);
    }

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
