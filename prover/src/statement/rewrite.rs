// SPDX-License-Identifier: GPL-2.0-or-later
//! The claim that one eBPF fragment can stand for another.

use kop_ops::ebpf::{Insn, RegSet};

use super::obligation::{Claim, Obligation, What, no_other_accesses, same_memory};
use crate::machine::{EbpfState, Refusal, run_ebpf};
use crate::memory::Roots;
use crate::term::{Term, Terms};

/// Runs both where the registers hold `initial`, and says what has to hold.
pub(super) fn claim(
    terms: &mut Terms,
    roots: &Roots,
    initial: &[Term; 11],
    (fragment, replacement): (&[Insn], &[Insn]),
    live: RegSet,
) -> Result<Claim, Refusal> {
    let start = EbpfState { registers: *initial };
    let one = run_ebpf(terms, roots, (fragment, false), start.clone())?;
    let other = run_ebpf(terms, roots, (replacement, false), start)?;
    let mut obligations: Vec<Obligation> = live
        .iter()
        .map(|register| Obligation {
            what: What::Register(register),
            proof: one.state.registers[register.index()],
            native: other.state.registers[register.index()],
        })
        .collect();
    let memories = [&one.memory, &other.memory];
    obligations.extend(same_memory(terms, memories, |_| false));
    obligations.extend(no_other_accesses(terms, memories, |_| false));
    // The replacement's atomic accesses are aligned, too.
    for bit in other.defined {
        obligations.push(super::obligation::holds(
            terms,
            What::Never("an atomic access is not aligned".to_owned()),
            bit,
        ));
    }
    Ok(Claim { hypotheses: one.defined, obligations, memories: [one.memory, other.memory], stack: None })
}
