// SPDX-License-Identifier: GPL-2.0-or-later
//! Jumps, and the lengths of branches: all are written long, then those that reach become short.

use kop_ops::code::runtime;
use kop_ops::ebpf::{Cond, Operand, Reg, Width};
use kop_ops::x86_64::{self, AluOp, BranchKind, Insn, Mem, Rel, Size, UnaryOp};

use super::guard::StubKind;
use super::{Compiler, RUNTIME, gpr, size_of};
use crate::planted::Planted;

/// A place in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Bytes before it.
    pub offset: u32,
    /// Branches before it.
    branches: u32,
}

impl Place {
    /// Not known yet.
    pub const UNBOUND: Place = Place { offset: 0, branches: 0 };
}

/// A branch in its long form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Branch {
    /// The offset of its first byte.
    offset: u32,
    /// Where it goes.
    place: u32,
    kind: BranchKind,
    /// Whether it is written in its short form in the end.
    short: bool,
}

impl Branch {
    /// Bytes of the long form.
    fn long(&self) -> u32 {
        if matches!(self.kind, BranchKind::Jcc(_)) { 6 } else { 5 }
    }

    /// How many bytes it takes less than its long form.
    fn saved(&self) -> u32 {
        if self.short { self.long() - 2 } else { 0 }
    }

    fn insn(&self, disp: i32) -> Insn {
        let rel = if self.short { Rel::Short } else { Rel::Near };
        match self.kind {
            BranchKind::Jmp => Insn::JmpRel { rel, disp },
            BranchKind::Jcc(cond) => Insn::JccRel { cond, rel, disp },
            BranchKind::Call => Insn::CallRel { disp },
        }
    }
}

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// Here.
    pub(super) fn here(&self) -> Place {
        Place { offset: self.code.len() as u32, branches: self.branches.len() as u32 }
    }

    /// Puts a place here.
    #[inline(always)]
    pub(super) fn bind(&mut self, place: usize) {
        self.places[place] = self.here();
    }

    /// A new place, bound nowhere yet.
    pub(super) fn new_place(&mut self) -> u32 {
        self.places.push(Place::UNBOUND);
        self.places.len() as u32 - 1
    }

    /// Code that belongs to no instruction starts here.
    pub(super) fn mark_plain(&mut self) {
        self.plain.push(self.here());
    }

    /// A branch to a place.
    pub(super) fn branch(&mut self, kind: BranchKind, place: u32) {
        let short = kind != BranchKind::Call;
        let branch = Branch { offset: self.code.len() as u32, place, kind, short };
        self.branches.push(branch);
        self.code.push(Branch { short: false, ..branch }.insn(0));
    }

    /// A conditional jump.
    pub(super) fn jump(&mut self, index: usize, cond: Cond, width: Width, dst: Reg, src: Operand) {
        self.pay_for_loop(index);
        let target = self.body.target(index);
        if target == index + 1 {
            return;
        }
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
        let cond = condition(if self.planted(Planted::CompareSign) { unsigned(cond) } else { cond });
        self.branch(BranchKind::Jcc(cond), target as u32);
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

    /// Chooses the length of every branch, moves the code together, and puts places where they are then.
    pub(super) fn settle_branches(&mut self) {
        let saved = self.shorten();
        for place in self.places.iter_mut().chain(&mut self.plain) {
            place.offset -= saved[place.branches as usize];
        }
        let (mut from, mut to) = (0, 0);
        for branch in &self.branches {
            let start = branch.offset as usize;
            self.code.pull(from, to, start - from);
            to += start - from;
            from = start + branch.long() as usize;
            let len = (branch.long() - branch.saved()) as usize;
            let target = self.places[branch.place as usize].offset;
            let disp = i64::from(target) - (to + len) as i64;
            let mut disp = i32::try_from(disp).expect("code is below 2 GiB");
            if branch.short && self.planted(Planted::ShortBranchRange) {
                disp = i32::from(disp as i8);
            }
            self.code.replace(to, branch.insn(disp));
            to += len;
        }
        let rest = self.code.len() - from;
        self.code.pull(from, to, rest);
        self.code.truncate(to + rest);
    }

    /// Makes branches long that do not reach, from all short, until all reach; returns for each number of branches how
    /// many bytes they save together.
    fn shorten(&mut self) -> Vec<u32> {
        let reach = if self.planted(Planted::ShortBranchRange) { -132..=131 } else { -128..=127 };
        let mut saved = vec![0; self.branches.len() + 1];
        loop {
            let mut sum = 0;
            for (slot, branch) in saved[1..].iter_mut().zip(&self.branches) {
                sum += branch.saved();
                *slot = sum;
            }
            let mut grown = false;
            for (number, branch) in self.branches.iter_mut().enumerate().filter(|(_, branch)| branch.short) {
                let place = self.places[branch.place as usize];
                let target = place.offset - saved[place.branches as usize];
                let end = branch.offset + branch.long() - saved[number + 1];
                if !reach.contains(&(i64::from(target) - i64::from(end))) {
                    branch.short = false;
                    grown = true;
                }
            }
            if !grown {
                return saved;
            }
        }
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
