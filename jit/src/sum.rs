// SPDX-License-Identifier: GPL-2.0-or-later
//! Sums: instructions one after another that add to one register, and what becomes of it. Addresses in memory are made so: both
//! architectures have accesses whose address is a sum.

use kop_ops::ebpf::{AluOp as Op, Insn, Operand, Reg, Width};

use crate::analysis::Analysis;
use crate::body::Body;

/// The most instructions of a sum: more add to numbers alone. Each instruction is looked at so often at most.
const LONGEST: usize = 8;

/// How many instructions behind a sum are looked at for what becomes of it.
const LOOK_AHEAD: usize = 12;

/// What a register holds after some instructions: a sum of others, or of itself, as they were before, and of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    /// A register.
    pub base: Option<Reg>,
    /// Another, shifted left by 0 to 3.
    pub index: Option<(Reg, u8)>,
    /// The number.
    pub number: i32,
}

impl Sum {
    /// A register as it is.
    const fn of(register: Reg) -> Self {
        Self { base: Some(register), index: None, number: 0 }
    }

    /// The sum and a number, unless that is none of 32 bits.
    pub fn plus(self, number: i32) -> Option<Self> {
        Some(Self { number: self.number.checked_add(number)?, ..self })
    }

    /// The sum and a register.
    const fn plus_register(self, register: Reg) -> Option<Self> {
        match self {
            Self { base: None, .. } => Some(Self { base: Some(register), ..self }),
            Self { index: None, .. } => Some(Self { index: Some((register, 0)), ..self }),
            _ => None,
        }
    }

    /// The sum shifted left, where it is a register.
    const fn shifted(self, amount: u8) -> Option<Self> {
        match self {
            Self { base: Some(base), index: None, number: 0 } => {
                Some(Self { base: None, index: Some((base, amount)), number: 0 })
            }
            _ => None,
        }
    }

    /// Whether it is of this register.
    pub fn has(&self, register: Reg) -> bool {
        self.base == Some(register) || self.index.is_some_and(|(index, _)| index == register)
    }

    /// The sum that starts with the instruction `index`, which changes `dst`, and how many instructions it is, at least one. None but the
    /// first is jumped to.
    pub fn starting(
        body: &Body,
        analysis: &Analysis,
        index: usize,
        width: Width,
        dst: Reg,
    ) -> Option<(Self, usize)> {
        let mut sum = Self::step(None, body.insns[index], width, dst)?;
        let mut end = index + 1;
        while end < index + LONGEST
            && let Some(false) = analysis.is_target.get(end)
            && let Some(longer) = Self::step(Some(sum), body.insns[end], width, dst)
        {
            sum = longer;
            end += 1;
        }
        Some((sum, end - index))
    }

    /// What `dst` holds after an instruction, from what it held before; without that, the instruction starts a sum.
    fn step(before: Option<Self>, insn: Insn, width: Width, dst: Reg) -> Option<Self> {
        let Insn::Alu { op, width: own, dst: changed, src } = insn else { return None };
        if own != width || changed != dst {
            return None;
        }
        if let (Op::Mov, Operand::Reg(src), None) = (op, src, before) {
            return (src != dst).then(|| Self::of(src));
        }
        let sum = before.unwrap_or(Self::of(dst));
        match (op, src) {
            (Op::Add, Operand::Imm(imm)) => sum.plus(imm),
            (Op::Sub, Operand::Imm(imm)) => sum.plus(imm.checked_neg()?),
            // In a sum, the register itself is no longer what it was before.
            (Op::Add, Operand::Reg(src)) if src != dst => sum.plus_register(src),
            (Op::Lsh, Operand::Imm(amount @ 1..=3)) => sum.shifted(amount as u8),
            _ => None,
        }
    }
}

/// Whether `register` is written after the instruction `index` before it is read, in straight code: not behind a jump, call, exit or site.
pub(crate) fn is_overwritten(body: &Body, index: usize, register: Reg) -> bool {
    let end = body.insns.len().min(index + 1 + LOOK_AHEAD);
    for behind in index + 1..end {
        let insn = &body.insns[behind];
        let leaves = matches!(insn, Insn::Sidecar { .. } | Insn::Exit) || insn.branch_offset().is_some();
        let effects = body.effects[behind];
        if leaves || insn.is_call() || effects.reads.has(register) {
            return false;
        }
        if effects.writes.has(register) {
            return true;
        }
    }
    false
}
