// SPDX-License-Identifier: GPL-2.0-or-later
//! Whole programs: files are loaded, Kop sites lowered to their proof sequences, and instructions compiled to native code
//! for x86-64 and AArch64. Nothing here runs code.

use kop_ops::program::{MapAddresses, SiteTarget};
use kop_ops::{Arch, Catalog, Code, Features, Program};

/// How a program is compiled.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// The architecture.
    pub arch: Arch,
    /// The features that the CPU has.
    pub features: Features,
    /// Whether code checks memory accesses, fuel and the depth of calls: for programs that no verifier has accepted.
    pub guarded: bool,
    /// Whether code stores every register at its exit, for an engine to compare.
    pub observe: bool,
    /// The operations that Kop sites call; without one, or with [`Options::emits`] off, the proof sequence is compiled.
    pub catalog: &'a Catalog<'a>,
    /// What the ids in Kop calls mean.
    pub operations: &'a [SiteTarget],
    /// Whether emits are used.
    pub emits: bool,
    /// Where maps are.
    pub addresses: &'a MapAddresses,
}

/// Why a program has no native code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// An instruction that cannot be compiled.
    #[error("instruction {index}: {reason}")]
    Unsupported {
        /// Index of the instruction.
        index: usize,
        /// Why.
        reason: String,
    },
}

/// Compiles a program.
///
/// # Errors
/// [`CompileError`] with the instruction that cannot be compiled.
pub fn compile(program: &Program, options: &Options) -> Result<Code, CompileError> {
    let _ = (program, options);
    Err(CompileError::Unsupported { index: 0, reason: "nothing is compiled yet".to_owned() })
}
