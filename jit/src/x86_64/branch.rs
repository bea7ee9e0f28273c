// SPDX-License-Identifier: GPL-2.0-or-later
//! Jumps.

use kop_ops::code::runtime;
use kop_ops::ebpf::{Cond, Operand, Reg, Width};
use kop_ops::x86_64::{self, AluOp, BranchKind, Mem, Size, UnaryOp};

use super::guard::StubKind;
use super::{Compiler, RUNTIME, gpr, size_of};
use crate::planted::Planted;

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// A conditional jump, and the unconditional one after it that it jumps over; returns how many that was.
    pub(super) fn jump(&mut self, index: usize, cond: Cond, width: Width, dst: Reg, src: Operand) -> usize {
        self.pay_for_loop(index);
        let target = self.body.target(index);
        if target == index + 1 {
            return 1;
        }
        self.compare(cond, width, dst, src);
        let cond = condition(if self.planted(Planted::CompareSign) { unsigned(cond) } else { cond });
        match self.analysis.jumped_over(self.body, index, self.options.guarded) {
            Some(other) => {
                let cond = if self.planted(Planted::JumpOver) { cond } else { cond.negated() };
                self.branch(BranchKind::Jcc(cond), other as u32);
                2
            }
            None => {
                self.branch(BranchKind::Jcc(cond), target as u32);
                1
            }
        }
    }

    /// Sets the flags for [`condition`].
    fn compare(&mut self, cond: Cond, width: Width, dst: Reg, src: Operand) {
        let size = if self.planted(Planted::CompareWidth) { Size::B8 } else { size_of(width) };
        let dst = gpr(dst);
        match (cond, src) {
            (Cond::Set, Operand::Reg(src)) if self.planted(Planted::TestAsCompare) => {
                self.code.alu(AluOp::Cmp, size, dst, gpr(src));
            }
            (Cond::Set, Operand::Reg(src)) => self.code.test(size, dst, gpr(src)),
            (Cond::Set, Operand::Imm(imm)) => self.test_bits(size, dst, imm),
            (_, Operand::Reg(src)) => self.code.alu(AluOp::Cmp, size, dst, gpr(src)),
            (_, Operand::Imm(0)) => self.code.test(size, dst, dst),
            (_, Operand::Imm(imm)) => self.code.alu(AluOp::Cmp, size, dst, imm),
        }
    }

    /// `test dst, imm` in the fewest bytes; only whether the result is zero matters.
    fn test_bits(&mut self, size: Size, dst: x86_64::Gpr, imm: i32) {
        match imm {
            0..=0xff => self.code.test(Size::B1, dst, i32::from(imm as u8 as i8)),
            0x100..=i32::MAX => self.code.test(Size::B4, dst, imm),
            _ => self.code.test(size, dst, imm),
        }
    }

    /// An unconditional jump.
    pub(super) fn jump_always(&mut self, index: usize) {
        self.pay_for_loop(index);
        let target = self.body.target(index);
        if target != index + 1 {
            self.branch(BranchKind::Jmp, target as u32);
        }
    }

    /// `may_goto`: jumps once the frame's budget, in the word on top of the native stack, is used up.
    pub(super) fn may_goto(&mut self, index: usize) {
        self.pay_for_loop(index);
        let budget = Mem::at(x86_64::Gpr::Rsp, 0);
        self.code.alu(AluOp::Cmp, Size::B8, budget, 0);
        self.branch(BranchKind::Jcc(x86_64::Cond::E), self.body.target(index) as u32);
        self.code.unary(UnaryOp::Dec, Size::B8, budget);
    }

    /// Takes the length of a loop from the fuel, in guarded code, before its jump back.
    fn pay_for_loop(&mut self, index: usize) {
        let target = self.body.target(index);
        if self.options.guarded && target <= index {
            self.pay(index, index + 1 - target);
        }
    }

    /// Takes `insns` from the fuel.
    pub(super) fn pay(&mut self, index: usize, insns: usize) {
        let fuel = Mem::at(RUNTIME, runtime::FUEL);
        let insns = i32::try_from(insns).expect("a program has at most a million instructions");
        self.code.alu(AluOp::Sub, Size::B8, fuel, insns);
        self.fault_if(x86_64::Cond::S, index, StubKind::Fuel);
    }
}

/// The processor's condition after a comparison, or after a test for [`Cond::Set`].
fn condition(cond: Cond) -> x86_64::Cond {
    match cond {
        Cond::Eq => x86_64::Cond::E,
        Cond::Gt => x86_64::Cond::A,
        Cond::Ge => x86_64::Cond::Ae,
        Cond::Set | Cond::Ne => x86_64::Cond::Ne,
        Cond::SGt => x86_64::Cond::G,
        Cond::SGe => x86_64::Cond::Ge,
        Cond::Lt => x86_64::Cond::B,
        Cond::Le => x86_64::Cond::Be,
        Cond::SLt => x86_64::Cond::L,
        Cond::SLe => x86_64::Cond::Le,
    }
}

/// The unsigned comparison with a signed one's name.
fn unsigned(cond: Cond) -> Cond {
    match cond {
        Cond::SGt => Cond::Gt,
        Cond::SGe => Cond::Ge,
        Cond::SLt => Cond::Lt,
        Cond::SLe => Cond::Le,
        other => other,
    }
}
