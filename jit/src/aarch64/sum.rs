// SPDX-License-Identifier: GPL-2.0-or-later
//! Sums become the address of the access behind them, where an access has such an address: a register and a number, or a register and
//! another, which may be multiplied by the size of the access.

use kop_ops::aarch64::{AddSub, Extend, Gpr, Insn as Native, Mem, Shift, Width};
use kop_ops::ebpf::{self, Insn, Operand, Reg, Size as Bytes};

use super::guard::{ADDRESS, Direction};
use super::{Compiler, gpr};
use crate::planted::Planted;
use crate::sum::{Sum, is_overwritten};

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// The instructions from `index` on and the access behind them as one; returns how many they are, or 0 where they are not.
    pub(super) fn add_up(&mut self, index: usize, width: ebpf::Width, dst: Reg) -> usize {
        if width != ebpf::Width::W64 || self.planted(Planted::ImmediateZeroExtended) {
            return 0;
        }
        let Some((sum, count)) = Sum::starting(self.body, self.analysis, index, width, dst) else { return 0 };
        let at = index + count;
        if self.next(at - 1).is_none() {
            return 0;
        }
        match self.body.insns[at] {
            Insn::Load { size, signed, dst: loaded, base, off }
                if base == dst && (loaded == dst || self.is_dropped(at, dst)) =>
            {
                let Some(mem) = self.sum_address(at, sum, (base, off), size, Direction::Read) else {
                    return 0;
                };
                self.load_from(size, signed, loaded, mem);
            }
            Insn::Store { size, base, off, src }
                if base == dst && src != Operand::Reg(dst) && self.is_dropped(at, dst) =>
            {
                let Some(mem) = self.sum_address(at, sum, (base, off), size, Direction::Write) else {
                    return 0;
                };
                self.store_to(size, mem, src);
            }
            _ => return 0,
        }
        count + 1
    }

    /// Whether nothing looks at the sum in `dst` behind the access `index`.
    fn is_dropped(&self, index: usize, dst: Reg) -> bool {
        self.planted(Planted::SumDropped) || is_overwritten(self.body, index, dst)
    }

    /// The operand of an access at a sum, checked in guarded code; `None` where there is none.
    fn sum_address(
        &mut self,
        index: usize,
        sum: Sum,
        (base, off): (Reg, i16),
        size: Bytes,
        direction: Direction,
    ) -> Option<Mem> {
        let Sum { base, index: other, number } = sum.plus(self.displacement(base, off))?;
        let base = gpr(base?);
        match other {
            None => Some(self.address_at(index, base, number, size, direction)),
            Some((other, shift)) => {
                let fits = number == 0 && (shift == 0 || 1 << shift == size.bytes());
                fits.then(|| self.address_of_two(index, (base, gpr(other), shift), size, direction))
            }
        }
    }

    /// The operand at `base + (other << shift)`, checked in guarded code.
    fn address_of_two(
        &mut self,
        index: usize,
        (base, other, shift): (Gpr, Gpr, u8),
        size: Bytes,
        direction: Direction,
    ) -> Mem {
        if !self.options.guarded {
            return Mem::Register { base, index: other, extend: Extend::Uxtx, scaled: shift > 0 };
        }
        self.code.push(Native::AddSubShifted {
            op: AddSub::Add,
            width: Width::X,
            rd: ADDRESS,
            rn: base,
            rm: other,
            shift: Shift::Lsl,
            amount: shift,
        });
        self.check(index, size, direction);
        Mem::base(ADDRESS)
    }
}
