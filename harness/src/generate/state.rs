// SPDX-License-Identifier: GPL-2.0-or-later
//! States: register values from the places where mistakes are, related to each other, and pointers at the ends of window
//! and stack.

use std::collections::BTreeMap;

use kop_ops::choices::Choices;
use kop_ops::ebpf::{Reg, RegSet};
use kop_ops::state::{Registers, Slot, WINDOW_SIZE};

use super::constants::Constant;
use super::placement::{Placing, place};
use crate::pointers::Pointer;
use crate::subject::Subject;

/// How the states of one payload are made.
#[derive(Clone, Debug)]
pub struct StatePlan<'a> {
    /// The registers that get values, ascending in every state.
    pub inputs: RegSet,
    /// What reaches memory, and has to point somewhere.
    pub memory: &'a [Pointer],
    /// Values that the operation finds worth trying.
    pub interesting: &'a [u64],
    /// The numbers that the proof sequence computes with.
    pub constants: &'a [Constant],
    /// The slot.
    pub slot: Slot,
}

/// How often each class of value was generated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateClasses {
    counts: [u64; CLASSES.len()],
}

/// The classes of values, in the order in which they are drawn.
const CLASSES: [&str; 22] = [
    "value zero",
    "value one",
    "value all ones",
    "value signed extreme",
    "value 32-bit extreme",
    "value single bit",
    "value mask",
    "value byte pattern",
    "value small",
    "value of the operation",
    "value beside a constant",
    "value that is an address",
    "value random",
    "values equal",
    "values off by one",
    "values one bit apart",
    "pointer at an end",
    "pointer outside",
    "pointers equal",
    "pointers adjacent",
    "pointers overlap forward",
    "pointers overlap backward",
];

/// Which groups of classes an operation's states can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Possible {
    /// It touches memory.
    pub memory: bool,
    /// By two pointers or more.
    pub pairs: bool,
    /// Which reach more than a byte each.
    pub overlaps: bool,
    /// Two of its inputs are numbers.
    pub relations: bool,
    /// It names interesting values.
    pub interesting: bool,
    /// Its proof sequences compute with numbers.
    pub constants: bool,
    /// It touches memory, and one of its inputs is a number.
    pub addresses: bool,
}

impl Possible {
    /// What either can have.
    #[must_use]
    pub const fn or(self, other: Possible) -> Possible {
        Possible {
            memory: self.memory | other.memory,
            pairs: self.pairs | other.pairs,
            overlaps: self.overlaps | other.overlaps,
            relations: self.relations | other.relations,
            interesting: self.interesting | other.interesting,
            constants: self.constants | other.constants,
            addresses: self.addresses | other.addresses,
        }
    }
}

impl StateClasses {
    /// Adds the counts of another tally.
    pub fn merge(&mut self, other: &StateClasses) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
    }

    /// The counts by class, of those that can occur.
    pub fn by_name(&self, possible: Possible) -> BTreeMap<String, u64> {
        let can_occur = |name: &str| match name {
            "value of the operation" => possible.interesting,
            "value beside a constant" => possible.constants,
            "value that is an address" => possible.addresses,
            "pointers overlap forward" | "pointers overlap backward" => possible.overlaps,
            _ if name.starts_with("pointers") => possible.pairs,
            _ if name.starts_with("pointer") => possible.memory,
            _ if name.starts_with("values") => possible.relations,
            _ => true,
        };
        CLASSES
            .iter()
            .zip(self.counts)
            .filter(|(name, _)| can_occur(name))
            .map(|(name, count)| ((*name).to_owned(), count))
            .collect()
    }

    pub(super) fn note(&mut self, name: &str) {
        let index = CLASSES.iter().position(|class| *class == name).expect("classes are named by literals");
        self.counts[index] += 1;
    }
}

impl<'a> StatePlan<'a> {
    /// For the registers that a subject names.
    pub fn of(subject: &'a Subject, slot: Slot) -> Self {
        Self {
            inputs: subject.named(),
            memory: &subject.memory,
            interesting: subject.kop.interesting_values(subject.form),
            constants: &subject.constants,
            slot,
        }
    }
}

impl StatePlan<'_> {
    /// Which classes its states can have.
    pub fn possible(&self) -> Possible {
        let lengths = super::placement::related_lengths(self.memory);
        let bases: RegSet = self.memory.iter().map(|pointer| pointer.base).collect();
        let numbers = self.inputs.minus(RegSet::from(Reg::R10)).minus(bases).len();
        Possible {
            memory: !bases.minus(RegSet::from(Reg::R10)).is_empty(),
            pairs: lengths.is_some(),
            overlaps: lengths.is_some_and(|(first, second)| first > 1 && second > 1),
            relations: numbers > 1,
            interesting: !self.interesting.is_empty() && numbers > 0,
            constants: !self.constants.is_empty() && numbers > 0,
            addresses: !self.memory.is_empty() && numbers > 0,
        }
    }

    /// Appends one state: the values of the inputs, ascending by register.
    pub fn generate(&self, choices: &mut impl Choices, classes: &mut StateClasses, states: &mut Vec<u64>) {
        self.generate_placed(Placing::Any, choices, classes, states);
    }

    /// As [`StatePlan::generate`], with a say in how pointers are placed.
    pub fn generate_placed(
        &self,
        placing: Placing,
        choices: &mut impl Choices,
        classes: &mut StateClasses,
        states: &mut Vec<u64>,
    ) {
        let mut registers: Registers = [0; 11];
        registers[Reg::R10.index()] = self.slot.stack_end();
        let mut numbers = Vec::new();
        for reg in self.inputs.iter() {
            if reg != Reg::R10 && self.memory.iter().all(|pointer| pointer.base != reg) {
                let number = self.number(&numbers, choices, classes);
                numbers.push(number);
                registers[reg.index()] = number;
            }
        }
        place(self.memory, placing, self.slot, &mut registers, choices, classes);
        states.extend(self.inputs.iter().map(|reg| registers[reg.index()]));
    }

    /// What registers hold that neither form names: never zero, different for each half.
    pub fn background(&self, choices: &mut impl Choices) -> [Registers; 2] {
        let mut half = || {
            let mut registers: Registers = std::array::from_fn(|_| choices.bits() | 1);
            registers[Reg::R10.index()] = self.slot.stack_end();
            registers
        };
        [half(), half()]
    }

    /// One of the proof's numbers for one value in four; of numbers that are masks for one in two, as each of their bits is a case.
    fn constant(&self, choices: &mut impl Choices) -> Option<Constant> {
        let odds = if self.constants.iter().any(|constant| constant.is_mask) { 2 } else { 4 };
        (!self.constants.is_empty() && choices.one_in(odds)).then(|| *choices.pick(self.constants))
    }

    fn number(&self, before: &[u64], choices: &mut impl Choices, classes: &mut StateClasses) -> u64 {
        if !before.is_empty() && choices.one_in(5) {
            let other = *choices.pick(before);
            let (class, value) = match choices.below(8) {
                0..4 => ("values equal", other),
                4 => ("values off by one", other.wrapping_add(1)),
                5 => ("values off by one", other.wrapping_sub(1)),
                6 => ("values one bit apart", other ^ 1 << choices.below(64)),
                _ => ("values one bit apart", other ^ 1 << 31 ^ u64::from(choices.one_in(2)) << 63),
            };
            classes.note(class);
            return value;
        }
        let (class, value) = if let Some(constant) = self.constant(choices) {
            ("value beside a constant", constant.near(choices))
        } else if !self.memory.is_empty() && choices.one_in(8) {
            // What takes this register for the pointer does not fault at once.
            ("value that is an address", self.slot.window() + choices.below(WINDOW_SIZE as u64))
        } else {
            value(self.interesting, choices)
        };
        classes.note(class);
        value
    }
}

/// A value and its class: half of them known troublemakers.
fn value(interesting: &[u64], choices: &mut impl Choices) -> (&'static str, u64) {
    const BYTES: [u64; 8] = [
        0x0101_0101_0101_0101,
        0x8080_8080_8080_8080,
        0x5555_5555_5555_5555,
        0xaaaa_aaaa_aaaa_aaaa,
        0x00ff_00ff_00ff_00ff,
        0x0123_4567_89ab_cdef,
        0xfedc_ba98_7654_3210,
        0x0000_ffff_0000_ffff,
    ];
    const SIGNED: [u64; 4] = [1 << 63, (1 << 63) - 1, (1 << 63) + 1, u64::MAX - 1];
    const HALVES: [u64; 10] = [
        0xffff_ffff,
        0x8000_0000,
        0x7fff_ffff,
        0x1_0000_0000,
        0xffff_ffff_0000_0000,
        0xffff_ffff_8000_0000,
        0x8000_0000_8000_0000,
        0xffff_ffff_7fff_ffff,
        0x1_0000_0001,
        0xffff_fffe,
    ];
    match choices.below(24) {
        0 => ("value zero", 0),
        1 => ("value one", 1),
        2 => ("value all ones", u64::MAX),
        3 => ("value signed extreme", *choices.pick(&SIGNED)),
        4 | 5 => ("value 32-bit extreme", *choices.pick(&HALVES)),
        6 | 7 => {
            let bit = 1 << choices.below(64);
            ("value single bit", if choices.one_in(4) { !bit } else { bit })
        }
        8 | 9 => {
            let mask = u64::MAX >> choices.below(64);
            ("value mask", if choices.one_in(2) { mask } else { !(mask >> 1) })
        }
        10 => ("value byte pattern", *choices.pick(&BYTES)),
        11 | 12 => {
            let small = choices.below(130);
            ("value small", if choices.one_in(4) { small.wrapping_neg() } else { small })
        }
        13 if !interesting.is_empty() => ("value of the operation", *choices.pick(interesting)),
        14 => ("value random", choices.bits() & choices.bits() & choices.bits()),
        15 => ("value random", choices.bits() >> choices.below(64)),
        16 => ("value random", choices.bits() << choices.below(64)),
        17 => ("value random", choices.bits() | !0xffff_ffff),
        _ => ("value random", choices.bits()),
    }
}
