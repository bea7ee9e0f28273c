// SPDX-License-Identifier: GPL-2.0-or-later
//! What patches have in common.

use kop_ops::ebpf::Reg;
use kop_ops::{Site, aarch64, x86_64};

/// x86-64 instructions, branches resolved.
pub(super) fn x86(write: impl FnOnce(&mut x86_64::Assembler)) -> Vec<x86_64::Insn> {
    let mut asm = x86_64::Assembler::new();
    write(&mut asm);
    let assembled = asm.finish().expect("a patch's instructions have encodings");
    assembled.insns.into_iter().map(|(_, insn)| insn).collect()
}

/// AArch64 instructions, branches resolved.
pub(super) fn arm(write: impl FnOnce(&mut aarch64::Assembler)) -> Vec<aarch64::Insn> {
    let mut asm = aarch64::Assembler::new();
    write(&mut asm);
    let assembled = asm.finish().expect("a patch's instructions have encodings");
    assembled.insns.into_iter().map(|(_, insn)| insn).collect()
}

/// Puts instructions before the others.
pub(super) fn before<I>(code: &mut Vec<I>, more: Vec<I>) {
    code.splice(0..0, more);
}

/// Puts instructions in place of one.
pub(super) fn instead<I>(code: &mut Vec<I>, of: impl FnMut(&I) -> bool, more: Vec<I>) {
    if let Some(index) = code.iter().position(of) {
        code.splice(index..=index, more);
    }
}

/// Changes every instruction.
pub(super) fn each<I>(code: &mut [I], change: impl FnMut(&mut I)) {
    code.iter_mut().for_each(change);
}

/// Whether an operand names `reg`.
pub(super) fn names(site: &Site, reg: Reg) -> bool {
    site.form.layout.registers(&site.operands).has(reg)
}
