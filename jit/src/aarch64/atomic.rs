// SPDX-License-Identifier: GPL-2.0-or-later
//! Atomic operations: FEAT_LSE's instructions where the CPU has them, else loops of exclusive loads and stores.
//!
//! Those that return the old value are full barriers, the others are relaxed, as in the Linux JIT.

use kop_ops::Feature;
use kop_ops::aarch64::{AddSub, AtomicOp as Lse, BarrierScope, Cond, Gpr, Insn, Logical, Order, Size, Width};
use kop_ops::ebpf::{AtomicOp, Reg, Size as Bytes};

use super::guard::Direction;
use super::{Compiler, SCRATCH, gpr, size_of};
use crate::planted::Planted;

/// Holds the status of an exclusive store.
const STATUS: Gpr = Gpr::X11;

/// Holds the old value of memory.
const OLD: Gpr = Gpr::X12;

const R0: Gpr = gpr(Reg::R0);

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// An atomic operation on memory with the register `src`.
    pub(super) fn atomic(&mut self, index: usize, op: AtomicOp, bytes: Bytes, base: Reg, off: i16, src: Reg) {
        let direction = if op == AtomicOp::LoadAcquire { Direction::Read } else { Direction::Write };
        let address = self.atomic_address(index, base, off, bytes, direction);
        let (size, src) = (size_of(bytes), gpr(src));
        match op {
            AtomicOp::LoadAcquire => self.code.load_acquire(size, src, address),
            AtomicOp::StoreRelease => self.code.store_release(size, src, address),
            AtomicOp::CmpXchg => self.compare_exchange(size, address, src),
            _ if self.feature(Feature::Lse) => self.modify(op, size, address, src),
            _ => self.modify_in_loop(op, size, address, src),
        }
    }

    /// Whether the register with the operand receives the old value.
    fn fetches(&self, op: AtomicOp) -> bool {
        match op {
            AtomicOp::Add | AtomicOp::Or | AtomicOp::And | AtomicOp::Xor => false,
            AtomicOp::Xchg => true,
            _ => !self.planted(Planted::FetchResult),
        }
    }

    /// `memory = memory op src` in one instruction.
    fn modify(&mut self, op: AtomicOp, size: Size, address: Gpr, src: Gpr) {
        let (order, old) =
            if self.fetches(op) { (Order::AcquireRelease, src) } else { (Order::Relaxed, Gpr::Xzr) };
        let (op, operand) = match op {
            AtomicOp::Add | AtomicOp::FetchAdd => (Lse::Add, src),
            AtomicOp::Or | AtomicOp::FetchOr => (Lse::Set, src),
            AtomicOp::Xor | AtomicOp::FetchXor => (Lse::Eor, src),
            AtomicOp::And | AtomicOp::FetchAnd => {
                self.code.logical(Logical::Orn, size.width(), SCRATCH, Gpr::Xzr, src);
                (Lse::Clr, SCRATCH)
            }
            _ => (Lse::Swp, src),
        };
        self.code.atomic(op, size, order, operand, old, address);
    }

    /// `memory = memory op src` in a loop of exclusive accesses.
    fn modify_in_loop(&mut self, op: AtomicOp, size: Size, address: Gpr, src: Gpr) {
        let (fetches, width) = (self.fetches(op), size.width());
        let again = self.code.len();
        self.code.load_exclusive(size, OLD, address);
        let new = match op {
            AtomicOp::Add | AtomicOp::FetchAdd => {
                self.code.add_sub(AddSub::Add, width, SCRATCH, OLD, src);
                SCRATCH
            }
            AtomicOp::Or | AtomicOp::FetchOr => self.combine(Logical::Orr, width, src),
            AtomicOp::And | AtomicOp::FetchAnd => self.combine(Logical::And, width, src),
            AtomicOp::Xor | AtomicOp::FetchXor => self.combine(Logical::Eor, width, src),
            _ => src,
        };
        self.code.store_exclusive(size, fetches, STATUS, new, address);
        self.code.back(Insn::cbnz(Width::W, STATUS), again);
        if fetches {
            self.code.dmb(BarrierScope::Ish);
            self.code.mov(width, src, OLD);
        }
    }

    fn combine(&mut self, op: Logical, width: Width, src: Gpr) -> Gpr {
        self.code.logical(op, width, SCRATCH, OLD, src);
        SCRATCH
    }

    /// Stores `src` where memory equals r0, which becomes the old value, zero-extended.
    fn compare_exchange(&mut self, size: Size, address: Gpr, src: Gpr) {
        let width = size.width();
        if PLANTED {
            self.code.mov(Width::X, Gpr::X14, R0);
        }
        if self.feature(Feature::Lse) {
            self.code.cas(size, Order::AcquireRelease, R0, src, address);
        } else {
            let again = self.code.len();
            self.code.load_exclusive(size, OLD, address);
            self.code.add_sub(AddSub::Subs, width, Gpr::Xzr, OLD, R0);
            let differs = self.code.skip(Insn::b_cond(Cond::Ne));
            self.code.store_exclusive(size, true, STATUS, src, address);
            self.code.back(Insn::cbnz(Width::W, STATUS), again);
            self.code.dmb(BarrierScope::Ish);
            self.code.land(differs);
            self.code.mov(width, R0, OLD);
        }
        if PLANTED {
            self.exchange_wrongly(size);
        }
    }

    /// Makes one of the mistakes with r0, whose value from before is in x14, if it is to be made.
    fn exchange_wrongly(&mut self, size: Size) {
        let before = Gpr::X14;
        if self.planted(Planted::CmpxchgUpper) && size == Size::B4 {
            // An exchange that succeeds leaves the lower half as it was.
            self.code.add_sub(AddSub::Subs, Width::W, Gpr::Xzr, R0, before);
            let differs = self.code.skip(Insn::b_cond(Cond::Ne));
            self.code.mov(Width::X, R0, before);
            self.code.land(differs);
        }
        if self.planted(Planted::CmpxchgResult) {
            self.code.mov(Width::X, R0, before);
        }
    }
}
