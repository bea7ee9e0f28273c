// SPDX-License-Identifier: GPL-2.0-or-later
//! Atomic operations. Loads and stores are acquire and release as they are; locked instructions are full barriers.

use kop_ops::ebpf::{AtomicOp, Reg, Size as Bytes};
use kop_ops::x86_64::{AluOp, Base, Cond, Gpr, LockedOp, Mem, Size};

use super::guard::{ADDRESS, Direction};
use super::memory::size_of;
use super::{Compiler, gpr};
use crate::planted::Planted;

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// An atomic operation on memory with the register `src`.
    pub(super) fn atomic(&mut self, index: usize, op: AtomicOp, bytes: Bytes, base: Reg, off: i16, src: Reg) {
        let direction = if op == AtomicOp::LoadAcquire { Direction::Read } else { Direction::Write };
        let mem = self.atomic_address(index, base, off, bytes, direction);
        let size = size_of(bytes);
        let keeps = self.planted(Planted::FetchResult);
        let src = gpr(src);
        match op {
            AtomicOp::Add => self.code.locked(LockedOp::Add, size, mem, src),
            AtomicOp::FetchAdd if keeps => self.code.locked(LockedOp::Add, size, mem, src),
            AtomicOp::Or => self.code.locked(LockedOp::Or, size, mem, src),
            AtomicOp::And => self.code.locked(LockedOp::And, size, mem, src),
            AtomicOp::Xor => self.code.locked(LockedOp::Xor, size, mem, src),
            AtomicOp::FetchAdd => self.code.locked(LockedOp::Xadd, size, mem, src),
            AtomicOp::FetchOr => self.fetch(AluOp::Or, size, mem, src),
            AtomicOp::FetchAnd => self.fetch(AluOp::And, size, mem, src),
            AtomicOp::FetchXor => self.fetch(AluOp::Xor, size, mem, src),
            AtomicOp::Xchg => self.code.xchg(size, mem, src),
            AtomicOp::CmpXchg => self.compare_exchange(size, mem, src),
            AtomicOp::LoadAcquire => self.load_zero_extended(bytes, src, mem),
            AtomicOp::StoreRelease => self.code.mov(size, mem, src),
        }
    }

    /// `src = memory, memory = memory op src` in a loop around `cmpxchg`, which works on rax.
    fn fetch(&mut self, op: AluOp, size: Size, mem: Mem, src: Gpr) {
        let (saved, new) = (Gpr::R10, Gpr::R11);
        // r0 is the operand, the address, or a register to be kept.
        self.code.mov(Size::B8, saved, Gpr::Rax);
        let operand = if src == Gpr::Rax { saved } else { src };
        let mem = if mem.base == Base::Reg(Gpr::Rax) {
            self.code.lea(Size::B8, ADDRESS, mem);
            Mem::at(ADDRESS, 0)
        } else {
            mem
        };
        self.code.mov(size, Gpr::Rax, mem);
        let again = self.code.len();
        self.code.mov(size, new, Gpr::Rax);
        self.code.alu(op, size, new, operand);
        self.code.locked(LockedOp::Cmpxchg, size, mem, new);
        self.code.back(Cond::Ne, again);
        if src != Gpr::Rax {
            if !self.planted(Planted::FetchResult) {
                self.code.mov(size, src, Gpr::Rax);
            }
            self.code.mov(Size::B8, Gpr::Rax, saved);
        }
    }

    /// `cmpxchg` as it is; a successful one of four bytes leaves the upper half of rax.
    fn compare_exchange(&mut self, size: Size, mem: Mem, src: Gpr) {
        if self.planted(Planted::CmpxchgResult) {
            self.code.mov(Size::B8, Gpr::R10, Gpr::Rax);
        }
        self.code.locked(LockedOp::Cmpxchg, size, mem, src);
        if size == Size::B4 && !self.planted(Planted::CmpxchgUpper) {
            self.code.mov(Size::B4, Gpr::Rax, Gpr::Rax);
        }
        if self.planted(Planted::CmpxchgResult) {
            self.code.mov(Size::B8, Gpr::Rax, Gpr::R10);
        }
    }
}
