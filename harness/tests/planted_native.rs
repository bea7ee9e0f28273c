// SPDX-License-Identifier: GPL-2.0-or-later
//! Tests of the tester: every mistake planted in the native tier is found within a bounded number of programs, and what is left
//! of the program that shows it is short.

use std::fmt::Write;

use kop_harness::generate::{ProgramPlan, idioms};
use kop_harness::program::{Blame, Instructions, ProgramCase, ProgramFinding, ProgramRig, minimise};
use kop_harness::reports::Kind;
use kop_harness::tier::{NativePlanted as Planted, Tier};
use kop_ops::choices::Seeded;
use kop_ops::{Arch, Catalog, ProgramKind};

/// How many programs are run at most until a mistake is found.
const PROGRAMS: u64 = 8000;

/// How long what is left of a program may be: a handful, or as long as the code is in which the tier makes the mistake.
fn longest(planted: Planted) -> usize {
    match planted {
        Planted::CountZeros => 48,
        Planted::TrailingZeros => 32,
        Planted::TableEntry => 24,
        Planted::CheckOfOtherDistance | Planted::CheckThatWraps => 20,
        _ => 14,
    }
}

/// The programs of both fuzz targets, and idioms.
fn case(catalog: &Catalog, number: u64) -> ProgramCase {
    let mut choices = Seeded::derived(0x6e61_7470, &[number]);
    match number % 4 {
        _ if number.is_multiple_of(8) => Instructions::random(&mut choices),
        0 | 1 => idioms(&mut choices),
        last => {
            let (wild, long) = (last == 3, number % 32 == 2);
            ProgramPlan { wild, long, ..ProgramPlan::new(catalog, &ProgramKind::ALL) }.generate(&mut choices)
        }
    }
}

/// Runs programs until one differs because of the mistake: how many it took, the program, and the difference.
fn hunt(
    rig: &mut ProgramRig,
    catalog: &Catalog,
    planted: Planted,
) -> Option<(u64, ProgramCase, ProgramFinding)> {
    (0..PROGRAMS).find_map(|number| {
        let case = case(catalog, number);
        rig.plant_native(Some(planted));
        let findings = rig.judge(&case, catalog).ok()?.findings;
        // Another program's stack that is not its own may be no memory at all.
        let is_value = |found: &ProgramFinding| match found.difference.kind {
            Kind::Register | Kind::Memory => true,
            Kind::Fault => planted == Planted::TailCallFrame,
            _ => false,
        };
        let finding = findings.into_iter().find(is_value)?;
        rig.plant_native(None);
        let sound = rig.judge(&case, catalog).expect("a case").findings;
        assert!(sound.is_empty(), "without a mistake: {}\n{case}", sound[0]);
        rig.plant_native(Some(planted));
        Some((number + 1, case, finding))
    })
}

fn length(case: &ProgramCase) -> usize {
    case.object.programs.iter().map(|program| program.flow.insns().len()).sum()
}

/// What is wrong with how a mistake is found, if anything, and a line about it.
fn look(
    rig: &mut ProgramRig,
    catalog: &Catalog,
    (tier, arch): (Tier, Arch),
    planted: Planted,
) -> (String, Option<String>) {
    let start = std::time::Instant::now();
    let name = format!("{tier} {arch} {}", planted.name());
    let Some((programs, case, finding)) = hunt(rig, catalog, planted) else {
        return (format!("{name}: not found"), Some(format!("{name}: not found in {PROGRAMS} programs")));
    };
    if tier == Tier::Llvm {
        // clang would be run for each step.
        let line = format!("{name}: {programs} programs, {} ms", start.elapsed().as_millis());
        let sound = finding.blame == Blame::Native(tier, arch);
        return (line.clone(), (!sound).then(|| format!("{line}: {finding}\n{case}")));
    }
    let (small, found) = minimise(rig, catalog, &case, &finding);
    let line = format!(
        "{name}: {programs} programs, {} instructions of {}, {} ms",
        length(&small),
        length(&case),
        start.elapsed().as_millis()
    );
    let sound = found.blame == Blame::Native(tier, arch) && length(&small) <= longest(planted);
    let wrong = (!sound).then(|| format!("{line}: {found}\n{small}"));
    (line, wrong)
}

/// Whether a mistake is looked for in what a back end makes for an architecture: LLVM's own there, all others with Cranelift.
fn is_of(planted: Planted, tier: Tier, arch: Arch) -> bool {
    planted.is_of_llvm() == (tier == Tier::Llvm)
        && (planted != Planted::ConditionOrder || arch == Arch::X86_64)
}

fn every_mistake(tier: Tier, arch: Arch, engine: &str) {
    let catalog = Catalog::einsn();
    let mut rig = ProgramRig::with(|name| name == engine);
    assert_eq!(rig.names(), [engine], "{:?}", rig.absent());
    rig.compile_whole(&[tier]);
    let mut missed = String::new();
    let looked_for = Planted::ALL.iter().filter(|planted| is_of(**planted, tier, arch));
    for &planted in looked_for {
        let (line, wrong) = look(&mut rig, &catalog, (tier, arch), planted);
        println!("{line}");
        if let Some(wrong) = wrong {
            let _ = writeln!(missed, "{wrong}");
        }
    }
    assert!(missed.is_empty(), "\n{missed}");
}

#[test]
fn every_mistake_in_code_for_x86_64_is_found() {
    every_mistake(Tier::Native, Arch::X86_64, "unicorn-x86_64");
}

#[test]
fn every_mistake_in_code_for_aarch64_is_found() {
    every_mistake(Tier::Native, Arch::Aarch64, "unicorn-aarch64");
}

#[cfg(feature = "llvm")]
#[test]
fn every_mistake_in_ir_for_llvm_is_found_in_code_for_x86_64() {
    every_mistake(Tier::Llvm, Arch::X86_64, "unicorn-x86_64");
}

#[cfg(feature = "llvm")]
#[test]
fn every_mistake_in_ir_for_llvm_is_found_in_code_for_aarch64() {
    every_mistake(Tier::Llvm, Arch::Aarch64, "unicorn-aarch64");
}
