// SPDX-License-Identifier: GPL-2.0-or-later
//! What rbpf 0.4.1 gets wrong or lacks: proof sequences that need it are refused by rule, not run and believed.

use kop_ops::ebpf::{AluOp, CallTarget, Cond, EndKind, Insn, Operand, Width};

/// A rule that keeps a proof sequence away from rbpf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Rule {
    /// 64-bit unsigned and equality jumps zero-extend their immediate.
    #[error("negative-jump-immediate: rbpf zero-extends the immediate of 64-bit unsigned and equality jumps")]
    NegativeJumpImmediate,
    /// MOD32 by zero, in a register or as the immediate, keeps the upper half of its destination.
    #[error("mod32-by-zero: rbpf keeps the upper half when the divisor is zero")]
    Mod32ByZero,
    /// The offset that makes sdiv, smod and movsx of div, mod and mov is ignored.
    #[error("alu-offset: rbpf runs sdiv, smod and movsx as div, mod and mov")]
    AluOffset,
    /// `lddw` with a source that asks for a map or the like is run as a constant.
    #[error("lddw-source: rbpf ignores the pseudo source of a 64-bit immediate")]
    LddwSource,
    /// The legacy packet loads bypass the memory that is registered.
    #[error("packet-load: rbpf's LD_ABS and LD_IND read eight bytes and ignore the window")]
    PacketLoad,
    /// Calls of every kind have rules of their own.
    #[error("call: rbpf keeps r1-r5 over calls and panics on calls backwards")]
    Call,
    /// Instructions that rbpf does not know.
    #[error("unknown: rbpf has no bswap, sign-extending load, gotol, may_goto or atomics")]
    Unknown,
    /// Backward jumps may never end, and rbpf has no fuel.
    #[error("backward-jump: rbpf has no bound on loops")]
    BackwardJump,
    /// Positions are kept in 16 bits.
    #[error("length: rbpf cannot jump from instruction 32768 on")]
    Length,
    /// A Kop site inside, or an exit.
    #[error("exit: the sequence does not fall through")]
    Exit,
}

/// The first rule that `proof` breaks.
///
/// # Errors
/// The rule.
pub fn lint(proof: &[Insn]) -> Result<(), Rule> {
    if proof.iter().map(Insn::slots).sum::<usize>() > 16_000 {
        return Err(Rule::Length);
    }
    proof.iter().find_map(broken).map_or(Ok(()), Err)
}

/// The first rule that a program breaks; it may exit anywhere.
///
/// # Errors
/// The rule.
pub(super) fn lint_program(insns: &[Insn]) -> Result<(), Rule> {
    if insns.iter().map(Insn::slots).sum::<usize>() > 16_000 {
        return Err(Rule::Length);
    }
    let goes_on = |insn: &&Insn| !matches!(insn, Insn::Exit);
    insns.iter().filter(goes_on).find_map(broken).map_or(Ok(()), Err)
}

fn broken(insn: &Insn) -> Option<Rule> {
    if insn.branch_offset().is_some_and(|offset| offset < 0) {
        return Some(Rule::BackwardJump);
    }
    match *insn {
        Insn::Alu {
            op: AluOp::SDiv | AluOp::SMod | AluOp::MovSx8 | AluOp::MovSx16 | AluOp::MovSx32, ..
        } => Some(Rule::AluOffset),
        Insn::Alu { op: AluOp::Mod, width: Width::W32, src: Operand::Reg(_) | Operand::Imm(0), .. } => {
            Some(Rule::Mod32ByZero)
        }
        Insn::Jump {
            cond: Cond::Eq | Cond::Ne | Cond::Gt | Cond::Ge | Cond::Lt | Cond::Le,
            width: Width::W64,
            src: Operand::Imm(imm),
            ..
        } if imm < 0 => Some(Rule::NegativeJumpImmediate),
        Insn::LoadImm64 { kind, .. } if kind != 0 => Some(Rule::LddwSource),
        Insn::LoadAbs { .. } | Insn::LoadInd { .. } => Some(Rule::PacketLoad),
        Insn::Call { target: CallTarget::Kop { .. } } | Insn::Sidecar { .. } | Insn::Exit => Some(Rule::Exit),
        Insn::Call { .. } => Some(Rule::Call),
        Insn::End { kind: EndKind::Swap, .. }
        | Insn::Load { signed: true, .. }
        | Insn::Atomic { .. }
        | Insn::Gotol { .. }
        | Insn::MayGoto { .. } => Some(Rule::Unknown),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kop_ops::ebpf::{AtomicOp, Reg, Size};

    #[test]
    fn every_known_fault_is_refused_by_name() {
        let (r0, r1) = (Reg::R0, Reg::R1);
        for (insn, rule) in [
            (Insn::jump(Cond::Eq, r0, -1, 0), Some(Rule::NegativeJumpImmediate)),
            (Insn::jump(Cond::Le, r0, -5, 0), Some(Rule::NegativeJumpImmediate)),
            (Insn::jump(Cond::SLe, r0, -5, 0), None),
            (Insn::jump(Cond::Set, r0, -5, 0), None),
            (Insn::jump32(Cond::Eq, r0, -1, 0), None),
            (Insn::jump(Cond::Eq, r0, 1, -3), Some(Rule::BackwardJump)),
            (Insn::alu32(AluOp::Mod, r0, r1), Some(Rule::Mod32ByZero)),
            (Insn::alu32(AluOp::Mod, r0, 0), Some(Rule::Mod32ByZero)),
            (Insn::alu64(AluOp::Mod, r0, r1), None),
            (Insn::alu32(AluOp::Mod, r0, 7), None),
            (Insn::alu64(AluOp::SDiv, r0, r1), Some(Rule::AluOffset)),
            (Insn::alu64(AluOp::MovSx8, r0, r1), Some(Rule::AluOffset)),
            (Insn::LoadImm64 { dst: r0, kind: 1, imm: 3 }, Some(Rule::LddwSource)),
            (Insn::load_imm64(r0, 3), None),
            (Insn::LoadAbs { size: Size::B4, imm: 0 }, Some(Rule::PacketLoad)),
            (Insn::bswap(r0, 16), Some(Rule::Unknown)),
            (Insn::to_be(r0, 16), None),
            (Insn::load_sx(Size::B1, r0, r1, 0), Some(Rule::Unknown)),
            (Insn::load(Size::B1, r0, r1, 0), None),
            (Insn::atomic(AtomicOp::Add, Size::B8, r0, 0, r1), Some(Rule::Unknown)),
            (Insn::MayGoto { off: 1 }, Some(Rule::Unknown)),
            (Insn::Gotol { off: 1 }, Some(Rule::Unknown)),
            (Insn::call_helper(5), Some(Rule::Call)),
            (Insn::exit(), Some(Rule::Exit)),
        ] {
            assert_eq!(lint(&[insn]).err(), rule, "{insn}");
        }
        assert_eq!(lint(&vec![Insn::ja(0); 16_001]).err(), Some(Rule::Length));
    }
}
