// SPDX-License-Identifier: GPL-2.0-or-later
//! The claim about native code in one case of how memory overlaps.

use kop_ops::aarch64::{Gpr as X, V};
use kop_ops::ebpf::Reg;
use kop_ops::x86_64::{Gpr, Xmm};
use kop_ops::{Arch, registers};
use kop_semantics::x86_64::Flag;

use super::obligation::{Claim, Obligation, What, holds, no_breaches, no_other_accesses, same_memory};
use super::{Decoded, Statement};
use crate::machine::{
    Aarch64State, EbpfState, Ran, Refusal, X86_64State, is_private, run_aarch64, run_ebpf, run_x86_64,
    stack_pointer,
};
use crate::memory::{Place, Roots};
use crate::term::{Term, Terms};

/// The flags that native code may change (Intel SDM vol. 1, section 3.4.3.1: the status flags).
const STATUS_FLAGS: [Flag; 6] =
    [Flag::Carry, Flag::Parity, Flag::Adjust, Flag::Zero, Flag::Sign, Flag::Overflow];

/// Runs both sides where the eBPF registers hold `initial`, and says what has to hold.
pub(super) fn claim(
    terms: &mut Terms,
    roots: &Roots,
    initial: &[Term; 11],
    statement: &Statement,
    code: &Decoded,
) -> Result<Claim, Refusal> {
    let proof = run_ebpf(terms, roots, statement.proof, EbpfState { registers: *initial })?;
    let length = statement.code.len();
    match code {
        Decoded::X86_64(code) => {
            let start = X86_64State::at_start(terms, initial);
            let native = run_x86_64(terms, roots, code, length, start.clone())?;
            let kept = kept_x86_64(&start, &native.state, statement.vectors.x86_64);
            Ok(joined(terms, statement, proof, native, |state, reg| state.gpr(registers::x86_64(reg)), kept))
        }
        Decoded::Aarch64(code) => {
            let start = Aarch64State::at_start(terms, initial);
            let native = run_aarch64(terms, roots, code, length, start.clone())?;
            let kept = kept_aarch64(&start, &native.state, statement.vectors.aarch64);
            Ok(joined(terms, statement, proof, native, |state, reg| state.gpr(registers::aarch64(reg)), kept))
        }
    }
}

fn joined<S>(
    terms: &mut Terms,
    statement: &Statement,
    proof: Ran<EbpfState>,
    native: Ran<S>,
    held: impl Fn(&S, Reg) -> Term,
    kept: Vec<Obligation>,
) -> Claim {
    let mut obligations = no_breaches(terms, native.breaches);
    obligations.push(holds(terms, What::End, native.ended));
    for register in Reg::ALL.into_iter().filter(|register| !statement.dead.has(*register)) {
        obligations.push(Obligation {
            what: What::Register(register),
            proof: proof.state.registers[register.index()],
            native: held(&native.state, register),
        });
    }
    obligations.extend(kept);
    let stack = stack_pointer(terms, statement.arch);
    let private = |place: Place| is_private(place, stack);
    let memories = [&proof.memory, &native.memory];
    obligations.extend(same_memory(terms, memories, private));
    obligations.extend(no_other_accesses(terms, memories, private));
    let memories = [proof.memory, native.memory];
    Claim { hypotheses: proof.defined, obligations, memories, stack: Some(stack) }
}

fn as_before(name: String, before: Term, after: Term) -> Obligation {
    Obligation { what: What::Kept(name), proof: before, native: after }
}

fn kept_x86_64(start: &X86_64State, end: &X86_64State, vectors: u16) -> Vec<Obligation> {
    let mut kept: Vec<Obligation> = registers::X86_64_PRESERVED
        .into_iter()
        .map(|register| {
            as_before(format!("{register:?}").to_lowercase(), start.gpr(register), end.gpr(register))
        })
        .collect();
    let flags = Flag::ALL.into_iter().filter(|flag| !STATUS_FLAGS.contains(flag));
    kept.extend(flags.map(|flag| as_before(format!("the {flag:?} flag"), start.flag(flag), end.flag(flag))));
    for register in Xmm::ALL.into_iter().filter(|register| vectors >> register.code() & 1 == 0) {
        let number = usize::from(register.code());
        for half in 0..2 {
            let (before, after) = (start.vectors[number][half], end.vectors[number][half]);
            kept.push(as_before(format!("xmm{number}"), before, after));
        }
    }
    kept
}

fn kept_aarch64(start: &Aarch64State, end: &Aarch64State, vectors: u32) -> Vec<Obligation> {
    let mut kept: Vec<Obligation> = registers::AARCH64_PRESERVED
        .into_iter()
        .chain([X::Sp])
        .map(|register| {
            as_before(format!("{register:?}").to_lowercase(), start.gpr(register), end.gpr(register))
        })
        .collect();
    for register in V::ALL.into_iter().filter(|register| vectors >> register.number() & 1 == 0) {
        let number = register.number() as usize;
        for half in 0..2 {
            let (before, after) = (start.vectors[number][half], end.vectors[number][half]);
            kept.push(as_before(format!("v{number}"), before, after));
        }
    }
    kept
}

/// The registers that are checked: every one that is neither an eBPF register nor scratch.
const _: () = {
    assert!(
        registers::X86_64.len() + registers::X86_64_SCRATCH.len() + registers::X86_64_PRESERVED.len()
            == Gpr::ALL.len()
    );
    assert!(
        registers::AARCH64.len() + registers::AARCH64_SCRATCH.len() + registers::AARCH64_PRESERVED.len()
            == X::ALL.len()
    );
    assert!(Arch::ALL.len() == 2);
};
