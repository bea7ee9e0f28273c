// SPDX-License-Identifier: GPL-2.0-or-later
//! The native tier against the interpreter: random programs on every engine for native code that is here.

use std::collections::BTreeMap;

use kop_harness::generate::{ProgramPlan, idioms};
use kop_harness::program::{Blame, Instructions, ProgramCase, ProgramRig, minimise};
use kop_harness::tier::Tier;
use kop_ops::choices::Seeded;
use kop_ops::{Catalog, ProgramKind};

/// How many programs, unless the environment says another number.
const PROGRAMS: u64 = 300;

/// Single instructions, idioms, and sound and broken programs, some of them long.
fn case(catalog: &Catalog, number: u64) -> ProgramCase {
    let mut choices = Seeded::derived(0x6e61_7469, &[number]);
    match number % 4 {
        0 => Instructions::random(&mut choices),
        1 => idioms(&mut choices),
        last => {
            let (wild, long) = (last == 3, number % 32 == 2);
            ProgramPlan { wild, long, ..ProgramPlan::new(catalog, &ProgramKind::ALL) }.generate(&mut choices)
        }
    }
}

#[test]
fn random_programs_do_what_spec_says() {
    let mut rig = ProgramRig::available();
    rig.compile_whole(&[Tier::Native]);
    run(&mut rig, PROGRAMS);
}

/// clang is run for each program and architecture: fewer of them.
#[cfg(feature = "llvm")]
#[test]
fn random_programs_do_what_spec_says_with_llvm() {
    let mut rig = ProgramRig::available();
    rig.compile_whole(&[Tier::Llvm]);
    run(&mut rig, PROGRAMS / 2);
}

fn run(rig: &mut ProgramRig, programs: u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let from = number("KOP_FROM").unwrap_or(0);
    let count = number("KOP_PROGRAMS").unwrap_or(programs);
    let catalog = Catalog::einsn();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut compared = 0;
    for number in from..from + count {
        let case = case(&catalog, number);
        let Ok(judged) = rig.judge(&case, &catalog) else { continue };
        compared += usize::from(judged.end == "returns");
        for (engine, reason) in judged.passed_over {
            *reasons.entry(format!("{engine}: {reason}")).or_default() += 1;
        }
        let found = judged.findings.iter().find(|found| matches!(found.blame, Blame::Native(..)));
        if let Some(found) = found {
            let (small, found) = minimise(rig, &catalog, &case, found);
            panic!("program {number}: {found}\n{small}");
        }
        assert!(judged.findings.is_empty(), "program {number}: {}\n{case}", judged.findings[0]);
    }
    for (reason, count) in &reasons {
        println!("{count:>6} {reason}");
    }
    println!("{compared} of {count} programs return, and were compared");
    assert!(compared as u64 * 2 > count, "{compared} of {count} programs");
}
