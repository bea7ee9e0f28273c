// SPDX-License-Identifier: GPL-2.0-or-later
//! Proofs: native bytes and proof sequences become formulas, and formulas are decided for all inputs at once.
//!
//! [`statement`] has the claim and its [verdict](statement::Verdict), [`sweep`] all payloads of an operation's form. Below them, from the
//! bottom up: [`term`] (values), [`memory`], [`machine`] (states and control flow), [`aig`] (circuits and clauses), [`sat`] (the
//! solver and the checker of its proofs), [`algebra`] (normal forms), [`certificate`] (proofs for others to check).
//!
//! A claim of one's own:
//!
//! ```
//! use kop_ops::ebpf::{AluOp, Insn, Reg, RegSet};
//! use kop_ops::x86_64::{Assembler, Gpr, Size};
//! use kop_ops::{Arch, Vectors};
//! use kop_prover::statement::{Grants, Prover, Statement, Verdict};
//!
//! // r0 = -r0, by a subtraction from zero in r1.
//! let proof = [Insn::mov64(Reg::R1, 0), Insn::alu64(AluOp::Sub, Reg::R1, Reg::R0), Insn::mov64(Reg::R0, Reg::R1)];
//! let mut asm = Assembler::new();
//! asm.neg(Size::B8, Gpr::Rax);
//! let code = asm.finish()?.bytes;
//! let dead = RegSet::of(&[Reg::R1]);
//! let statement = Statement { proof: &proof, code: &code, arch: Arch::X86_64, dead, vectors: Vectors::default(), grants: Grants::default() };
//! assert!(Prover::default().prove(&statement).is_proved());
//!
//! // With r1 alive, there is a state in which it differs.
//! let statement = Statement { dead: RegSet::EMPTY, ..statement };
//! let Verdict::Refuted(found) = Prover::default().prove(&statement) else { panic!("it is wrong") };
//! assert_eq!(found.what, "r1 differs");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod aig;
pub mod algebra;
pub mod certificate;
pub mod machine;
pub mod memory;
pub mod sat;
pub mod statement;
pub mod sweep;
pub mod term;

/// The version of everything that a proof rests on: another one for each change of the semantics, the prover, or the instructions.
pub const VERSION: &str = env!("KOP_PROVER_VERSION");
