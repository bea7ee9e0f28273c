// SPDX-License-Identifier: GPL-2.0-or-later
//! Division and remainder. The processor divides by zero as eBPF does, and the minimum by -1, too.

use kop_ops::aarch64::{Gpr, LogicalImm, MulAddOp, TwoSourceOp, Width};
use kop_ops::ebpf::AluOp as Op;

use super::alu::Source;
use super::{Compiler, SCRATCH};
use crate::planted::Planted;

/// Holds the quotient that a remainder is made of.
const QUOTIENT: Gpr = Gpr::X9;

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// `dst = from op src` for the four divisions.
    pub(super) fn divide(&mut self, op: Op, width: Width, dst: Gpr, from: Gpr, src: Source) {
        let signed = matches!(op, Op::SDiv | Op::SMod) && !self.planted(Planted::SignedDivision);
        let quotient = matches!(op, Op::Div | Op::SDiv);
        let imm = match src {
            Source::Reg(src) => return self.divide_by_reg(quotient, signed, width, dst, from, src),
            Source::Imm(imm) => imm,
        };
        match (quotient, imm) {
            (true, 0) if self.planted(Planted::DivideByZero) => self.keep(width, dst, from),
            (false, 0) if self.planted(Planted::RemainderByZero) => self.load_imm(width, dst, 0),
            (true, 0) | (false, 1) => self.load_imm(width, dst, 0),
            (true, 1) | (false, 0) => self.keep(width, dst, from),
            (true, -1) if signed && self.planted(Planted::DivideByMinusOne) => self.keep(width, dst, from),
            (true, -1) if signed => self.negate(width, dst, from),
            (false, -1) if signed => self.load_imm(width, dst, 0),
            (true, 2..) if !signed && imm & (imm - 1) == 0 => {
                self.shift_by(Op::Rsh, width, dst, from, imm.trailing_zeros() as u8);
            }
            (false, 2..) if !signed && imm & (imm - 1) == 0 => {
                self.logical_imm(LogicalImm::And, width, dst, from, imm as u64 - 1);
            }
            _ => {
                self.load_imm(width, SCRATCH, i64::from(imm) as u64);
                self.division(quotient, signed, width, dst, from, SCRATCH);
            }
        }
    }

    fn divide_by_reg(&mut self, quotient: bool, signed: bool, width: Width, dst: Gpr, from: Gpr, src: Gpr) {
        if PLANTED && self.divide_wrongly(quotient, signed, width, dst, from, src) {
            return;
        }
        self.division(quotient, signed, width, dst, from, src);
    }

    fn division(&mut self, quotient: bool, signed: bool, width: Width, dst: Gpr, from: Gpr, src: Gpr) {
        let op = if signed { TwoSourceOp::Sdiv } else { TwoSourceOp::Udiv };
        if quotient {
            return self.code.two_source(op, width, dst, from, src);
        }
        let kept = if self.planted(Planted::DivisionClobbers) { Gpr::X2 } else { QUOTIENT };
        self.code.two_source(op, width, kept, from, src);
        // A quotient of zero leaves the dividend: what the remainder by zero is.
        self.code.mul_add(MulAddOp::Msub, width, dst, kept, src, from);
    }

    /// Makes one of the mistakes with a special divisor, if it is to be made.
    fn divide_wrongly(
        &mut self,
        quotient: bool,
        signed: bool,
        width: Width,
        dst: Gpr,
        from: Gpr,
        src: Gpr,
    ) -> bool {
        use kop_ops::aarch64::{AddSub, Cond, CondSelectOp, Insn};
        let (imm, otherwise) = match quotient {
            true if self.planted(Planted::DivideByZero) => (0, from),
            false if self.planted(Planted::RemainderByZero) => (0, Gpr::Xzr),
            true if signed && self.planted(Planted::DivideByMinusOne) => (1, from),
            _ => return false,
        };
        self.division(quotient, signed, width, SCRATCH, from, src);
        self.code.add_sub_imm(AddSub::Adds, width, Gpr::Xzr, src, imm);
        let (op, cond) = (CondSelectOp::Csel, Cond::Eq);
        self.code.push(Insn::CondSelect { op, width, rd: dst, rn: otherwise, rm: SCRATCH, cond });
        true
    }
}
