// SPDX-License-Identifier: GPL-2.0-or-later
//! What is known at every operation, on all ways to it: a fixpoint over the blocks.

use std::collections::{BTreeMap, BTreeSet};

use kop_ops::ebpf::{AluOp, AtomicOp, CallTarget, Insn, Operand, Reg, Size};
use kop_ops::program::MapAddresses;
use kop_ops::{MapKind, MapSpec};
use kop_semantics::world::helpers::{Argument, Function, Helper};

use crate::blocks::Blocks;
use crate::flat::{Flat, Op, REGISTERS, What};
use crate::known::{Known, Range, STACK_LOW};
use crate::state::{State, Test, bytes, outcome};

/// How often a block is looked at before its bounds are widened.
const PATIENCE: u32 = 3;

/// How often it is before bounds that still move are given up.
const LIMIT: u32 = 48;

/// Part of the stack that an operation touches: from the least distance to the end, and whether it is that part exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Touch {
    /// The least distance from r10.
    pub low: i32,
    /// Behind the last byte.
    pub end: i32,
    /// Whether all of it is loaded or stored as one number.
    pub exact: bool,
}

/// What an operation that loads or stores reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The stack.
    Stack(Touch),
    /// Anything but the stack.
    Elsewhere,
    /// Nobody knows.
    Anything,
}

/// The elements of an array, all of which are always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Array {
    /// The address of the first.
    pub first: u64,
    /// From each to the next, in bytes.
    pub stride: u64,
    /// How many.
    pub count: u32,
}

/// What is known at every operation.
#[derive(Debug)]
pub(crate) struct Facts {
    /// The state before each block; `None` where nothing leads to it.
    pub before: Vec<Option<State>>,
    /// For each operation that ends a block with a test: whether it surely jumps or surely goes on.
    pub outcomes: BTreeMap<usize, bool>,
    /// What loads and stores reach, by operation.
    pub reaches: BTreeMap<usize, Reach>,
    /// What else is touched of the stack: by helper functions.
    pub touches: Vec<Touch>,
    /// For each lookup in an array: the array. Its key is loaded as others are ([`Facts::reaches`]).
    pub lookups: BTreeMap<usize, Array>,
    /// For each division: what is known of its operands.
    pub divisions: BTreeMap<usize, [Range; 2]>,
    /// Whether an address of the stack may be in memory where nobody knows.
    pub leaked: bool,
}

/// Finds out what is known.
pub(crate) fn facts(flat: &Flat, blocks: &Blocks, maps: &[MapSpec], addresses: &MapAddresses) -> Facts {
    let mut flow = Flow { flat, maps, addresses, leaked: false, notes: None };
    let before = flow.fixpoint(blocks);
    flow.notes = Some(Notes::default());
    let mut outcomes = BTreeMap::new();
    for (block, state) in before.iter().enumerate() {
        let Some(mut state) = state.clone() else { continue };
        let range = blocks.ranges[block].clone();
        range.clone().for_each(|index| flow.step(&mut state, index));
        let last = &flat.ops[range.end - 1];
        if let Some(test) = test_of(last)
            && let Some(holds) = outcome(&state, flat, last.frame, &test)
        {
            outcomes.insert(range.end - 1, holds);
        }
    }
    let Notes { reaches, touches, lookups, divisions } = flow.notes.take().unwrap_or_default();
    Facts { before, outcomes, reaches, touches, lookups, divisions, leaked: flow.leaked }
}

/// What a conditional jump compares.
pub(crate) fn test_of(op: &Op) -> Option<Test> {
    match op.what {
        What::Insn(Insn::Jump { cond, width, dst, src, .. }) => Some(Test { cond, width, dst, src }),
        _ => None,
    }
}

#[derive(Debug, Default)]
struct Notes {
    reaches: BTreeMap<usize, Reach>,
    touches: Vec<Touch>,
    lookups: BTreeMap<usize, Array>,
    divisions: BTreeMap<usize, [Range; 2]>,
}

struct Flow<'a> {
    flat: &'a Flat,
    maps: &'a [MapSpec],
    addresses: &'a MapAddresses,
    leaked: bool,
    /// Where to write down what is known, once it is final.
    notes: Option<Notes>,
}

impl Flow<'_> {
    fn fixpoint(&mut self, blocks: &Blocks) -> Vec<Option<State>> {
        let steps = steps(self.flat);
        let mut before: Vec<Option<State>> = vec![None; blocks.ranges.len()];
        let mut visits = vec![0u32; blocks.ranges.len()];
        before[0] = Some(State::start());
        let mut open = BTreeSet::from([0]);
        while let Some(block) = open.pop_first() {
            let mut state = before[block].clone().expect("a block that is open was reached");
            blocks.ranges[block].clone().for_each(|index| self.step(&mut state, index));
            let last = &self.flat.ops[blocks.ranges[block].end - 1];
            let [next, target] = blocks.successors(self.flat, block);
            for (successor, jumps) in [(next, false), (target, true)] {
                let Some(successor) = successor else { continue };
                let after = match test_of(last) {
                    Some(test) => state.refined(self.flat, last.frame, &test, jumps),
                    None => Some(state.clone()),
                };
                let Some(after) = after else { continue };
                let joined = match &before[successor] {
                    None => after,
                    Some(known) => {
                        let mut joined = known.clone();
                        joined.join(&after);
                        visits[successor] += u32::from(joined != *known);
                        match visits[successor] {
                            0..PATIENCE => {}
                            PATIENCE..LIMIT => joined.widen(known, &steps),
                            _ => joined.widen(known, &[]),
                        }
                        joined
                    }
                };
                if before[successor].as_ref() != Some(&joined) {
                    before[successor] = Some(joined);
                    open.insert(successor);
                }
            }
        }
        before
    }

    /// What is known after an operation.
    fn step(&mut self, state: &mut State, index: usize) {
        let op = self.flat.ops[index];
        let frame = op.frame;
        match op.what {
            What::Enter => {
                let depth = usize::from(self.flat.depths[frame as usize]);
                let from = 6 + 4 * (depth - 1);
                state.registers.copy_within(from..from + 4, from + 4);
            }
            What::Leave => {}
            What::Insn(insn) => self.insn(state, index, frame, insn),
        }
    }

    fn insn(&mut self, state: &mut State, index: usize, frame: u32, insn: Insn) {
        let flat = self.flat;
        match insn {
            Insn::Alu { op, width, dst, src } => {
                let (a, b) = (state.get(flat, frame, dst), state.operand(flat, frame, src));
                if matches!(op, AluOp::Div | AluOp::Mod | AluOp::SDiv | AluOp::SMod)
                    && let Some(notes) = &mut self.notes
                {
                    notes.divisions.insert(index, [a.range(), b.range()]);
                }
                state.set(flat, frame, dst, a.alu(op, width, b));
            }
            Insn::Neg { width, dst } => {
                let known = match state.get(flat, frame, dst) {
                    Known::Number(_) => Known::Number(Range::of(width)),
                    _ => Known::Any,
                };
                state.set(flat, frame, dst, known);
            }
            Insn::End { bits, dst, .. } => {
                let known = match state.get(flat, frame, dst) {
                    Known::Number(_) if bits == 64 => Known::NUMBER,
                    Known::Number(_) => Known::Number(Range::between(0, (1 << bits) - 1)),
                    _ => Known::Any,
                };
                state.set(flat, frame, dst, known);
            }
            Insn::LoadImm64 { dst, kind, imm } => {
                let value = self.addresses.resolve(kind, imm);
                let known = value.map_or(Known::NUMBER, |value| Known::Number(Range::exactly(value)));
                state.set(flat, frame, dst, known);
            }
            Insn::Load { size, signed, dst, base, off } => {
                let reach = self.reach(state, index, frame, base, off, size, true);
                let known = self.loaded(state, reach, size, signed);
                state.set(flat, frame, dst, known);
            }
            Insn::Store { size, base, off, src } => {
                let reach = self.reach(state, index, frame, base, off, size, true);
                let stored = state.operand(flat, frame, src);
                self.stored(state, reach, size, stored);
            }
            Insn::Atomic { op, size, base, off, src } => {
                self.atomic(state, index, frame, (op, size, base, off, src))
            }
            Insn::Call { target } => self.call(state, index, frame, target),
            _ => {}
        }
    }

    fn atomic(
        &mut self,
        state: &mut State,
        index: usize,
        frame: u32,
        (op, size, base, off, src): (AtomicOp, Size, Reg, i16, Reg),
    ) {
        let flat = self.flat;
        let reach = self.reach(state, index, frame, base, off, size, false);
        let value = state.get(flat, frame, src);
        let loaded = self.loaded(state, reach, size, false);
        if op != AtomicOp::LoadAcquire {
            self.stored(state, reach, size, value);
        }
        match op {
            AtomicOp::CmpXchg => state.set(flat, frame, Reg::R0, loaded),
            _ if Insn::atomic(op, size, base, off, src).writes().has(src) => {
                state.set(flat, frame, src, loaded)
            }
            _ => {}
        }
    }

    /// What an access reaches.
    #[expect(clippy::too_many_arguments, reason = "the fields of an access")]
    fn reach(
        &mut self,
        state: &State,
        index: usize,
        frame: u32,
        base: Reg,
        off: i16,
        size: Size,
        exact: bool,
    ) -> Reach {
        let reach = match state.get(self.flat, frame, base) {
            Known::Stack { low, high } => {
                let (low, end) = (low + i32::from(off), high + i32::from(off) + bytes(size));
                Reach::Stack(Touch { low, end, exact: exact && end - low == bytes(size) })
            }
            Known::Number(_) => Reach::Elsewhere,
            Known::Any => Reach::Anything,
        };
        if let Some(notes) = &mut self.notes {
            notes.reaches.insert(index, reach);
        }
        reach
    }

    fn loaded(&self, state: &State, reach: Reach, size: Size, signed: bool) -> Known {
        let whole = match (size, signed) {
            (_, true) | (Size::B8, _) => Range::FULL,
            _ => Range::between(0, (1 << size.bits()) - 1),
        };
        match reach {
            Reach::Stack(touch) if size == Size::B8 && touch.end - touch.low == 8 => {
                state.words.get(&touch.low).copied().unwrap_or(Known::NUMBER)
            }
            // What is in the stack may be an address of it.
            Reach::Stack(touch) if size == Size::B8 && state.holds_address(touch.low, touch.end) => {
                Known::Any
            }
            Reach::Anything if size == Size::B8 && state.holds_address(STACK_LOW, 0) => Known::Any,
            _ => Known::Number(whole),
        }
    }

    fn stored(&mut self, state: &mut State, reach: Reach, size: Size, value: Known) {
        let is_address = !matches!(value, Known::Number(_));
        match reach {
            Reach::Stack(touch) => {
                state.forget(touch.low, touch.end);
                if size == Size::B8 && touch.end - touch.low == 8 && touch.low % 8 == 0 {
                    state.words.insert(touch.low, value);
                } else {
                    self.leaked |= is_address;
                }
            }
            Reach::Elsewhere => self.leaked |= is_address,
            Reach::Anything => {
                state.words.clear();
                self.leaked |= is_address;
            }
        }
    }

    /// The array whose element a call of `bpf_map_lookup_elem` asks for; there is one CPU.
    fn array(&self, state: &State, frame: u32, helper: &Helper) -> Option<Array> {
        if helper.function != Function::MapLookup {
            return None;
        }
        let map = self.addresses.index_of_handle(state.get(self.flat, frame, Reg::R1).range().exact()?)?;
        let spec = self.maps.get(map)?;
        let is_array = matches!(spec.kind, MapKind::Array | MapKind::PercpuArray);
        let (first, stride, count) = (self.addresses.values(map)?, spec.value_stride(), spec.max_entries);
        is_array.then_some(Array { first, stride, count })
    }

    fn call(&mut self, state: &mut State, index: usize, frame: u32, target: CallTarget) {
        let helper = match target {
            CallTarget::Helper(id) => Helper::find(id),
            _ => None,
        };
        if let Some(array) = helper.and_then(|helper| self.array(state, frame, helper)) {
            self.reach(state, index, frame, Reg::R2, 0, Size::B4, true);
            if let Some(notes) = &mut self.notes {
                notes.lookups.insert(index, array);
            }
            state.registers[..=5].fill(Known::NUMBER);
            return;
        }
        let argument = |number: u8| {
            let register = Reg::new(number).expect("r1 to r5");
            state.get(self.flat, frame, register)
        };
        let arguments = helper.map_or(&[Argument::Number; 5][..], |helper| helper.arguments);
        let map = arguments.iter().position(|argument| *argument == Argument::Map);
        let map = map.and_then(|at| argument(at as u8 + 1).range().exact());
        let map = map.and_then(|handle| self.maps.get(self.addresses.index_of_handle(handle)?));
        let mut touched = Vec::new();
        for (at, what) in arguments.iter().enumerate() {
            let known = argument(at as u8 + 1);
            let size = match what {
                Argument::Key => map.map(|map| u64::from(map.key_size)),
                Argument::Value => map.map(|map| u64::from(map.value_size)),
                Argument::Bytes | Argument::Buffer => Some(argument(at as u8 + 2).range().high),
                // A helper that nobody knows here may take any number for an address.
                Argument::Number if helper.is_none() => None,
                _ => Some(0),
            };
            let (low, high) = match known {
                Known::Number(_) => continue,
                Known::Stack { low, high } => (low, high),
                Known::Any => (STACK_LOW, 0),
            };
            let end = size.and_then(|size| i32::try_from(size).ok()?.checked_add(high)).unwrap_or(0).max(low);
            let end = if size.is_none() { 0.max(high) } else { end };
            let is_written = *what == Argument::Buffer || helper.is_none();
            touched.push((Touch { low, end, exact: false }, is_written));
        }
        for (touch, is_written) in touched {
            if is_written {
                state.forget(touch.low, touch.end);
            }
            if let Some(notes) = &mut self.notes {
                notes.touches.push(touch);
            }
        }
        state.registers[..=5].fill(Known::NUMBER);
        debug_assert!(state.registers.len() == REGISTERS);
    }
}

/// Where bounds of loops may come to rest: numbers that the program compares with, and those one step before.
fn steps(flat: &Flat) -> Vec<u64> {
    let mut bounds = BTreeSet::from([0, 0xff, 0xffff, u64::from(u32::MAX), i64::MAX as u64]);
    let mut strides = BTreeSet::from([1u64]);
    for op in &flat.ops {
        match op.what {
            What::Insn(Insn::Jump { src: Operand::Imm(imm), .. }) if imm > 0 => {
                bounds.insert(imm as u64);
            }
            What::Insn(Insn::Alu { op: AluOp::Add, src: Operand::Imm(imm), .. })
                if (1..=64).contains(&imm) =>
            {
                strides.insert(imm as u64);
            }
            What::Insn(Insn::Alu { op: AluOp::And, src: Operand::Imm(imm), .. }) if imm > 0 => {
                bounds.insert(imm as u64);
            }
            _ => {}
        }
    }
    if bounds.len() > 64 {
        return bounds.into_iter().collect();
    }
    let earlier = bounds.iter().flat_map(|bound| strides.iter().map(|stride| bound.saturating_sub(*stride)));
    let earlier: Vec<u64> = earlier.collect();
    bounds.extend(earlier);
    bounds.into_iter().collect()
}
