// SPDX-License-Identifier: GPL-2.0-or-later
//! Tests of the tester: every mistake planted in a back end is found within a bounded number of programs, and what is left
//! of the program that shows it is a handful of instructions.

use std::fmt::Write;

use kop_harness::generate::ProgramPlan;
use kop_harness::program::{Blame, Instructions, ProgramCase, ProgramFinding, ProgramRig, minimise};
use kop_harness::reports::Kind;
use kop_jit::Planted;
use kop_ops::choices::Seeded;
use kop_ops::{Arch, Catalog, ProgramKind};

/// How many programs are run at most until a mistake is found.
const PROGRAMS: u64 = 4000;

/// After how many programs any difference will do.
const PATIENCE: u64 = 500;

/// A handful.
const HANDFUL: usize = 12;

/// What a mistake in the range of branches takes: there has to be something to jump over.
const SPAN: usize = 40;

/// The programs of both fuzz targets, in turn.
fn case(catalog: &Catalog, number: u64) -> ProgramCase {
    let mut choices = Seeded::derived(0x006a_6974, &[number]);
    let kinds: &[ProgramKind] = if number % 4 == 1 { &[ProgramKind::Raw] } else { &ProgramKind::ALL };
    match number % 4 {
        0 => Instructions::random(&mut choices),
        last => {
            let plan =
                ProgramPlan { wild: last == 3, long: number % 32 == 2, ..ProgramPlan::new(catalog, kinds) };
            plan.generate(&mut choices)
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
        rig.plant(Some(planted));
        let findings = rig.judge(&case, catalog).ok()?.findings;
        // Code that gets lost takes long to minimise: at first, values that differ are waited for.
        let is_value =
            |found: &ProgramFinding| matches!(found.difference.kind, Kind::Register | Kind::Memory);
        // A branch that goes astray is all that a wrong range shows as.
        let patient = planted != Planted::ShortBranchRange && number <= PATIENCE;
        let finding = findings.into_iter().find(|found| !patient || is_value(found))?;
        rig.plant(None);
        let sound = rig.judge(&case, catalog).expect("a case").findings;
        assert!(sound.is_empty(), "without a mistake: {}\n{case}", sound[0]);
        rig.plant(Some(planted));
        Some((number + 1, case, finding))
    })
}

fn length(case: &ProgramCase) -> usize {
    case.object.programs.iter().map(|program| program.flow.insns().len()).sum()
}

/// What is wrong with how a mistake is found, if anything, and a line about it.
fn look(rig: &mut ProgramRig, catalog: &Catalog, arch: Arch, planted: Planted) -> (String, Option<String>) {
    let start = std::time::Instant::now();
    let name = format!("{arch} {}", planted.name());
    let Some((programs, case, finding)) = hunt(rig, catalog, planted) else {
        return (format!("{name}: not found"), Some(format!("{name}: not found in {PROGRAMS} programs")));
    };
    let (small, found) = minimise(rig, catalog, &case, &finding);
    let line = format!(
        "{name}: {programs} programs, {} instructions of {}, {} ms",
        length(&small),
        length(&case),
        start.elapsed().as_millis()
    );
    let (blamed, most) = if planted == Planted::ShortBranchRange {
        // Proof sequences in place of emits change distances, and with them whether it shows.
        (matches!(found.blame, Blame::Jit(blamed) | Blame::Emit(blamed) if blamed == arch), SPAN)
    } else {
        (matches!(found.blame, Blame::Jit(blamed) if blamed == arch), HANDFUL)
    };
    let wrong = (!blamed || length(&small) > most).then(|| format!("{line}: {found}\n{small}"));
    (line, wrong)
}

/// Whether an engine executes what the mistake is about as CPUs do: Unicorn zero-extends eax where a 32-bit cmpxchg of
/// x86-64 succeeds, and CPUs leave it. That one is looked for on this CPU.
fn shows(planted: Planted, engine: &str) -> bool {
    match engine {
        "unicorn-x86_64" => planted != Planted::CmpxchgUpper,
        "host" => planted == Planted::CmpxchgUpper,
        _ => true,
    }
}

fn every_mistake(arch: Arch, engine: &str) {
    let catalog = Catalog::einsn();
    let mut rig = ProgramRig::with(|name| name == engine);
    assert_eq!(rig.names(), [engine], "{:?}", rig.absent());
    let mut missed = String::new();
    for &planted in Planted::ALL {
        if !shows(planted, engine) {
            println!("{arch} {}: not on {engine}", planted.name());
            continue;
        }
        let (line, wrong) = look(&mut rig, &catalog, arch, planted);
        println!("{line}");
        if let Some(wrong) = wrong {
            let _ = writeln!(missed, "{wrong}");
        }
    }
    assert!(missed.is_empty(), "\n{missed}");
}

#[test]
fn every_mistake_in_the_x86_64_back_end_is_found() {
    every_mistake(Arch::X86_64, "unicorn-x86_64");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_mistake_that_unicorn_hides_is_found_on_this_cpu() {
    every_mistake(Arch::X86_64, "host");
}

#[test]
fn every_mistake_in_the_aarch64_back_end_is_found() {
    every_mistake(Arch::Aarch64, "unicorn-aarch64");
}

#[test]
fn there_are_enough_of_them() {
    assert!(Planted::ALL.len() * Arch::ALL.len() >= 40, "{} mistakes", Planted::ALL.len());
}
