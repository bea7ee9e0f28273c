// SPDX-License-Identifier: GPL-2.0-or-later
//! Sums become one `lea`, or the address of the access behind them.

use kop_ops::ebpf::{Insn, Operand, Reg, Width};
use kop_ops::x86_64::{Base, Gpr, Mem, Scale, Size};

use super::{Compiler, gpr, size_of};
use crate::planted::Planted;
use crate::sum::{Sum, is_overwritten};

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// The instructions from `index` on as one `lea`, with the access behind them where they are its address; returns how many
    /// they are, or 0 where nothing is gained.
    pub(super) fn add_up(&mut self, index: usize, width: Width, dst: Reg) -> usize {
        if self.planted(Planted::ImmediateZeroExtended) {
            return 0;
        }
        let Some((sum, count)) = Sum::starting(self.body, self.analysis, index, width, dst) else { return 0 };
        if width == Width::W64 && self.next(index + count - 1).is_some() {
            let done = self.access(index + count, dst, sum);
            if done > 0 {
                return count + done;
            }
        }
        if count < 2 || sum.base.is_none() {
            return 0;
        }
        self.code.lea(size_of(width), gpr(dst), mem(sum));
        count
    }

    /// Whether nothing looks at the sum in `dst` behind the access `index`.
    fn is_dropped(&self, index: usize, dst: Reg) -> bool {
        self.planted(Planted::SumDropped) || is_overwritten(self.body, index, dst)
    }

    /// The load or store `index`, if it is one at the sum that `dst` is to hold: with the sum as its address, and behind a load with the sum
    /// in `dst` where something may look at it. Returns how many instructions of the program that was, or 0 where the sum has to be in `dst` before.
    fn access(&mut self, index: usize, dst: Reg, sum: Sum) -> usize {
        match self.body.insns[index] {
            Insn::Load { size, signed, dst: loaded, base, off } if base == dst => {
                let Some(address) = sum.plus(self.displacement(base, off)) else { return 0 };
                let stays = loaded != dst && !self.is_dropped(index, dst);
                if stays && sum.has(loaded) {
                    return 0;
                }
                let done = self.load_from(index, size, signed, loaded, mem(address));
                match mem(sum) {
                    _ if !stays => {}
                    Mem { base: Base::Reg(base), index: None, disp: 0 } => {
                        self.code.mov(Size::B8, gpr(dst), base)
                    }
                    sum => self.code.lea(Size::B8, gpr(dst), sum),
                }
                done
            }
            Insn::Store { size, base, off, src } if base == dst && src != Operand::Reg(dst) => {
                let Some(address) = sum.plus(self.displacement(base, off)) else { return 0 };
                if !self.is_dropped(index, dst) {
                    return 0;
                }
                self.store_to(index, size, mem(address), src);
                1
            }
            _ => 0,
        }
    }
}

/// A sum as an address; of two registers, the base is one that needs no displacement.
fn mem(sum: Sum) -> Mem {
    let base = match sum.base.map(gpr) {
        Some(base) => Mem::at(base, sum.number),
        None => Mem::absolute(sum.number),
    };
    let Some((index, shift)) = sum.index else { return base };
    let index = gpr(index);
    let needs = matches!(base.base, Base::Reg(Gpr::Rbp | Gpr::R13)) && sum.number == 0;
    match base.base {
        Base::Reg(other) if needs && shift == 0 => Mem::at(index, 0).index(other, Scale::S1),
        _ => base.index(index, [Scale::S1, Scale::S2, Scale::S4, Scale::S8][shift as usize]),
    }
}
