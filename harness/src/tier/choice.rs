// SPDX-License-Identifier: GPL-2.0-or-later
//! `--tier auto`: which compiler a program gets: the one whose code is the quickest on given packets, where there are some and code can be timed here.
//!
//! Otherwise nothing is run. Each instruction of native code counts as often as the loops around the eBPF instruction that it belongs to let
//! expect ([`kop_native::weights`]), and the compiler with less to run is taken; the JIT where that is about the same, then Cranelift, as less of what
//! they make is trusted. What a branch costs that the CPU does not foresee is not counted: the tier has fewer of them, so that the
//! choice errs on the side of the JIT there.

#[cfg(feature = "native")]
use kop_emulators::inspect::listing;
#[cfg(feature = "native")]
use kop_ops::code::Mark;
use kop_ops::{Code, Program};

use super::Tier;
use crate::bench::Trial;

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
    fn refused(reason: &str) -> Self {
        Self { tier: Tier::Jit, reason: reason.to_owned() }
    }

    /// The choice for programs between what the JIT made of them and what `whole` makes of them with each back end, and the chosen code. With
    /// a trial, which is of all programs of an object, it is measured if it can be.
    pub fn of(
        programs: &[Program],
        jit: Vec<Code>,
        whole: impl Fn(Tier) -> Result<Vec<Code>, String>,
        trial: Option<&Trial>,
    ) -> (Self, Vec<Code>) {
        let mut made = vec![(Tier::Jit, jit)];
        let mut refused = None;
        for tier in [Tier::Native, Tier::Llvm] {
            match whole(tier) {
                Ok(codes) => made.push((tier, codes)),
                Err(reason) => refused = refused.or(Some(reason)),
            }
        }
        let all: Vec<_> = made.iter().map(|(tier, codes)| (*tier, programs, &**codes)).collect();
        let choice = match (refused, trial) {
            (Some(reason), _) if all.len() == 1 => Self::refused(&reason),
            (_, Some(trial)) => Self::tried(trial, &made).unwrap_or_else(|reason| {
                let counted = Self::among(&all);
                Self { reason: format!("{} (it is not measured: {reason})", counted.reason), ..counted }
            }),
            (_, None) => Self::among(&all),
        };
        let chosen = made.into_iter().find(|(tier, _)| *tier == choice.tier);
        let (_, codes) = chosen.expect("it is one of them");
        (choice, codes)
    }

    /// The choice by what code takes.
    fn tried(trial: &Trial, made: &[(Tier, Vec<Code>)]) -> Result<Self, String> {
        let all: Vec<(Tier, &[Code])> = made.iter().map(|(tier, codes)| (*tier, &**codes)).collect();
        let tried = trial.among(&all)?;
        let stays = if tried.kernel_stays { "; none is worth leaving the kernel's own for" } else { "" };
        Ok(Self { tier: tried.tier, reason: format!("measured, in nanoseconds: {}{stays}", tried.times) })
    }

    /// The choice for the programs of an object, among what compilers make of them: the JIT first, then the others, each of which is trusted with
    /// more than the one before and has to be worth it. Each has the programs that its marks speak of.
    fn among(made: &[(Tier, &[Program], &[Code])]) -> Self {
        let mut counted = Vec::new();
        for (tier, programs, codes) in made {
            let runs = programs.iter().zip(*codes).map(|(program, code)| runs(program, code, *tier));
            match runs.sum::<Option<f64>>() {
                Some(sum) => counted.push((*tier, sum)),
                None => return Self::refused("how often its instructions run is not known"),
            }
        }
        let mut best = counted.first().copied().unwrap_or((Tier::Jit, 0.0));
        for &(tier, sum) in &counted {
            if sum <= WORTH * best.1 {
                best = (tier, sum);
            }
        }
        let counts: Vec<String> = counted.iter().map(|(tier, sum)| format!("{tier} {sum:.0}")).collect();
        Self { tier: best.0, reason: format!("some instructions to run: {}", counts.join(", ")) }
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
        let places = if tier.is_whole() { f64::from(weight.places.max(1)) } else { 1.0 };
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
        let target = (arch, features);
        let whole = crate::tier::Whole { tier: Tier::Native, target, addresses: &addresses, planted: None };
        let native = whole.all(&lowered).expect("it is compiled");
        Choice::among(&[(Tier::Jit, &object.programs, &jit), (Tier::Native, &object.programs, &native)])
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
