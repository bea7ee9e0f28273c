// SPDX-License-Identifier: GPL-2.0-or-later
//! Changes to code: what can be done to one instruction, and to a sequence of them. A change is relative to where it stands, so
//! that one change breaks the code of every payload of a shape in the same way.

use std::fmt;
use std::hash::Hash;

use kop_ops::Form;

/// The registers that an operand can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Class {
    /// General registers, and those of eBPF.
    General,
    /// SIMD registers.
    Vector,
}

/// What an operand holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A register.
    Register(Class),
    /// A number of so many bits.
    Immediate {
        /// The bits that the instruction reads.
        bits: u32,
    },
}

/// A place in an instruction that holds a register or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operand {
    /// Its number among the places of the instruction.
    pub slot: usize,
    /// What it holds.
    pub kind: Kind,
}

/// An instruction that can be broken. What is asked for and is not there, or has no encoding, is `None`.
pub(super) trait Instruction: Clone + PartialEq {
    /// What code consists of: bytes, or instructions of eBPF.
    type Unit: PartialEq + Hash;

    /// Code as callbacks answer it.
    type Code: Clone + PartialEq + AsRef<[Self::Unit]>;

    /// The instructions of `code`; `None` when it is not all instructions, or branches elsewhere.
    fn decode(code: &Self::Code) -> Option<Vec<Self>>;

    /// The inverse of [`Instruction::decode`]; `None` when a branch does not reach its target.
    fn encode(code: &[Self]) -> Option<Self::Code>;

    /// [`Instruction::encode`] where one instruction is another one, and `before` is the code as it was; `None` also when that is
    /// the same.
    fn encode_changed(before: &Self::Code, code: &[Self], index: usize, other: Self) -> Option<Self::Code> {
        let mut changed = code.to_vec();
        changed[index] = other;
        Self::encode(&changed).filter(|changed| changed != before)
    }

    /// What it is apart from the values of its operands: instructions of one shape have the same operands.
    fn shape(&self) -> u64;

    /// The places that hold registers and numbers.
    fn operands(&self) -> Vec<Operand>;

    /// The number of the register in a place.
    fn register(&self, slot: usize) -> Option<u8>;

    /// With another register in a place.
    fn with_register(&self, slot: usize, number: u8) -> Option<Self>;

    /// The number in a place, cut to its bits.
    fn immediate(&self, slot: usize) -> Option<u64>;

    /// With another number in a place; bits beyond those of the place do not count.
    fn with_immediate(&self, slot: usize, value: u64) -> Option<Self>;

    /// How many other conditions it is tried with.
    fn conditions(&self) -> usize;

    /// With another condition, the inverse first where there is one.
    fn with_condition(&self, number: usize) -> Option<Self>;

    /// How many other widths it is tried with.
    fn widths(&self) -> usize;

    /// With another width of its operands.
    fn with_width(&self, number: usize) -> Option<Self>;

    /// The number of the instruction that it branches to; that behind the last one is the end.
    fn target(&self) -> Option<usize>;

    /// With another target; unchanged when it does not branch.
    #[must_use]
    fn with_target(self, target: usize) -> Self;
}

/// The registers that a change may put in the place of others.
#[derive(Clone, Debug, Default)]
pub(super) struct Roles {
    /// The register of each operand of the payload; `None` for operands that are numbers.
    pub operands: Vec<Option<u8>>,
    /// A register that code may overwrite, where there is one.
    pub scratch: Option<u8>,
    /// A register that no operand names.
    pub outsider: u8,
    /// A SIMD register that code does not own.
    pub vector: u8,
}

/// What is put in the place of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Substitute {
    /// The register of the payload's operand with this number.
    Operand(usize),
    /// A register that the code may overwrite.
    Scratch,
    /// A register that no operand names.
    Outsider,
    /// The register in a place of another instruction of the code: its number, and the place.
    Place(usize, usize),
}

/// A change to one instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Tweak {
    /// Another register in a place.
    Register(usize, Substitute),
    /// The number in a place, one more.
    Increment(usize),
    /// The number in a place, one less.
    Decrement(usize),
    /// The number in a place with a bit inverted.
    Flip(usize, u32),
    /// Another condition.
    Condition(usize),
    /// Another width.
    Width(usize),
    /// Two registers exchanged.
    Exchange(usize, usize),
    /// The branch goes so many instructions further, or less far.
    Target(i32),
}

/// A change to a sequence of instructions, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Edit {
    /// One instruction becomes another.
    Tweak(usize, Tweak),
    /// One is left out.
    Drop(usize),
    /// One is there twice.
    Duplicate(usize),
    /// One changes places with the next.
    Swap(usize),
}

impl Edit {
    /// The kind of change in reports.
    pub(super) fn operator(self) -> &'static str {
        match self {
            Edit::Tweak(_, Tweak::Register(..)) => "register",
            Edit::Tweak(
                _,
                Tweak::Increment(_) | Tweak::Decrement(_) | Tweak::Flip(..) | Tweak::Target(_),
            ) => "immediate",
            Edit::Tweak(_, Tweak::Condition(_)) => "condition",
            Edit::Tweak(_, Tweak::Width(_)) => "width",
            Edit::Tweak(_, Tweak::Exchange(..)) => "order",
            Edit::Drop(_) => "drop",
            Edit::Duplicate(_) => "duplicate",
            Edit::Swap(_) => "swap",
        }
    }

    /// The instruction that is changed.
    pub(super) fn index(self) -> usize {
        match self {
            Edit::Tweak(index, _) | Edit::Drop(index) | Edit::Duplicate(index) | Edit::Swap(index) => index,
        }
    }

    /// What becomes of the instruction, in words.
    pub(super) fn words(self, form: &Form) -> String {
        match self {
            Edit::Tweak(_, tweak) => tweak.words(form),
            Edit::Drop(_) => "is left out".to_owned(),
            Edit::Duplicate(_) => "is there twice".to_owned(),
            Edit::Swap(_) => "changes places with the next".to_owned(),
        }
    }
}

impl Tweak {
    fn words(self, form: &Form) -> String {
        match self {
            Tweak::Register(slot, substitute) => {
                format!("register in place {slot} becomes {}", substitute.words(form))
            }
            Tweak::Increment(slot) => format!("number in place {slot} plus one"),
            Tweak::Decrement(slot) => format!("number in place {slot} minus one"),
            Tweak::Flip(slot, bit) => format!("number in place {slot} with bit {bit} inverted"),
            Tweak::Condition(_) => "another condition".to_owned(),
            Tweak::Width(_) => "another width".to_owned(),
            Tweak::Exchange(a, b) => format!("registers in places {a} and {b} exchanged"),
            Tweak::Target(by) => format!("target {by:+} instructions"),
        }
    }
}

impl Substitute {
    fn words(self, form: &Form) -> impl fmt::Display {
        match self {
            Substitute::Operand(field) => format!("that of {}", form.layout.fields()[field].name),
            Substitute::Scratch => "a scratch register".to_owned(),
            Substitute::Outsider => "one that is no operand".to_owned(),
            Substitute::Place(insn, slot) => format!("that in place {slot} of instruction {insn}"),
        }
    }
}

/// The code, which consists of these instructions, with a change; `None` where it cannot be made or does nothing.
pub(super) fn edited<I: Instruction>(
    code: &I::Code,
    insns: &[I],
    edit: Edit,
    roles: &Roles,
) -> Option<I::Code> {
    if let Edit::Tweak(index, tweak) = edit {
        return I::encode_changed(code, insns, index, tweaked(insns, index, tweak, roles)?);
    }
    I::encode(&rearranged(insns, edit)?).filter(|changed| changed != code)
}

/// The instructions with one left out, doubled or swapped with the next.
pub(super) fn rearranged<I: Instruction>(code: &[I], edit: Edit) -> Option<Vec<I>> {
    let index = edit.index();
    let mut changed = code.to_vec();
    match edit {
        Edit::Tweak(..) => {}
        Edit::Drop(_) => {
            changed.remove(index);
            retarget(&mut changed, |target| if target > index { target - 1 } else { target });
        }
        Edit::Duplicate(_) => {
            changed.insert(index, code[index].clone());
            retarget(&mut changed, |target| if target > index { target + 1 } else { target });
        }
        Edit::Swap(_) => {
            code.get(index + 1)?;
            changed.swap(index, index + 1);
        }
    }
    Some(changed)
}

fn retarget<I: Instruction>(code: &mut [I], change: impl Fn(usize) -> usize) {
    for insn in code {
        if let Some(target) = insn.target() {
            *insn = insn.clone().with_target(change(target));
        }
    }
}

pub(super) fn tweaked<I: Instruction>(code: &[I], index: usize, tweak: Tweak, roles: &Roles) -> Option<I> {
    let insn = &code[index];
    match tweak {
        Tweak::Register(slot, substitute) => {
            let is_vector = class_of(insn, slot)? == Class::Vector;
            let number = match substitute {
                Substitute::Operand(field) => (*roles.operands.get(field)?)?,
                Substitute::Scratch => roles.scratch?,
                Substitute::Outsider if is_vector => roles.vector,
                Substitute::Outsider => roles.outsider,
                Substitute::Place(other, slot) => code.get(other)?.register(slot)?,
            };
            insn.with_register(slot, number)
        }
        Tweak::Increment(slot) => insn.with_immediate(slot, insn.immediate(slot)?.wrapping_add(1)),
        Tweak::Decrement(slot) => insn.with_immediate(slot, insn.immediate(slot)?.wrapping_sub(1)),
        Tweak::Flip(slot, bit) => insn.with_immediate(slot, insn.immediate(slot)? ^ 1 << bit),
        Tweak::Condition(number) => insn.with_condition(number),
        Tweak::Width(number) => insn.with_width(number),
        Tweak::Exchange(a, b) => {
            let (first, second) = (insn.register(a)?, insn.register(b)?);
            insn.with_register(a, second)?.with_register(b, first)
        }
        Tweak::Target(by) => {
            let target = usize::try_from(insn.target()? as i64 + i64::from(by)).ok()?;
            (target <= code.len()).then(|| insn.clone().with_target(target))
        }
    }
}

fn class_of<I: Instruction>(insn: &I, slot: usize) -> Option<Class> {
    insn.operands().into_iter().find(|operand| operand.slot == slot).and_then(|operand| match operand.kind {
        Kind::Register(class) => Some(class),
        Kind::Immediate { .. } => None,
    })
}

/// Every change to code of the shape of `code`. Some do nothing, some do the same as others.
pub(super) fn edits<I: Instruction>(code: &[I], roles: &Roles) -> Vec<Edit> {
    let places = places(code);
    let mut edits = Vec::new();
    for (index, insn) in code.iter().enumerate() {
        edits.extend(tweaks(insn, &places, roles, code.len()).map(|tweak| Edit::Tweak(index, tweak)));
        edits.extend([Edit::Drop(index), Edit::Duplicate(index)]);
        if index + 1 < code.len() {
            edits.push(Edit::Swap(index));
        }
    }
    edits
}

/// The first place of each register that the code names.
fn places<I: Instruction>(code: &[I]) -> Vec<(Class, Substitute)> {
    let mut seen = Vec::new();
    let mut places = Vec::new();
    for (index, insn) in code.iter().enumerate() {
        for operand in insn.operands() {
            let Kind::Register(class) = operand.kind else { continue };
            let register = (class, insn.register(operand.slot));
            if !seen.contains(&register) {
                seen.push(register);
                places.push((class, Substitute::Place(index, operand.slot)));
            }
        }
    }
    places
}

fn tweaks<I: Instruction>(
    insn: &I,
    places: &[(Class, Substitute)],
    roles: &Roles,
    length: usize,
) -> impl Iterator<Item = Tweak> {
    let mut tweaks = Vec::new();
    let operands = insn.operands();
    for (number, operand) in operands.iter().enumerate() {
        let slot = operand.slot;
        match operand.kind {
            Kind::Register(class) => {
                let substitutes = substitutes(class, places, roles);
                tweaks.extend(substitutes.into_iter().map(|substitute| Tweak::Register(slot, substitute)));
                let others = operands[number + 1..].iter().filter(|other| other.kind == operand.kind);
                tweaks.extend(others.map(|other| Tweak::Exchange(slot, other.slot)));
            }
            Kind::Immediate { bits } => {
                tweaks.extend([Tweak::Increment(slot), Tweak::Decrement(slot)]);
                tweaks.extend((0..bits).map(|bit| Tweak::Flip(slot, bit)));
            }
        }
    }
    tweaks.extend((0..insn.conditions()).map(Tweak::Condition));
    tweaks.extend((0..insn.widths()).map(Tweak::Width));
    if let Some(target) = insn.target() {
        let reached = (0..=length as i32).map(|other| other - target as i32);
        // The distances that one wrong bit, or one too many, can make of the right one.
        let near = reached.filter(|by| by.unsigned_abs().is_power_of_two());
        tweaks.extend(near.map(Tweak::Target));
    }
    tweaks.into_iter()
}

fn substitutes(class: Class, places: &[(Class, Substitute)], roles: &Roles) -> Vec<Substitute> {
    let named = roles.operands.iter().enumerate().filter(|(_, register)| register.is_some());
    let general = named.map(|(field, _)| Substitute::Operand(field)).chain([Substitute::Scratch]);
    let own = places.iter().filter(|(other, _)| *other == class).map(|(_, place)| *place);
    match class {
        Class::General => general.chain([Substitute::Outsider]).chain(own).collect(),
        Class::Vector => [Substitute::Outsider].into_iter().chain(own).collect(),
    }
}
