// SPDX-License-Identifier: GPL-2.0-or-later
//! `--tier auto`: which compiler a program gets, by what both make of it.
//!
//! Nothing is run. Each instruction of native code counts as often as the loops around the eBPF instruction that it belongs to let
//! expect ([`kop_native::weights`]), and the compiler with less to run is taken; the JIT where that is about the same, as less of what
//! it makes is trusted. What a branch costs that the CPU does not foresee is not counted: the tier has fewer of them, so that the
//! choice errs on the side of the JIT there.

#[cfg(feature = "native")]
use kop_emulators::inspect::listing;
#[cfg(feature = "native")]
use kop_ops::code::Mark;
use kop_ops::{Code, Program};

use super::Tier;

/// The part of the JIT's instructions that the tier's may be to be taken.
const WORTH: f64 = 0.95;

/// A compiler, and why it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The compiler.
    pub tier: Tier,
    /// Why, in one line.
    pub reason: String,
}

impl Choice {
    /// The JIT, as the tier makes no code of the programs.
    pub fn refused(reason: &str) -> Self {
        Self { tier: Tier::Jit, reason: reason.to_owned() }
    }

    /// The choice for the programs of an object, between what the JIT and what the native tier make of them. Each side has the programs that
    /// its marks speak of.
    pub fn between(jit: (&[Program], &[Code]), native: (&[Program], &[Code])) -> Self {
        let all = |(programs, codes): (&[Program], &[Code]), tier| -> Option<f64> {
            programs.iter().zip(codes).map(|(program, code)| runs(program, code, tier)).sum()
        };
        let (Some(plain), Some(optimised)) = (all(jit, Tier::Jit), all(native, Tier::Native)) else {
            return Self::refused("how often its instructions run is not known");
        };
        let counts =
            format!("some {optimised:.0} instructions of the native tier to run, {plain:.0} of the JIT");
        let tier = if optimised <= WORTH * plain { Tier::Native } else { Tier::Jit };
        Self { tier, reason: counts }
    }
}

/// How many native instructions a program is expected to run; `None` without the tier, which knows.
#[cfg(feature = "native")]
fn runs(program: &Program, code: &Code, tier: Tier) -> Option<f64> {
    let weights = kop_native::weights(program).ok()?;
    let mut marks = code.marks.iter().peekable();
    let mut index = None;
    let mut sum = 0.0;
    for line in listing(code.arch, &code.bytes) {
        while let Some(mark) = marks.next_if(|mark| mark.offset as usize <= line.offset) {
            // Code between two instructions belongs to the one before.
            index = if mark.index == Mark::NONE { index } else { Some(mark.index as usize) };
        }
        let Some(weight) = index.and_then(|index| weights.get(index)) else { continue };
        // The JIT's code of a function stands once, the tier's wherever it is called.
        let places = if tier == Tier::Native { f64::from(weight.places.max(1)) } else { 1.0 };
        sum += weight.runs / places;
    }
    Some(sum)
}

/// Nothing is known without the tier.
#[cfg(not(feature = "native"))]
fn runs(_program: &Program, _code: &Code, _tier: Tier) -> Option<f64> {
    None
}

#[cfg(all(test, feature = "native"))]
mod tests {
    use kop_ops::ebpf::parse_program;
    use kop_ops::program::MapAddresses;
    use kop_ops::{Arch, Catalog, Features, Flow, Object, ProgramKind};

    use super::*;

    fn choice(text: &str) -> Choice {
        let flow = Flow::new(parse_program(text).expect("it parses")).expect("it is a program");
        let program = Program { name: "main".to_owned(), kind: ProgramKind::Raw, flow };
        let object = Object { programs: vec![program], ..Object::default() };
        let catalog = Catalog::einsn();
        let lowered = kop_jit::lower(&object, &catalog).expect("it has no sites");
        let (arch, features, addresses) = (Arch::X86_64, Features::NONE, MapAddresses::default());
        let options = kop_jit::Options {
            arch,
            features,
            guarded: false,
            observe: false,
            catalog: &catalog,
            operations: &[],
            emits: true,
            addresses: &addresses,
        };
        let jit = [kop_jit::compile(&object.programs[0], &options).expect("it is compiled")];
        let native =
            crate::tier::native(&lowered, (arch, features), &addresses, None).expect("it is compiled");
        Choice::between((&object.programs, &jit), (&object.programs, &native))
    }

    #[test]
    fn a_loop_that_becomes_shorter_is_the_native_tiers() {
        let text = "*(u64 *)(r10 - 8) = r1\nr2 = 0\nr3 = *(u64 *)(r10 - 8)\nr3 += r2\n*(u64 *)(r10 - 8) = r3\nr2 += 1\n\
                    if r2 != 64 goto -5\nr0 = *(u64 *)(r10 - 8)\nexit";
        assert_eq!(choice(text).tier, Tier::Native, "{}", choice(text).reason);
    }

    #[test]
    fn where_nothing_becomes_shorter_it_is_the_jit() {
        let choice = choice("r0 = 1\nexit");
        assert_eq!(choice.tier, Tier::Jit, "{}", choice.reason);
    }
}
