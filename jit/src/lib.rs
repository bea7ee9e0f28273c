// SPDX-License-Identifier: GPL-2.0-or-later
//! Whole programs: files are loaded, plain instructions rewritten into Kop sites, sites lowered to their proof sequences, and
//! instructions compiled to native code for x86-64 and AArch64. Nothing here runs code.

mod aarch64;
mod analysis;
mod body;
mod error;
mod helpers;
pub mod load;
mod lower;
mod object_file;
mod planted;
pub mod rewrite;
mod site;
#[cfg(test)]
mod site_tests;
mod sum;
mod x86_64;

pub use error::{CompileError, LowerError, SiteError};
pub use load::{LoadError, LoadOptions, load};
pub use lower::{Lowered, lower};
pub use object_file::object_file;
pub use planted::Planted;

use kop_ops::program::{MapAddresses, SiteTarget};
use kop_ops::{Arch, Catalog, Code, Features, Program};

use crate::analysis::Analysis;
use crate::body::Body;

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

/// Compiles a program.
///
/// # Errors
/// [`CompileError`] with the instruction that cannot be compiled: a legacy packet load, a call of a kernel function, a
/// 64-bit immediate that names nothing known, a Kop site whose operation is unknown or refuses its payload, a jump
/// between functions.
pub fn compile(program: &Program, options: &Options) -> Result<Code, CompileError> {
    build::<false>(program, options, None)
}

/// Compiles a program as [`compile`] does, with a mistake.
///
/// # Errors
/// As [`compile`].
pub fn compile_planted(program: &Program, options: &Options, planted: Planted) -> Result<Code, CompileError> {
    build::<true>(program, options, Some(planted))
}

fn build<const PLANTED: bool>(
    program: &Program,
    options: &Options,
    planted: Option<Planted>,
) -> Result<Code, CompileError> {
    let body = Body::new(program, options)?;
    let analysis = Analysis::new(&body)?;
    match options.arch {
        Arch::X86_64 => x86_64::compile::<PLANTED>(&body, &analysis, options, planted),
        Arch::Aarch64 => aarch64::compile::<PLANTED>(&body, &analysis, options, planted),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use kop_ops::Flow;
    use kop_ops::ebpf::parse_program;

    use super::*;

    /// A program from its text.
    pub(crate) fn program(text: &str) -> Program {
        let flow = Flow::new(parse_program(text).expect("the text parses")).expect("it is a program");
        Program { name: "test".to_owned(), kind: kop_ops::ProgramKind::Raw, flow }
    }

    /// Options for x86-64 without features.
    pub(crate) fn options(guarded: bool) -> Options<'static> {
        static CATALOG: LazyLock<Catalog<'static>> = LazyLock::new(Catalog::einsn);
        static ADDRESSES: LazyLock<MapAddresses> = LazyLock::new(MapAddresses::default);
        Options {
            arch: Arch::X86_64,
            features: Features::NONE,
            guarded,
            observe: false,
            catalog: &CATALOG,
            operations: &[],
            emits: true,
            addresses: &ADDRESSES,
        }
    }
}
