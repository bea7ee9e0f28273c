// SPDX-License-Identifier: GPL-2.0-or-later
//! Claims that hold are proved, claims that do not are refuted by a state in which they do not.

mod addresses;
mod exclusive;
mod frame;
mod instructions;
mod memory;
mod overlap;
mod processor;
mod roles;
mod stack;
mod values;

use kop_ops::ebpf::{Insn, Reg, RegSet};
use kop_ops::{aarch64, x86_64};

use super::*;

/// The machine code of an emit.
fn x86(emit: impl FnOnce(&mut x86_64::Assembler)) -> (Arch, Vec<u8>) {
    let mut asm = x86_64::Assembler::new();
    emit(&mut asm);
    (Arch::X86_64, asm.finish().expect("it encodes").bytes)
}

/// The machine code of an emit.
fn arm(emit: impl FnOnce(&mut aarch64::Assembler)) -> (Arch, Vec<u8>) {
    let mut asm = aarch64::Assembler::new();
    emit(&mut asm);
    (Arch::Aarch64, asm.finish().expect("it encodes").bytes)
}

/// What is said of a claim where `dead` registers do not matter.
fn with_dead(proof: &[Insn], (arch, code): (Arch, Vec<u8>), dead: &[Reg]) -> Verdict {
    let statement = Statement {
        proof,
        code: &code,
        arch,
        dead: RegSet::of(dead),
        vectors: Vectors::default(),
        grants: Grants::default(),
    };
    Prover::default().prove(&statement)
}

fn verdict(proof: &[Insn], code: (Arch, Vec<u8>)) -> Verdict {
    with_dead(proof, code, &[])
}

#[track_caller]
fn proved(verdict: Verdict) -> Evidence {
    match verdict {
        Verdict::Proved(evidence) => *evidence,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refuted(verdict: Verdict) -> Counterexample {
    match verdict {
        Verdict::Refuted(counterexample) => *counterexample,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn not_proved(verdict: Verdict) {
    assert!(!verdict.is_proved(), "{verdict:?}");
}
