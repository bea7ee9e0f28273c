// SPDX-License-Identifier: GPL-2.0-or-later
//! The forms of eBPF instructions: their names in reports, those that are not proved here with the reason, and how many
//! instructions there are of each.

use kop_ops::ebpf::{AluOp, AtomicOp, CallTarget, Insn, Operand};

/// The name of a form: the operation, the bits that it works on, and whether its source is a register or an immediate.
pub(super) fn name(form: &Insn) -> String {
    let source = |operand: Operand| if operand.reg().is_some() { "reg" } else { "imm" };
    let lower = |text: String| text.to_lowercase();
    match *form {
        Insn::Alu { op, width, src, .. } if !op.is_sign_extension() => {
            lower(format!("{op:?}{}_{}", width.bits(), source(src)))
        }
        Insn::Alu { op, width, .. } => lower(format!("{op:?}_{}", width.bits())),
        Insn::Neg { width, .. } => format!("neg{}", width.bits()),
        Insn::End { kind, bits, .. } => lower(format!("{kind:?}{bits}")).replace("to", "to_"),
        Insn::LoadImm64 { kind: 0, .. } => "ld_imm64".to_owned(),
        Insn::LoadImm64 { kind, .. } => format!("ld_imm64_{kind}"),
        Insn::Load { size, signed, .. } => format!("load{}{}", if signed { "s" } else { "" }, size.bits()),
        Insn::Store { size, src, .. } => format!("store{}_{}", size.bits(), source(src)),
        Insn::Atomic { op, size, .. } => format!("{}{}", atomic(op), size.bits()),
        Insn::LoadAbs { size, .. } => format!("ld_abs{}", size.bits()),
        Insn::LoadInd { size, .. } => format!("ld_ind{}", size.bits()),
        Insn::Jump { cond, width, src, .. } => lower(format!("j{cond:?}{}_{}", width.bits(), source(src))),
        Insn::Ja { .. } => "ja".to_owned(),
        Insn::Gotol { .. } => "gotol".to_owned(),
        Insn::MayGoto { .. } => "may_goto".to_owned(),
        Insn::Sidecar { .. } => "sidecar".to_owned(),
        Insn::Exit => "exit".to_owned(),
        Insn::Call { target } => match target {
            CallTarget::Helper(_) => "call_helper",
            CallTarget::Local(_) => "call_local",
            CallTarget::Kfunc { .. } => "call_kfunc",
            CallTarget::Register(_) => "call_reg",
            CallTarget::Kop { .. } => "call_kop",
        }
        .to_owned(),
    }
}

const fn atomic(op: AtomicOp) -> &'static str {
    match op {
        AtomicOp::Add => "lock_add",
        AtomicOp::Or => "lock_or",
        AtomicOp::And => "lock_and",
        AtomicOp::Xor => "lock_xor",
        AtomicOp::FetchAdd => "fetch_add",
        AtomicOp::FetchOr => "fetch_or",
        AtomicOp::FetchAnd => "fetch_and",
        AtomicOp::FetchXor => "fetch_xor",
        AtomicOp::Xchg => "xchg",
        AtomicOp::CmpXchg => "cmpxchg",
        AtomicOp::LoadAcquire => "load_acq",
        AtomicOp::StoreRelease => "store_rel",
    }
}

/// Whether an operation takes an amount below its width.
pub(super) const fn is_shift(op: AluOp) -> bool {
    matches!(op, AluOp::Lsh | AluOp::Rsh | AluOp::Arsh)
}

/// Why a form is not proved by itself; `None` where it is.
pub(super) const fn listed(form: &Insn) -> Option<&'static str> {
    match form {
        Insn::LoadImm64 { kind: 1.., .. } => {
            Some("the address of a map or function is a constant to the compiler: as ld_imm64")
        }
        Insn::LoadAbs { .. } | Insn::LoadInd { .. } => Some("legacy packet loads are not compiled"),
        Insn::Call { target: CallTarget::Kfunc { .. } } => Some("calls of kernel functions are not compiled"),
        Insn::Sidecar { .. } | Insn::Call { target: CallTarget::Kop { .. } } => {
            Some("a Kop site is the operation's emit, which `kop prove` proves")
        }
        Insn::Call { .. } => Some("what a call does is not a matter of its instruction alone"),
        Insn::Exit => Some("the epilogue depends on the whole function"),
        Insn::MayGoto { .. } => Some("its budget is a word that the prologue puts on the native stack"),
        _ => None,
    }
}

/// Whether the verifier lets an instruction through, for all that it says by itself: amounts of shifts are below the width.
pub(super) fn is_admitted(insn: &Insn) -> bool {
    match *insn {
        Insn::Alu { op, width, src: Operand::Imm(imm), .. } if is_shift(op) => (imm as u32) < width.bits(),
        _ => true,
    }
}

/// How many instructions that [`is_admitted`] there are of a form, and whether they differ in registers alone: those can be looked at one by one.
/// None of them writes r10.
pub(super) fn space(form: &Insn) -> (u64, bool) {
    const IMM: u64 = 1 << 32;
    const OFF: u64 = 1 << 16;
    let source = |operand: Operand, limit: u64| match operand {
        Operand::Reg(_) => (11, true),
        Operand::Imm(_) => (limit, false),
    };
    match *form {
        Insn::Alu { width, op, src, .. } if is_shift(op) => {
            // The verifier lets no other amount through.
            let (sources, _) = source(src, width.bits().into());
            (10 * sources, true)
        }
        Insn::Alu { src, .. } => {
            let (sources, whole) = source(src, IMM);
            (10 * sources, whole)
        }
        Insn::Neg { .. } | Insn::End { .. } => (10, true),
        Insn::LoadImm64 { kind: 0, .. } => (u64::MAX, false),
        Insn::Load { .. } => (10 * 11 * OFF, false),
        Insn::Store { src, .. } => (11 * OFF * source(src, IMM).0, false),
        Insn::Atomic { .. } => (super::operands::pairs(*form).count() as u64 * OFF, false),
        Insn::Jump { src, .. } => (11 * source(src, IMM).0 * OFF, false),
        Insn::Ja { .. } => (OFF, false),
        Insn::Gotol { .. } => (IMM, false),
        _ => (0, false),
    }
}
