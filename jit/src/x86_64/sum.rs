// SPDX-License-Identifier: GPL-2.0-or-later
//! Sums: instructions one after another that add to one register become one `lea`, or the address of the access behind them.

use kop_ops::ebpf::{AluOp as Op, Insn, Operand, Reg, Width};
use kop_ops::x86_64::{Base, Gpr, Index, Mem, Scale, Size};

use super::{Compiler, gpr, size_of};
use crate::planted::Planted;

/// How many instructions behind a sum are looked at for what becomes of it.
const LOOK_AHEAD: usize = 12;

/// What a register holds after some instructions: a sum of others as they were before, and of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sum {
    base: Option<Gpr>,
    index: Option<Index>,
    disp: i32,
}

impl Sum {
    /// A register as it is.
    fn of(register: Gpr) -> Self {
        Self { base: Some(register), index: None, disp: 0 }
    }

    /// The sum and a number, unless that cannot be written down.
    fn plus(self, number: i32) -> Option<Self> {
        Some(Self { disp: self.disp.checked_add(number)?, ..self })
    }

    /// The sum and a register.
    fn plus_register(self, register: Gpr) -> Option<Self> {
        match (self.base, self.index) {
            (None, _) => Some(Self { base: Some(register), ..self }),
            (Some(_), None) => Some(Self { index: Some(Index { reg: register, scale: Scale::S1 }), ..self }),
            _ => None,
        }
    }

    /// The sum shifted left.
    fn times(self, scale: Scale) -> Option<Self> {
        match self {
            Self { base: Some(reg), index: None, disp: 0 } => {
                Some(Self { base: None, index: Some(Index { reg, scale }), disp: 0 })
            }
            _ => None,
        }
    }

    /// Whether it is of this register.
    fn has(&self, register: Gpr) -> bool {
        self.base == Some(register) || self.index.is_some_and(|index| index.reg == register)
    }

    /// As an address; a base that needs no displacement comes first.
    fn mem(self) -> Mem {
        let swaps = |base| self.disp == 0 && matches!(base, Gpr::Rbp | Gpr::R13);
        match (self.base, self.index) {
            (Some(base), Some(Index { reg, scale: Scale::S1 })) if swaps(base) => {
                Mem::at(reg, 0).index(base, Scale::S1)
            }
            (base, index) => Mem { base: base.map_or(Base::Zero, Base::Reg), index, disp: self.disp },
        }
    }
}

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// The sum that starts with the instruction `index`, which changes `dst`, and how many instructions it is.
    fn sum(&self, index: usize, width: Width, dst: Reg) -> (Option<Sum>, usize) {
        let mut sum = self.add(None, index, width, dst);
        let mut count = usize::from(sum.is_some());
        while let Some(known) = sum
            && self.next(index + count - 1).is_some()
            && let Some(longer) = self.add(Some(known), index + count, width, dst)
        {
            sum = Some(longer);
            count += 1;
        }
        (sum, count)
    }

    /// What `dst` holds after the instruction `index`, from what it held before; without that, the instruction starts a sum.
    fn add(&self, before: Option<Sum>, index: usize, width: Width, dst: Reg) -> Option<Sum> {
        let Insn::Alu { op, width: own, dst: changed, src } = self.body.insns[index] else { return None };
        if own != width || changed != dst {
            return None;
        }
        if let (Op::Mov, Operand::Reg(src), None) = (op, src, before) {
            return (src != dst).then(|| Sum::of(gpr(src)));
        }
        // A number alone is as short without, and so is one register.
        let sum = before.unwrap_or(Sum::of(gpr(dst)));
        match (op, src) {
            (Op::Add, Operand::Imm(imm)) => sum.plus(imm),
            (Op::Sub, Operand::Imm(imm)) => sum.plus(imm.checked_neg()?),
            (Op::Add, Operand::Reg(src)) if src != dst => sum.plus_register(gpr(src)),
            (Op::Lsh, Operand::Imm(1)) => sum.times(Scale::S2),
            (Op::Lsh, Operand::Imm(2)) => sum.times(Scale::S4),
            (Op::Lsh, Operand::Imm(3)) => sum.times(Scale::S8),
            _ => None,
        }
    }

    /// The instructions from `index` on as one `lea`, with the access behind them where they are its address; returns how many
    /// they are, or 0 where nothing is gained.
    pub(super) fn add_up(&mut self, index: usize, width: Width, dst: Reg) -> usize {
        if self.planted(Planted::ImmediateZeroExtended) {
            return 0;
        }
        let (Some(sum), count) = self.sum(index, width, dst) else { return 0 };
        if width == Width::W64 && self.next(index + count - 1).is_some() {
            let done = self.access(index + count, dst, sum);
            if done > 0 {
                return count + done;
            }
        }
        let known_base = sum.base.is_some();
        if count < 2 || !known_base {
            return 0;
        }
        self.code.lea(size_of(width), gpr(dst), sum.mem());
        count
    }

    /// The load or store `index` at the sum that `dst` is to hold, if it is one and that need not be in a register before; returns how
    /// many instructions that was.
    fn access(&mut self, index: usize, dst: Reg, sum: Sum) -> usize {
        match self.body.insns[index] {
            Insn::Load { size, signed, dst: loaded, base, off } if base == dst => {
                let Some(mem) = sum.plus(self.displacement(base, off)) else { return 0 };
                let stays = loaded != dst && !self.is_overwritten(index, dst);
                if stays && sum.has(gpr(loaded)) {
                    return 0;
                }
                let done = self.load_from(index, size, signed, loaded, mem.mem());
                if stays {
                    self.code.lea(Size::B8, gpr(dst), sum.mem());
                }
                done
            }
            Insn::Store { size, base, off, src } if base == dst && src != Operand::Reg(dst) => {
                let Some(mem) = sum.plus(self.displacement(base, off)) else { return 0 };
                if !self.is_overwritten(index, dst) {
                    return 0;
                }
                self.store_to(index, size, mem.mem(), src);
                1
            }
            _ => 0,
        }
    }

    /// Whether `register` is written after the instruction `index` before it is read and before anything jumps.
    fn is_overwritten(&self, index: usize, register: Reg) -> bool {
        let end = self.body.insns.len().min(index + 1 + LOOK_AHEAD);
        for behind in index + 1..end {
            let insn = &self.body.insns[behind];
            if matches!(insn, Insn::Sidecar { .. } | Insn::Exit)
                || insn.is_call()
                || insn.branch_offset().is_some()
            {
                return false;
            }
            let effects = self.body.effects[behind];
            if effects.reads.has(register) {
                return false;
            }
            if effects.writes.has(register) {
                return true;
            }
        }
        false
    }
}
