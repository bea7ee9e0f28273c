// SPDX-License-Identifier: GPL-2.0-or-later
//! The claims about one form of instruction, each decided once.

use std::collections::{BTreeSet, HashSet};

use kop_jit::CompileError;
use kop_ops::aarch64::Gpr as X;
use kop_ops::ebpf::Insn;
use kop_ops::x86_64::Gpr;
use kop_ops::{Arch, Vectors};
use kop_prover::statement::{
    Counterexample, Decoded, Grants, Key, Options, Prover, Reason, Statement, Verdict, key,
};

use super::place::{Compiler, Cut};

/// The registers that the x86-64 back end owns besides an emit's scratch: r9. That of AArch64 needs no more than an emit may clobber.
const OWNED_X86_64: u32 = 1 << Gpr::R9.code();

/// The register that the AArch64 back end works with where it may be asked for a mistake: x14, which is not what is wrong then.
const PLANTED_AARCH64: u32 = 1 << X::X14.number();

/// An instruction that is not proved.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The instructions: one, or a jump with its target outside.
    pub insns: Vec<Insn>,
    /// The features that they were compiled for.
    pub features: kop_ops::Features,
    /// The native code.
    pub code: Vec<u8>,
    /// Why.
    pub kind: FailureKind,
}

/// Why an instruction is not proved.
#[derive(Clone, Debug)]
pub enum FailureKind {
    /// Its code does something else.
    Refuted(Box<Counterexample>),
    /// No formula can be made of its code.
    Unsupported(Reason),
    /// It was not decided in time.
    Timeout,
    /// It does not compile.
    Compile(CompileError),
}

/// Decides claims, and knows those that it has proved.
pub(super) struct Claims {
    prover: Prover,
    proved: HashSet<Key>,
    /// How many claims were decided.
    pub decided: u64,
    /// How many of them needed more than normalising.
    pub formulas: u64,
    /// The algebraic steps that were taken.
    pub algebra: BTreeSet<&'static str>,
}

impl Claims {
    pub fn new(options: Options) -> Self {
        Claims {
            prover: Prover::new(options),
            proved: HashSet::new(),
            decided: 0,
            formulas: 0,
            algebra: BTreeSet::new(),
        }
    }

    /// Decides that instructions which do not jump are compiled to what they say.
    pub fn decide_straight(&mut self, compiler: Compiler, insns: &[Insn]) -> Result<(), Box<Failure>> {
        let cuts = compiler.straight(insns).map_err(|error| not_compiled(compiler, insns, error))?;
        cuts.iter().try_for_each(|cut| self.decide(compiler, insns, cut))
    }

    /// Decides that instructions of which something jumps to the one at `second` are compiled to what those before it and those from
    /// there on say.
    pub fn decide_apart(
        &mut self,
        compiler: Compiler,
        insns: &[Insn],
        second: usize,
    ) -> Result<(), Box<Failure>> {
        let cuts = compiler.apart(insns, second).map_err(|error| not_compiled(compiler, insns, error))?;
        let (before, behind) = insns.split_at(second);
        [before, behind].into_iter().zip(&cuts).try_for_each(|(insns, cut)| self.decide(compiler, insns, cut))
    }

    /// Decides that a jump over an unconditional one, which goes over `between`, on and back, takes that one when it is to.
    pub fn decide_jump_over(
        &mut self,
        compiler: Compiler,
        jump: Insn,
        between: &[Insn],
    ) -> Result<(), Box<Failure>> {
        // The offset leads out of the sequence, which is all that the claim says of it.
        let insns = [jump, Insn::Ja { off: 1 }];
        let cuts =
            compiler.jumps_over(jump, between).map_err(|error| not_compiled(compiler, &insns, error))?;
        cuts.iter().try_for_each(|cut| self.decide(compiler, &insns, cut))
    }

    /// Decides that a jump over each of these distances, on and back, is taken when it is to be.
    pub fn decide_jump(
        &mut self,
        compiler: Compiler,
        jump: Insn,
        distances: &[Vec<Insn>],
    ) -> Result<(), Box<Failure>> {
        distances.iter().try_for_each(|between| self.decide_jumps(compiler, &[jump], between))
    }

    /// Decides the same of many jumps over one distance.
    pub fn decide_jumps(
        &mut self,
        compiler: Compiler,
        jumps: &[Insn],
        between: &[Insn],
    ) -> Result<(), Box<Failure>> {
        let on = compiler.jumps_on(jumps, between);
        let back = compiler.jumps_back(jumps, between);
        for cuts in [on, back] {
            let cuts = cuts.map_err(|error| not_compiled(compiler, jumps, error))?;
            for (jump, cut) in jumps.iter().zip(cuts) {
                // The offset leads out of the sequence, which is all that the claim says of it.
                let leaves = jump.with_branch_offset(1).expect("it is a jump");
                self.decide(compiler, &[leaves], &cut)?;
            }
        }
        Ok(())
    }

    fn decide(&mut self, compiler: Compiler, insns: &[Insn], cut: &Cut) -> Result<(), Box<Failure>> {
        let arch = compiler.arch;
        let registers = match arch {
            Arch::X86_64 => OWNED_X86_64,
            Arch::Aarch64 if compiler.planted.is_some() => PLANTED_AARCH64,
            Arch::Aarch64 => 0,
        };
        let statement = Statement {
            proof: insns,
            code: &cut.code,
            arch,
            dead: cut.dead,
            vectors: Vectors::default(),
            grants: Grants { registers, exit: cut.exit },
        };
        let failed = |kind| {
            let (insns, code) = (insns.to_vec(), cut.code.clone());
            Box::new(Failure { insns, features: compiler.features, code, kind })
        };
        let decoded = Decoded::new(arch, &cut.code)
            .map_err(|unsupported| failed(FailureKind::Unsupported(unsupported.into())))?;
        if !self.proved.insert(key(&statement, &decoded)) {
            return Ok(());
        }
        self.decided += 1;
        match self.prover.prove_decoded(&statement, &decoded) {
            Verdict::Proved(evidence) => {
                self.formulas += evidence.formulas() as u64;
                self.algebra.extend(evidence.algebra);
                Ok(())
            }
            Verdict::Refuted(found) => Err(failed(FailureKind::Refuted(found))),
            Verdict::Unsupported(reason) => Err(failed(FailureKind::Unsupported(reason))),
            Verdict::Timeout => Err(failed(FailureKind::Timeout)),
        }
    }
}

fn not_compiled(compiler: Compiler, insns: &[Insn], error: CompileError) -> Box<Failure> {
    let kind = FailureKind::Compile(error);
    Box::new(Failure { insns: insns.to_vec(), features: compiler.features, code: Vec::new(), kind })
}
