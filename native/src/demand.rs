// SPDX-License-Identifier: GPL-2.0-or-later
//! Where the upper half of a register matters: a fixpoint backwards over the blocks. Where it does not, 64-bit moves, sums and the
//! like are done on 32 bits, and what loops carry is as long as it needs to be.

use kop_ops::ebpf::{AluOp, AtomicOp, CallTarget, Insn, Operand, Reg, Size, Width};

use crate::blocks::Blocks;
use crate::flat::{Flat, REGISTERS, What};
use crate::flow::Facts;
use crate::slots::Slots;

/// A set of registers, and behind them of slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places(Vec<u64>);

impl Places {
    fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    /// Whether a place is one of it.
    pub fn has(&self, place: usize) -> bool {
        self.0[place / 64] >> (place % 64) & 1 != 0
    }

    fn set(&mut self, place: usize, is_in: bool) {
        let bit = 1 << (place % 64);
        match is_in {
            true => self.0[place / 64] |= bit,
            false => self.0[place / 64] &= !bit,
        }
    }

    fn join(&mut self, other: &Places) {
        self.0.iter_mut().zip(&other.0).for_each(|(bits, other)| *bits |= other);
    }
}

/// Where the upper halves of places matter.
#[derive(Debug)]
pub(crate) struct Demand {
    /// Before each block.
    pub before: Vec<Places>,
    /// Behind each block.
    pub after: Vec<Places>,
    /// For each operation whether the upper half of what it makes matters.
    pub upper: Vec<bool>,
}

impl Demand {
    /// Finds out.
    pub fn new(flat: &Flat, blocks: &Blocks, facts: &Facts, slots: &Slots) -> Self {
        let count = REGISTERS + slots.slots.len();
        let empty = Places::new(count);
        let walk = Walk { flat, slots };
        let number = blocks.ranges.len();
        let (mut before, mut after) = (vec![empty.clone(); number], vec![empty; number]);
        let mut upper = vec![false; flat.ops.len()];
        let mut changed = true;
        while changed {
            changed = false;
            for block in (0..number).rev().filter(|block| facts.before[*block].is_some()) {
                let mut places = after[block].clone();
                for successor in blocks.successors(flat, block).into_iter().flatten() {
                    places.join(&before[successor]);
                }
                after[block] = places.clone();
                for index in blocks.ranges[block].clone().rev() {
                    upper[index] = walk.step(index, &mut places);
                }
                changed |= before[block] != places;
                before[block] = places;
            }
        }
        Self { before, after, upper }
    }
}

struct Walk<'a> {
    flat: &'a Flat,
    slots: &'a Slots,
}

impl Walk<'_> {
    /// What matters before an operation; whether the upper half of what it makes does.
    fn step(&self, index: usize, places: &mut Places) -> bool {
        let op = self.flat.ops[index];
        match op.what {
            What::Enter => {
                let first = 6 + 4 * (usize::from(self.flat.depths[op.frame as usize]) - 1);
                for number in first..first + 4 {
                    let callee = places.has(number + 4);
                    places.set(number + 4, false);
                    if callee {
                        places.set(number, true);
                    }
                }
                false
            }
            What::Leave => false,
            What::Insn(insn) => self.insn(index, op.frame, insn, places),
        }
    }

    fn insn(&self, index: usize, frame: u32, insn: Insn, places: &mut Places) -> bool {
        let place = |register: Reg| self.flat.register(frame, register);
        let slot =
            self.slots.of(index).filter(|(_, slot)| slot.bytes == 8).map(|(number, _)| REGISTERS + number);
        let made = match insn {
            Insn::Alu { dst, .. } | Insn::Neg { dst, .. } | Insn::End { dst, .. } => place(dst),
            Insn::LoadImm64 { dst, .. } | Insn::Load { dst, .. } => place(dst),
            Insn::Store { size: Size::B8, .. } => slot,
            _ => None,
        };
        let upper = made.is_some_and(|made| places.has(made));
        let demands = |places: &mut Places, operand: Operand| {
            if let Some(place) = operand.reg().and_then(place) {
                places.set(place, true);
            }
        };
        match insn {
            Insn::Alu { op, width, dst, src } => {
                let reads_upper = width == Width::W64 && (upper || !is_narrow(op, src));
                if op.is_move() {
                    places.set(place(dst).expect("r10 is not written"), false);
                }
                if width == Width::W32 {
                    places.set(place(dst).expect("r10 is not written"), false);
                } else if reads_upper && !matches!(op, AluOp::MovSx8 | AluOp::MovSx16 | AluOp::MovSx32) {
                    if !op.is_move() {
                        demands(places, dst.into());
                    }
                    demands(places, src);
                }
            }
            Insn::Neg { width, dst } => self.unary(place(dst), width == Width::W64 && upper, places),
            Insn::End { bits, dst, .. } => self.unary(place(dst), bits == 64, places),
            Insn::LoadImm64 { dst, .. } => self.unary(place(dst), false, places),
            Insn::Load { size, dst, base, .. } => {
                self.unary(place(dst), false, places);
                match (self.slots.of(index), slot) {
                    (None, _) => demands(places, base.into()),
                    (Some(_), Some(slot)) if size != Size::B8 || upper => places.set(slot, true),
                    _ => {}
                }
            }
            Insn::Store { size, base, src, .. } => match (self.slots.of(index), slot) {
                (None, _) => {
                    demands(places, base.into());
                    if size == Size::B8 {
                        demands(places, src);
                    }
                }
                (Some(_), Some(slot)) if size == Size::B8 => {
                    places.set(slot, false);
                    if upper {
                        demands(places, src);
                    }
                }
                // A part of a slot: the rest of it stays.
                (Some(_), Some(slot)) => places.set(slot, true),
                _ => {}
            },
            Insn::Atomic { op, size, base, src, .. } => {
                self.atomic((op, size), [base, src].map(place), places)
            }
            Insn::Jump { width: Width::W64, dst, src, .. } => {
                demands(places, dst.into());
                demands(places, src);
            }
            Insn::Call { target } => {
                self.call(target, places);
                // The key of a lookup is a part of it.
                slot.into_iter().for_each(|slot| places.set(slot, true));
            }
            Insn::Exit => places.set(0, true),
            _ => {}
        }
        upper
    }

    fn unary(&self, place: Option<usize>, reads_upper: bool, places: &mut Places) {
        places.set(place.expect("r10 is not written"), reads_upper);
    }

    fn atomic(&self, (op, size): (AtomicOp, Size), [base, src]: [Option<usize>; 2], places: &mut Places) {
        let fetched = match op {
            AtomicOp::CmpXchg => Some(0),
            AtomicOp::Add | AtomicOp::Or | AtomicOp::And | AtomicOp::Xor | AtomicOp::StoreRelease => None,
            _ => src,
        };
        fetched.into_iter().for_each(|place| places.set(place, false));
        base.into_iter().for_each(|place| places.set(place, true));
        if size == Size::B8 && op != AtomicOp::LoadAcquire {
            src.into_iter().for_each(|place| places.set(place, true));
            if op == AtomicOp::CmpXchg {
                places.set(0, true);
            }
        }
    }

    fn call(&self, target: CallTarget, places: &mut Places) {
        debug_assert!(!matches!(target, CallTarget::Local(_)), "local calls are replaced");
        places.set(0, false);
        (1..=5).for_each(|place| places.set(place, true));
    }
}

/// Whether the lower half of `dst op src` is the operation on lower halves.
pub(crate) fn is_narrow(op: AluOp, src: Operand) -> bool {
    match op {
        AluOp::Add | AluOp::Sub | AluOp::Mul | AluOp::Or | AluOp::And | AluOp::Xor | AluOp::Mov => true,
        AluOp::Lsh => matches!(src, Operand::Imm(amount) if amount as u32 & 63 < 32),
        _ => false,
    }
}
