// SPDX-License-Identifier: GPL-2.0-or-later
//! Jumps, and the lengths of branches: all are written as one instruction, and those that do not reach become their
//! inverse around a B, which reaches 128 MiB.

use kop_ops::aarch64::{self, AddSub, Gpr, Insn, Logical, LogicalImm, Mem, Size, Width};
use kop_ops::code::runtime;
use kop_ops::ebpf::{self, Cond, Operand, Reg};

use super::guard::StubKind;
use super::{Compiler, RUNTIME, SCRATCH, gpr, width_of};
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
    pub const UNBOUND: Place = Place { offset: u32::MAX, branches: u32::MAX };
}

/// A branch in its short form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Branch {
    /// The offset of its first byte.
    offset: u32,
    /// Where it goes.
    place: u32,
    /// The instruction without its distance.
    insn: Insn,
    /// Whether it goes around a B in the end.
    long: bool,
}

/// When a jump is taken.
enum Taken {
    Never,
    Always,
    /// Where this branch is, which goes by a register or by the flags.
    By(Insn),
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
    pub(super) fn branch(&mut self, insn: Insn, place: u32) {
        self.branches.push(Branch { offset: self.code.len() as u32, place, insn, long: false });
        self.code.push(insn);
    }

    /// A conditional jump, and the unconditional one after it that it jumps over; returns how many that was.
    pub(super) fn jump(
        &mut self,
        index: usize,
        cond: Cond,
        width: ebpf::Width,
        dst: Reg,
        src: Operand,
    ) -> usize {
        self.pay_for_loop(index);
        let target = self.body.target(index);
        if target == index + 1 {
            return 1;
        }
        let width = if self.planted(Planted::CompareWidth) { Width::X } else { width_of(width) };
        let cond = if self.planted(Planted::CompareSign) { unsigned(cond) } else { cond };
        let taken = match (cond, src) {
            (Cond::Set, Operand::Reg(src)) => self.test(width, gpr(dst), gpr(src)),
            (Cond::Set, Operand::Imm(imm)) => self.test_imm(width, gpr(dst), imm),
            (_, Operand::Reg(src)) => {
                self.code.add_sub(AddSub::Subs, width, Gpr::Xzr, gpr(dst), gpr(src));
                Taken::By(Insn::b_cond(condition(cond)))
            }
            (_, Operand::Imm(imm)) => self.compare(cond, width, gpr(dst), imm),
        };
        let other = self.analysis.jumped_over(self.body, index, self.options.guarded);
        match (taken, other) {
            (Taken::By(insn), Some(other)) => {
                let inverse = insn.inverse_branch().expect("a conditional branch has one");
                self.branch(if self.planted(Planted::JumpOver) { insn } else { inverse }, other as u32);
                return 2;
            }
            (Taken::By(insn), None) => self.branch(insn, target as u32),
            (Taken::Always, _) => self.branch(Insn::B { offset: 0 }, target as u32),
            (Taken::Never, _) => {}
        }
        1
    }

    fn test(&mut self, width: Width, dst: Gpr, src: Gpr) -> Taken {
        if self.planted(Planted::TestAsCompare) {
            self.code.add_sub(AddSub::Subs, width, Gpr::Xzr, dst, src);
        } else if dst == src {
            return Taken::By(Insn::cbnz(width, dst));
        } else {
            self.code.logical(Logical::Ands, width, Gpr::Xzr, dst, src);
        }
        Taken::By(Insn::b_cond(aarch64::Cond::Ne))
    }

    fn test_imm(&mut self, width: Width, dst: Gpr, imm: i32) -> Taken {
        let imm = i64::from(imm) as u64 & width.mask();
        if self.planted(Planted::TestAsCompare) {
            self.compare_imm(width, dst, imm as i32);
        } else if imm == 0 {
            return Taken::Never;
        } else if imm == width.mask() {
            return Taken::By(Insn::cbnz(width, dst));
        } else if imm.is_power_of_two() {
            return Taken::By(Insn::tbnz(dst, imm.trailing_zeros() as u8));
        } else {
            self.logical_imm(LogicalImm::Ands, width, Gpr::Xzr, dst, imm);
        }
        Taken::By(Insn::b_cond(aarch64::Cond::Ne))
    }

    /// A comparison with an immediate; those with zero and one go by the register itself.
    fn compare(&mut self, cond: Cond, width: Width, dst: Gpr, imm: i32) -> Taken {
        let sign = width.bits() as u8 - 1;
        match (cond, imm) {
            (Cond::Eq | Cond::Le, 0) | (Cond::Lt, 1) => Taken::By(Insn::cbz(width, dst)),
            (Cond::Ne | Cond::Gt, 0) | (Cond::Ge, 1) => Taken::By(Insn::cbnz(width, dst)),
            (Cond::Ge, 0) => Taken::Always,
            (Cond::Lt, 0) => Taken::Never,
            (Cond::SLt, 0) | (Cond::SLe, -1) => Taken::By(Insn::tbnz(dst, sign)),
            (Cond::SGe, 0) | (Cond::SGt, -1) => Taken::By(Insn::tbz(dst, sign)),
            _ => {
                self.compare_imm(width, dst, imm);
                Taken::By(Insn::b_cond(condition(cond)))
            }
        }
    }

    /// An unconditional jump.
    pub(super) fn jump_always(&mut self, index: usize) {
        self.pay_for_loop(index);
        let target = self.body.target(index);
        if target != index + 1 {
            self.branch(Insn::B { offset: 0 }, target as u32);
        }
    }

    /// `may_goto`: jumps once the frame's budget, a word on the native stack, is used up.
    pub(super) fn may_goto(&mut self, index: usize) {
        self.pay_for_loop(index);
        let budget = self.frame.budget();
        self.code.load(Size::B8, SCRATCH, budget);
        self.branch(Insn::cbz(Width::X, SCRATCH), self.body.target(index) as u32);
        self.code.add_sub_imm(AddSub::Sub, Width::X, SCRATCH, SCRATCH, 1);
        self.code.store(Size::B8, SCRATCH, budget);
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
        let fuel = Mem::offset(RUNTIME, runtime::FUEL);
        let left = Gpr::X9;
        self.code.load(Size::B8, left, fuel);
        match u32::try_from(insns) {
            Ok(few) if few < 1 << 12 => self.code.add_sub_imm(AddSub::Subs, Width::X, left, left, few),
            _ => {
                self.load_imm(Width::X, SCRATCH, insns as u64);
                self.code.add_sub(AddSub::Subs, Width::X, left, left, SCRATCH);
            }
        }
        self.code.store(Size::B8, left, fuel);
        self.fault_if(Insn::b_cond(aarch64::Cond::Mi), index, StubKind::Fuel);
    }

    /// Chooses the length of every branch, makes room for the long ones, and puts places where they are then.
    pub(super) fn settle_branches(&mut self) {
        if let Some(added) = self.lengthen() {
            let shift = |place: Place| Place {
                offset: place.offset + added[place.branches as usize],
                branches: place.branches,
            };
            for place in self.places.iter_mut().filter(|place| **place != Place::UNBOUND) {
                *place = shift(*place);
            }
            for place in &mut self.plain {
                *place = shift(*place);
            }
            let long = self.branches.iter().filter(|branch| branch.long);
            let offsets: Vec<usize> = long.map(|branch| branch.offset as usize).collect();
            self.code.spread(&offsets);
            for (branch, added) in self.branches.iter_mut().zip(&added) {
                branch.offset += added;
            }
        }
        for branch in &self.branches {
            let (mut from, mut insn) = (branch.offset as usize, branch.insn);
            if branch.long {
                let around = insn.inverse_branch().expect("conditional branches alone are long");
                self.code.replace(from, around.with_offset(8));
                (from, insn) = (from + 4, Insn::B { offset: 0 });
            }
            let mut offset = distance(from as u32, self.places[branch.place as usize].offset);
            let wraps = self.planted(Planted::ShortBranchRange) && insn.inverse_branch().is_some();
            if wraps && (-132..=131).contains(&offset) {
                offset = i32::from(offset as i8);
            }
            self.code.replace(from, insn.with_offset(offset));
        }
    }

    /// Makes branches long that do not reach, until all reach; returns, where there are any, for each number of branches
    /// how many bytes they take more together.
    fn lengthen(&mut self) -> Option<Vec<u32>> {
        let mut added = vec![0; self.branches.len() + 1];
        let mut any = false;
        loop {
            let mut grown = false;
            for number in 0..self.branches.len() {
                let branch = self.branches[number];
                let place = self.places[branch.place as usize];
                let target = place.offset + added[place.branches as usize];
                let apart = distance(branch.offset + added[number], target);
                if !branch.long && branch.insn.inverse_branch().is_some() && !branch.insn.reaches(apart) {
                    self.branches[number].long = true;
                    grown = true;
                }
            }
            if !grown {
                return any.then_some(added);
            }
            any = true;
            let mut sum = 0;
            for (slot, branch) in added[1..].iter_mut().zip(&self.branches) {
                sum += if branch.long { 4 } else { 0 };
                *slot = sum;
            }
        }
    }
}

/// The bytes from one offset to another.
fn distance(from: u32, to: u32) -> i32 {
    i32::try_from(i64::from(to) - i64::from(from)).expect("code is below 2 GiB")
}

/// The processor's condition after a comparison.
fn condition(cond: Cond) -> aarch64::Cond {
    match cond {
        Cond::Eq => aarch64::Cond::Eq,
        Cond::Gt => aarch64::Cond::Hi,
        Cond::Ge => aarch64::Cond::Hs,
        Cond::Set | Cond::Ne => aarch64::Cond::Ne,
        Cond::SGt => aarch64::Cond::Gt,
        Cond::SGe => aarch64::Cond::Ge,
        Cond::Lt => aarch64::Cond::Lo,
        Cond::Le => aarch64::Cond::Ls,
        Cond::SLt => aarch64::Cond::Lt,
        Cond::SLe => aarch64::Cond::Le,
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
