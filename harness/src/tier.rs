// SPDX-License-Identifier: GPL-2.0-or-later
//! Which of our compilers makes native code of a program: the JIT, instruction by instruction, or the native tier, which is
//! optimising and takes verified programs only.

mod choice;

use std::fmt;

use kop_jit::Lowered;
use kop_ops::ebpf::{CallTarget, Insn, shape};
use kop_ops::program::MapAddresses;
use kop_ops::{Arch, Code, Features, Program};

pub use choice::Choice;

/// A compiler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tier {
    /// `kop_jit`.
    #[default]
    Jit,
    /// `kop_native`, with Cranelift behind it.
    Native,
    /// `kop_native`, with LLVM behind it.
    Llvm,
    /// The one of them that [`Choice`] takes.
    Auto,
}

impl Tier {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Tier::Jit => "jit",
            Tier::Native => "native",
            Tier::Llvm => "llvm",
            Tier::Auto => "auto",
        }
    }

    /// What it is called in a sentence.
    pub const fn title(self) -> &'static str {
        match self {
            Tier::Jit | Tier::Auto => "the JIT",
            Tier::Native => "the native tier",
            Tier::Llvm => "the native tier with LLVM",
        }
    }

    /// Whether it makes one function of a whole program, for verified programs only.
    pub const fn is_whole(self) -> bool {
        matches!(self, Tier::Native | Tier::Llvm)
    }

    /// Whether it can be used.
    ///
    /// # Errors
    /// Why it is not here, in one line.
    pub fn is_here(self) -> Result<(), String> {
        match self {
            Tier::Native if !HAS_NATIVE => {
                Err("this build is without the native tier (cargo feature `native`)".to_owned())
            }
            Tier::Llvm => llvm(),
            _ => Ok(()),
        }
    }
}

#[cfg(feature = "llvm")]
fn llvm() -> Result<(), String> {
    kop_native::clang_version().map(drop)
}

#[cfg(not(feature = "llvm"))]
fn llvm() -> Result<(), String> {
    Err("this build is without LLVM (cargo feature `llvm`)".to_owned())
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A mistake of the native tier.
#[cfg(feature = "native")]
pub use kop_native::Planted as NativePlanted;

/// No mistake can be planted in a tier that is not here.
#[cfg(not(feature = "native"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativePlanted {}

/// Whether the native tier is part of this build.
pub const HAS_NATIVE: bool = cfg!(feature = "native");

/// Why guarded code is not the native tier's.
pub const VERIFIED_ONLY: &str =
    "native tier: verified programs only (its code checks neither accesses nor fuel)";

/// How whole programs are compiled.
#[derive(Clone, Copy, Debug)]
pub struct Whole<'a> {
    /// [`Tier::Native`] or [`Tier::Llvm`].
    pub tier: Tier,
    /// The architecture, and what its CPU has.
    pub target: (Arch, Features),
    /// Where maps are.
    pub addresses: &'a MapAddresses,
    /// A mistake to make.
    pub planted: Option<NativePlanted>,
}

impl Whole<'_> {
    /// What becomes of every program of a lowered object.
    ///
    /// # Errors
    /// In one line, why there is no code.
    pub fn all(&self, lowered: &Lowered) -> Result<Vec<Code>, String> {
        (0..lowered.object.programs.len()).map(|index| self.program(lowered, index)).collect()
    }

    /// As [`Whole::all`], for one program.
    ///
    /// # Errors
    /// As [`Whole::all`].
    #[cfg(feature = "native")]
    pub fn program(&self, lowered: &Lowered, index: usize) -> Result<Code, String> {
        self.tier.is_here()?;
        let back_end = match self.tier {
            #[cfg(feature = "llvm")]
            Tier::Llvm => kop_native::BackEnd::Llvm,
            _ => kop_native::BackEnd::Cranelift,
        };
        let ((arch, features), addresses) = (self.target, self.addresses);
        let options = kop_native::Options { back_end, arch, features, maps: &lowered.object.maps, addresses };
        let program = &lowered.object.programs[index];
        let code = match self.planted {
            None => kop_native::compile(program, &options),
            Some(planted) => kop_native::compile_planted(program, &options, planted),
        };
        let mut code = code.map_err(|error| format!("program `{}`: {error}", program.name))?;
        // Marks name the instructions of the program as it is in the file.
        for mark in code.marks.iter_mut().filter(|mark| mark.index != kop_ops::code::Mark::NONE) {
            mark.index = lowered.origin(index, mark.index as usize) as u32;
        }
        Ok(code)
    }

    /// As [`Whole::all`], for one program.
    ///
    /// # Errors
    /// Always: the tier is not part of this build.
    #[cfg(not(feature = "native"))]
    pub fn program(&self, _lowered: &Lowered, _index: usize) -> Result<Code, String> {
        match self.planted {
            None => Err("this build is without the native tier (cargo feature `native`)".to_owned()),
            Some(mistake) => match mistake {},
        }
    }
}

/// The most slots that a descriptor can declare: `max_insn_cnt` has 16 bits.
const MAX_SLOTS: usize = u16::MAX as usize;

/// Whether the kernel's rules for proof sequences, as they are, would admit a program as the proof sequence of one Kop. Its last
/// exit falls through.
///
/// # Errors
/// How often which rule is broken, in one line.
pub fn stock_rules(program: &Program) -> Result<(), String> {
    let insns = program.flow.insns();
    let body = insns.strip_suffix(&[Insn::Exit]).unwrap_or(insns);
    let Err(first) = shape::check(body, MAX_SLOTS) else { return Ok(()) };
    let count = |wanted: &dyn Fn(&Insn) -> bool| body.iter().filter(|insn| wanted(insn)).count();
    let backward = body.iter().filter(|insn| insn.branch_offset().is_some_and(|offset| offset < 0)).count();
    let counts = [
        (count(&|insn| matches!(insn, Insn::Exit)), "exit"),
        (count(&|insn| matches!(insn, Insn::Call { target: CallTarget::Local(_) })), "local call"),
        (
            count(&|insn| insn.is_call() && !matches!(insn, Insn::Call { target: CallTarget::Local(_) })),
            "outside call",
        ),
        (backward, "jump backwards"),
        (count(&|insn| matches!(insn, Insn::LoadImm64 { kind: 1.., .. })), "map"),
    ];
    let broken = counts.iter().filter(|(count, _)| *count > 0);
    let broken: Vec<String> = broken.map(|(count, what)| format!("{what}: {count}")).collect();
    Err(if broken.is_empty() { first.to_string() } else { broken.join(", ") })
}

#[cfg(test)]
mod tests {
    use kop_ops::ebpf::parse_program;
    use kop_ops::{Flow, ProgramKind};

    use super::*;

    fn rules(text: &str) -> Result<(), String> {
        let flow = Flow::new(parse_program(text).expect("it parses")).expect("it is a program");
        stock_rules(&Program { name: "main".to_owned(), kind: ProgramKind::Raw, flow })
    }

    #[test]
    fn the_stock_rules_admit_straight_code_alone() {
        assert_eq!(rules("r0 = 1\nif r1 == 0 goto +1\nr0 = 2\nexit"), Ok(()));
        let broken = |text| rules(text).expect_err("it is not admitted");
        assert_eq!(broken("r0 = 1\nif r1 == 0 goto +1\nexit\nr0 = 2\nexit"), "exit: 1");
        assert_eq!(
            broken("r0 = 1\nr0 += 1\nif r0 != 9 goto -2\ncall 7\nexit"),
            "outside call: 1, jump backwards: 1"
        );
    }
}
