// SPDX-License-Identifier: GPL-2.0-or-later
//! The claim about native code in one case of how memory overlaps.

use std::cell::OnceCell;

use kop_ops::aarch64::{Gpr as X, V};
use kop_ops::ebpf::Reg;
use kop_ops::x86_64::{Gpr, Xmm};
use kop_ops::{Arch, registers};
use kop_semantics::Domain;
use kop_semantics::x86_64::Flag;

use super::obligation::{Claim, Obligation, What, holds, no_breaches, no_other_accesses, same_memory};
use super::{Decoded, Statement};
use crate::machine::{
    Aarch64State, EbpfState, Ran, Refusal, Retry, X86_64State, is_private, run_aarch64, run_ebpf, run_x86_64,
    stack_pointer,
};
use crate::memory::{Place, Roots};
use crate::term::{Term, Terms};

/// The flags that native code may change (Intel SDM vol. 1, section 3.4.3.1: the status flags).
const STATUS_FLAGS: [Flag; 6] =
    [Flag::Carry, Flag::Parity, Flag::Adjust, Flag::Zero, Flag::Sign, Flag::Overflow];

/// The states in which emits are entered, made once for one collection of terms.
#[derive(Clone, Debug, Default)]
pub(super) struct Starts {
    x86_64: OnceCell<X86_64State>,
    aarch64: OnceCell<Aarch64State>,
}

impl Starts {
    fn x86_64(&self, terms: &mut Terms, initial: &[Term; 11]) -> X86_64State {
        let mut state = self.x86_64.get_or_init(|| X86_64State::at_start(terms, initial)).clone();
        for (register, value) in registers::X86_64.into_iter().zip(initial) {
            state.set_gpr(register, *value);
        }
        state
    }

    fn aarch64(&self, terms: &mut Terms, initial: &[Term; 11]) -> Aarch64State {
        let mut state = self.aarch64.get_or_init(|| Aarch64State::at_start(terms, initial)).clone();
        for (register, value) in registers::AARCH64.into_iter().zip(initial) {
            state.set_gpr(register, *value);
        }
        state
    }
}

/// Runs both sides where the eBPF registers hold `initial`, and says what has to hold. Loops around store-exclusives that are in `retries`
/// are run as any of their tries, others as the first one.
pub(super) fn claim(
    starts: &Starts,
    terms: &mut Terms,
    roots: &Roots,
    initial: &[Term; 11],
    statement: &Statement,
    (code, retries): (&Decoded, &[Retry]),
) -> Result<Claim, Refusal> {
    let proof = run_ebpf(
        terms,
        roots,
        (statement.proof, statement.grants.exit.is_some()),
        EbpfState { registers: *initial },
    )?;
    let length = (statement.code.len(), statement.grants.exit);
    match code {
        Decoded::X86_64(code) => {
            let start = starts.x86_64(terms, initial);
            let native = run_x86_64(terms, roots, code, length, start.clone())?;
            let kept = kept_x86_64(&start, &native.state, statement);
            Ok(joined(terms, statement, proof, native, |state, reg| state.gpr(registers::x86_64(reg)), kept))
        }
        Decoded::Aarch64(code) => {
            let start = starts.aarch64(terms, initial);
            let native = run_aarch64(terms, roots, (code, retries), length, start.clone())?;
            let kept = kept_aarch64(&start, &native.state, statement);
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
    let out = terms.or(1, native.ended, native.left);
    obligations.push(holds(terms, What::End, out));
    obligations.push(Obligation { what: What::Taken, proof: proof.left, native: native.left });
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

/// That registers and flags are as before; most are without a look at their values.
fn as_before<'a>(pairs: impl IntoIterator<Item = (impl Fn() -> String + 'a, Term, Term)>) -> Vec<Obligation> {
    let changed = pairs.into_iter().filter(|(_, before, after)| before != after);
    changed
        .map(|(name, before, after)| Obligation { what: What::Kept(name()), proof: before, native: after })
        .collect()
}

fn kept_x86_64(start: &X86_64State, end: &X86_64State, statement: &Statement) -> Vec<Obligation> {
    let (vectors, granted) = (statement.vectors.x86_64, statement.grants.registers);
    let preserved =
        registers::X86_64_PRESERVED.into_iter().filter(|register| granted >> register.code() & 1 == 0);
    let mut kept = as_before(preserved.map(|register| {
        (move || format!("{register:?}").to_lowercase(), start.gpr(register), end.gpr(register))
    }));
    let flags = Flag::ALL.into_iter().filter(|flag| !STATUS_FLAGS.contains(flag));
    kept.extend(as_before(
        flags.map(|flag| (move || format!("the {flag:?} flag"), start.flag(flag), end.flag(flag))),
    ));
    let undeclared = (0..Xmm::ALL.len()).filter(|number| vectors >> number & 1 == 0);
    kept.extend(as_before(undeclared.flat_map(|number| {
        let halves = start.vectors[number].into_iter().zip(end.vectors[number]);
        halves.map(move |(before, after)| (move || format!("xmm{number}"), before, after))
    })));
    kept
}

fn kept_aarch64(start: &Aarch64State, end: &Aarch64State, statement: &Statement) -> Vec<Obligation> {
    let (vectors, granted) = (statement.vectors.aarch64, statement.grants.registers);
    let preserved =
        registers::AARCH64_PRESERVED.into_iter().filter(|register| granted >> register.number() & 1 == 0);
    let mut kept = as_before(preserved.chain([X::Sp]).map(|register| {
        (move || format!("{register:?}").to_lowercase(), start.gpr(register), end.gpr(register))
    }));
    let undeclared = (0..V::ALL.len()).filter(|number| vectors >> number & 1 == 0);
    kept.extend(as_before(undeclared.flat_map(|number| {
        let halves = start.vectors[number].into_iter().zip(end.vectors[number]);
        halves.map(move |(before, after)| (move || format!("v{number}"), before, after))
    })));
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
