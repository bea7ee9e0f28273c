// SPDX-License-Identifier: GPL-2.0-or-later
//! Whole programs by an optimising compiler: a program becomes one native function, for x86-64 or AArch64.
//!
//! Local calls are replaced by what they call ([`flat`]), a fixpoint finds what numbers and addresses can be ([`flow`]), the
//! parts of the stack that nothing else touches become values ([`slots`]), and Cranelift makes machine code of what is left
//! ([`translate`], [`emit`]), or LLVM does ([`llvm`]).
//!
//! It is for programs that a verifier has accepted: accesses are not checked, and there is no fuel. What a program leaves in its
//! own stack is not there when it ends, and no register but r0 is.

mod blocks;
mod checks;
mod conditions;
mod demand;
mod emit;
mod error;
mod flat;
mod flow;
mod idioms;
mod invariants;
mod known;
#[cfg(feature = "llvm")]
mod llvm;
mod loops;
mod pairs;
mod planted;
mod prune;
mod slots;
mod state;
mod thunk;
mod translate;
mod twins;
mod weights;

pub use error::CompileError;
pub use planted::Planted;
pub use weights::{Weight, weights};

use cranelift_codegen::isa::TargetIsa;
use kop_ops::program::MapAddresses;
use kop_ops::{Arch, Code, Features, MapSpec, Program};

/// Who makes machine code of what the tier's own passes leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BackEnd {
    /// Cranelift, which is a part of this.
    #[default]
    Cranelift,
    /// LLVM, by clang: a process of its own. It optimises more, and takes thirty times as long.
    #[cfg(feature = "llvm")]
    Llvm,
}

/// The version of clang that [`BackEnd::Llvm`] runs.
///
/// # Errors
/// Why it cannot be run, in one line.
#[cfg(feature = "llvm")]
pub fn clang_version() -> Result<u32, String> {
    llvm::version()
}

/// How a program is compiled.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// Who makes machine code.
    pub back_end: BackEnd,
    /// The architecture.
    pub arch: Arch,
    /// The features that the CPU has.
    pub features: Features,
    /// The maps that the program names.
    pub maps: &'a [MapSpec],
    /// Where they are.
    pub addresses: &'a MapAddresses,
}

/// Compiles a program whose Kop sites are lowered to their proof sequences.
///
/// The code is that of a verified program: it neither checks accesses nor counts instructions, and it does not observe.
///
/// # Errors
/// [`CompileError`] with the instruction that cannot be compiled: a Kop site, a legacy packet load, a call by register or of a
/// kernel function, recursion, a jump between functions, a program that is too long once its local calls are replaced.
pub fn compile(program: &Program, options: &Options) -> Result<Code, CompileError> {
    build(program, options, None)
}

/// Compiles a program as [`compile`] does, with a mistake.
///
/// # Errors
/// As [`compile`].
pub fn compile_planted(program: &Program, options: &Options, planted: Planted) -> Result<Code, CompileError> {
    build(program, options, Some(planted))
}

fn build(program: &Program, options: &Options, planted: Option<Planted>) -> Result<Code, CompileError> {
    let isa = emit::isa(options, true)?;
    let translated = optimised(program, options, &*isa, planted)?;
    match options.back_end {
        BackEnd::Cranelift => emit::emit(translated, &*isa, options, planted),
        #[cfg(feature = "llvm")]
        BackEnd::Llvm => llvm::emit(translated, options, planted),
    }
}

/// The function of a program, with all that is done before the back end takes it.
fn optimised(
    program: &Program,
    options: &Options,
    isa: &dyn TargetIsa,
    planted: Option<Planted>,
) -> Result<translate::Translated, CompileError> {
    let flat = flat::Flat::new(program)?;
    let blocks = blocks::Blocks::new(&flat);
    let facts = flow::facts(&flat, &blocks, options.maps, options.addresses);
    let slots = slots::Slots::new(&facts);
    let demand = demand::Demand::new(&flat, &blocks, &facts, &slots);
    let known =
        translate::Known { flat: &flat, blocks: &blocks, facts: &facts, slots: &slots, demand: &demand };
    let mut translated = translate::translate(known, options, isa.frontend_config(), planted)?;
    twins::join_twins(&mut translated.function, planted);
    checks::fold(&mut translated.function, planted);
    idioms::apply(&mut translated.function, options, planted);
    prune::prune(&mut translated.function);
    Ok(translated)
}

#[cfg(test)]
mod tests;
