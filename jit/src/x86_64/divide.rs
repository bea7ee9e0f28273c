// SPDX-License-Identifier: GPL-2.0-or-later
//! Division and remainder around the processor's, which work on rdx:rax and fault where eBPF has a result.

use kop_ops::ebpf::{AluOp as Op, Operand, Reg, Width};
use kop_ops::x86_64::{AluOp, Cond, Gpr, Nullary, ShiftOp, Size, UnaryOp};

use super::{Compiler, gpr, size_of};
use crate::planted::Planted;

/// What a division yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Quotient,
    Remainder,
}

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// `dst = dst op src` for the four divisions.
    pub(super) fn divide(&mut self, op: Op, width: Width, dst: Reg, src: Operand) {
        let size = size_of(width);
        let part = if matches!(op, Op::Div | Op::SDiv) { Part::Quotient } else { Part::Remainder };
        let signed = matches!(op, Op::SDiv | Op::SMod) && !self.planted(Planted::SignedDivision);
        match src {
            Operand::Imm(imm) => self.divide_by_imm(part, signed, size, gpr(dst), imm),
            Operand::Reg(src) => {
                let moved = matches!(src, Reg::R0 | Reg::R3);
                let divisor = if moved { Gpr::R11 } else { gpr(src) };
                if moved {
                    self.code.mov(size, divisor, gpr(src));
                }
                self.divide_by_reg(part, signed, size, gpr(dst), divisor);
            }
        }
    }

    fn divide_by_imm(&mut self, part: Part, signed: bool, size: Size, dst: Gpr, imm: i32) {
        match (part, imm) {
            (Part::Quotient, 0) if self.planted(Planted::DivideByZero) => {}
            (Part::Remainder, 0) if self.planted(Planted::RemainderByZero) => self.load_imm(dst, 0),
            (Part::Quotient, 0) | (Part::Remainder, 1) => self.load_imm(dst, 0),
            (Part::Quotient, 1) | (Part::Remainder, 0) => self.zero_extend(size, dst),
            (Part::Quotient, -1) if signed && self.planted(Planted::DivideByMinusOne) => {}
            (Part::Quotient, -1) if signed => self.code.unary(UnaryOp::Neg, size, dst),
            (Part::Remainder, -1) if signed => self.load_imm(dst, 0),
            _ if !signed && imm > 0 && imm & (imm - 1) == 0 => match part {
                Part::Quotient => self.code.shift(ShiftOp::Shr, size, dst, imm.trailing_zeros() as u8),
                Part::Remainder => self.code.alu(AluOp::And, Size::B4, dst, imm - 1),
            },
            _ => {
                match size {
                    Size::B4 => self.code.mov(Size::B4, Gpr::R11, imm),
                    _ => self.load_imm(Gpr::R11, imm as i64 as u64),
                }
                self.division(part, signed, size, dst, Gpr::R11);
            }
        }
    }

    /// Divides by a register other than rax and rdx, which may be zero or -1.
    fn divide_by_reg(&mut self, part: Part, signed: bool, size: Size, dst: Gpr, divisor: Gpr) {
        if part == Part::Remainder && size == Size::B4 {
            // What stays when the divisor is zero.
            self.code.mov(Size::B4, dst, dst);
        }
        self.code.test(size, divisor, divisor);
        let zero = self.code.skip(Cond::E);
        let minus_one = signed.then(|| {
            self.code.alu(AluOp::Cmp, size, divisor, -1);
            self.code.skip(Cond::E)
        });
        self.division(part, signed, size, dst, divisor);
        if let Some(minus_one) = minus_one {
            let done = self.code.skip_always();
            self.code.land(minus_one);
            match part {
                Part::Quotient if self.planted(Planted::DivideByMinusOne) => {}
                Part::Quotient => self.code.unary(UnaryOp::Neg, size, dst),
                Part::Remainder => self.load_imm(dst, 0),
            }
            self.code.land(done);
        }
        let planted = self.planted(match part {
            Part::Quotient => Planted::DivideByZero,
            Part::Remainder => Planted::RemainderByZero,
        });
        if (part == Part::Quotient) == planted {
            return self.code.land(zero);
        }
        let done = self.code.skip_always();
        self.code.land(zero);
        self.load_imm(dst, 0);
        self.code.land(done);
    }

    /// Divides by a register other than rax and rdx that is neither zero nor, for a signed division, -1.
    fn division(&mut self, part: Part, signed: bool, size: Size, dst: Gpr, divisor: Gpr) {
        let saves_rax = dst != Gpr::Rax && self.used.has(Reg::R0);
        let saves_rdx = dst != Gpr::Rdx && self.used.has(Reg::R3) && !self.planted(Planted::DivisionClobbers);
        if saves_rax {
            self.code.mov(Size::B8, Gpr::R10, Gpr::Rax);
        }
        if saves_rdx {
            self.code.mov(Size::B8, Gpr::R9, Gpr::Rdx);
        }
        if dst != Gpr::Rax {
            self.code.mov(size, Gpr::Rax, dst);
        }
        match (signed, size) {
            (false, _) => self.code.alu(AluOp::Xor, Size::B4, Gpr::Rdx, Gpr::Rdx),
            (true, Size::B4) => self.code.nullary(Nullary::Cdq),
            (true, _) => self.code.nullary(Nullary::Cqo),
        }
        self.code.unary(if signed { UnaryOp::Idiv } else { UnaryOp::Div }, size, divisor);
        let result = if part == Part::Quotient { Gpr::Rax } else { Gpr::Rdx };
        if dst != result {
            self.code.mov(size, dst, result);
        }
        if saves_rax {
            self.code.mov(Size::B8, Gpr::Rax, Gpr::R10);
        }
        if saves_rdx {
            self.code.mov(Size::B8, Gpr::Rdx, Gpr::R9);
        }
    }
}
