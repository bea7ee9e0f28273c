// SPDX-License-Identifier: GPL-2.0-or-later
//! What is proved: an emit refines its proof sequence. In every state that the sequence is defined on, native code ends at its end with
//! the same eBPF registers, less those that are dead, and the same memory; keeps every other register that it may not clobber, the
//! stack pointer and the direction flag; depends on nothing else; and accesses no byte that the sequence does not.
//!
//! Where the sequence faults is not looked at: the verifier lets no such state through. Since native code accesses a subset of
//! the bytes, it faults in no other.

mod cases;
mod counterexample;
mod decide;
mod native;
mod obligation;
mod rewrite;
mod roles;
mod same;
#[cfg(test)]
mod tests;

use std::time::Duration;

use kop_ops::ebpf::{self, RegSet};
use kop_ops::{Arch, Vectors};
use kop_semantics::native::Unsupported;
use kop_semantics::{aarch64, x86_64};

pub use counterexample::Counterexample;
pub use obligation::What;
pub use roles::{Key, key};

use crate::machine::{self, Refusal};
use crate::sat::{Flaw, Refutation};
use crate::term::Terms;

/// The claim that native code does what a proof sequence says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The proof sequence.
    pub proof: &'a [ebpf::Insn],
    /// The native code.
    pub code: &'a [u8],
    /// What it is code for.
    pub arch: Arch,
    /// The eBPF registers whose values after the site do not matter.
    pub dead: RegSet,
    /// The SIMD registers that may be overwritten.
    pub vectors: Vectors,
    /// What the code may do beyond what an emit may.
    pub grants: Grants,
}

/// What a JIT's own code may do that an emit may not: it owns further registers, and it jumps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Registers that it may clobber: a bit for each, by its number on the code's architecture. None of them holds an eBPF register.
    pub registers: u32,
    /// Where it may go besides its end: an offset outside of it, in bytes from its first byte. Where a jump of the proof sequence leaves
    /// the sequence, native code has to go there, and nowhere else.
    pub exit: Option<i64>,
}

/// What is known about a claim.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It holds.
    Proved(Box<Evidence>),
    /// It does not.
    Refuted(Box<Counterexample>),
    /// No formula can be made of it, or an answer cannot be relied on.
    Unsupported(Reason),
    /// It was not decided in time.
    Timeout,
}

impl Verdict {
    /// Whether the claim is proved.
    pub const fn is_proved(&self) -> bool {
        matches!(self, Verdict::Proved(_))
    }

    /// `proved`, `refuted`, `unsupported` or `timeout`.
    pub const fn name(&self) -> &'static str {
        match self {
            Verdict::Proved(_) => "proved",
            Verdict::Refuted(_) => "refuted",
            Verdict::Unsupported(_) => "unsupported",
            Verdict::Timeout => "timeout",
        }
    }
}

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// An instruction that the semantics do not cover.
    #[error(transparent)]
    Instruction(#[from] Unsupported),
    /// Code that no formula can be made of.
    #[error(transparent)]
    Code(#[from] Refusal),
    /// The solver's proof does not hold.
    #[error("the solver's proof is wrong: {0}")]
    Proof(#[from] Flaw),
    /// The solver's model does not make the claim false.
    #[error("the solver's counterexample is none")]
    Model,
}

/// What a proof consists of.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The ways for memory to overlap that were looked at; one where there is nothing to overlap.
    pub cases: usize,
    /// Cases that were decided by normalising terms.
    pub by_terms: usize,
    /// Cases that were decided by structural hashing of circuits.
    pub by_circuits: usize,
    /// Cases that the solver decided, with a proof that was checked.
    pub by_solver: usize,
    /// Cases that algebra decided alone.
    pub by_algebra: usize,
    /// The algebraic steps that were taken, by name: they are outside of what the solver's proofs show.
    pub algebra: Vec<&'static str>,
    /// The solver's formulas and proofs, if they are to be kept.
    pub refutations: Vec<Refutation>,
}

impl Evidence {
    /// How many formulas were decided beyond normalising.
    pub const fn formulas(&self) -> usize {
        self.by_circuits + self.by_solver + self.by_algebra
    }
}

/// How to prove.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The time that one claim may take.
    pub limit: Duration,
    /// Whether formulas and proofs are kept for certificates.
    pub keep: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { limit: Duration::from_secs(60), keep: false }
    }
}

/// Terms are thrown away when there are so many, between two claims.
const MOST_TERMS: usize = 1 << 20;

/// Decides claims, one after another. Terms of one claim serve the next.
#[derive(Clone, Debug, Default)]
pub struct Prover {
    /// How to prove.
    pub options: Options,
    terms: Terms,
    starts: native::Starts,
}

/// Native code that has been decoded.
#[derive(Clone, Debug)]
pub enum Decoded {
    /// x86-64 code.
    X86_64(Vec<x86_64::Decoded>),
    /// AArch64 code.
    Aarch64(Vec<aarch64::Decoded>),
}

impl Decoded {
    /// Decodes `code`.
    ///
    /// # Errors
    /// [`Unsupported`] names the first instruction that has no semantics.
    pub fn new(arch: Arch, code: &[u8]) -> Result<Self, Unsupported> {
        Ok(match arch {
            Arch::X86_64 => Decoded::X86_64(x86_64::decode(code)?),
            Arch::Aarch64 => Decoded::Aarch64(aarch64::decode(code)?),
        })
    }
}

impl Prover {
    /// A prover with these options.
    pub fn new(options: Options) -> Self {
        Prover { options, ..Prover::default() }
    }

    /// Decides a claim.
    pub fn prove(&mut self, statement: &Statement) -> Verdict {
        match Decoded::new(statement.arch, statement.code) {
            Ok(code) => self.prove_decoded(statement, &code),
            Err(unsupported) => Verdict::Unsupported(unsupported.into()),
        }
    }

    /// Decides a claim whose code has been decoded, as [`Decoded::new`] does.
    pub fn prove_decoded(&mut self, statement: &Statement, code: &Decoded) -> Verdict {
        self.forget();
        let retries = match code {
            Decoded::X86_64(_) => Vec::new(),
            Decoded::Aarch64(code) => match machine::retries(&mut self.terms, code) {
                Ok(retries) => retries,
                Err(refusal) => return Verdict::Unsupported(refusal.into()),
            },
        };
        let verdict = self.decide(statement, code, &retries);
        let Some(retry) = retries.first().filter(|_| !verdict.is_proved()) else { return verdict };
        // A loop that is tried again begins in fewer states than were looked at: only what is wrong at once is known to be wrong.
        match (verdict, self.decide(statement, code, &[])) {
            (Verdict::Refuted(_) | Verdict::Unsupported(_), Verdict::Proved(_)) => {
                Verdict::Unsupported(Refusal::Retry(retry.store).into())
            }
            (verdict, Verdict::Proved(_)) => verdict,
            (_, verdict) => verdict,
        }
    }

    fn decide(&mut self, statement: &Statement, code: &Decoded, retries: &[machine::Retry]) -> Verdict {
        cases::decide(&mut self.terms, self.options, &|terms, roots, initial| {
            native::claim(&self.starts, terms, roots, initial, statement, (code, retries))
        })
    }

    /// Decides whether `fragment` can be replaced by `replacement` where the registers of `live` alone matter afterwards: these and all
    /// of memory are the same, and the replacement accesses no byte that the fragment does not. Both are straight-line code or
    /// jump forward inside.
    pub fn equal(&mut self, fragment: &[ebpf::Insn], replacement: &[ebpf::Insn], live: RegSet) -> Verdict {
        self.forget();
        cases::decide(&mut self.terms, self.options, &|terms, roots, initial| {
            rewrite::claim(terms, roots, initial, (fragment, replacement), live)
        })
    }

    fn forget(&mut self) {
        if self.terms.len() > MOST_TERMS {
            (self.terms, self.starts) = Default::default();
        }
    }
}
