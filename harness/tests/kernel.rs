// SPDX-License-Identifier: GPL-2.0-or-later
//! Random programs in the running kernel: it gives what `spec` gives.

use std::collections::BTreeMap;

use kop_emulators::kernel::{self, KernelEngine};
use kop_emulators::program::{Job, ProgramEngine};
use kop_harness::generate::ProgramPlan;
use kop_harness::program::ProgramCase;
use kop_ops::choices::Seeded;
use kop_ops::{Catalog, Object, ProgramKind, Slot};
use kop_semantics::{Outcome, Run, spec};

/// What became of a program.
enum Comparison {
    Same,
    /// The kernel does not run it, and why.
    Refused(String),
}

/// Runs a case on both.
///
/// # Panics
/// When they differ, with the case.
fn compare(engine: &mut KernelEngine, case: &ProgramCase, object: &Object) -> Comparison {
    let start = case.start(Slot::default()).expect("it can be set up");
    let run = Run {
        object,
        entry: 0,
        world: &start.world,
        image: &start.image,
        registers: &start.registers,
        fuel: case.fuel,
    };
    let job = Job { run, codes: &[] };
    if let Err(reason) = engine.admits(&job) {
        return Comparison::Refused(reason);
    }
    let (kernel, ours) = (engine.run(&job), spec::run(&run));
    assert_eq!(kernel.end, ours.end, "kernel and spec: r0\n{}", listing(object));
    let (theirs, ours) = (contents(&kernel), contents(&ours));
    assert_eq!(theirs.maps, ours.maps, "kernel and spec: maps\n{}", listing(object));
    assert_eq!(theirs, ours, "kernel and spec\n{}", listing(object));
    Comparison::Same
}

fn contents(outcome: &Outcome) -> kop_semantics::Contents {
    outcome.contents().expect("it ended without a fault")
}

fn listing(object: &Object) -> String {
    let insns = object.programs.iter().flat_map(|program| program.flow.insns());
    insns.map(|insn| format!("{insn}\n")).collect()
}

#[test]
fn random_programs_give_in_the_kernel_what_they_give_on_spec() {
    if let Err(reason) = kernel::available() {
        eprintln!("skipped: {reason}");
        return;
    }
    let catalog = Catalog::einsn();
    let plan = ProgramPlan {
        catalog: &catalog,
        kinds: &[ProgramKind::Xdp, ProgramKind::Tc],
        statements: 60,
        long: false,
        wild: false,
    };
    let count = std::env::var("KOP_PROGRAMS").ok().and_then(|count| count.parse().ok()).unwrap_or(300);
    let mut engine = KernelEngine::new().expect("it was asked for before");
    let (mut same, mut refused) = (0, BTreeMap::new());
    for number in 0..count {
        let case = plan.generate(&mut Seeded::derived(0x6b65_726e, &[number]));
        let object = kop_jit::lower(&case.object, &catalog).expect("sites are sound").object;
        match compare(&mut engine, &case, &object) {
            Comparison::Same => same += 1,
            Comparison::Refused(reason) => {
                let last = reason.lines().last().unwrap_or_default().to_owned();
                *refused.entry(last).or_insert(0) += 1;
            }
        }
    }
    println!("{same} of {count} programs compared; refused: {refused:#?}");
    assert!(same * 100 >= count * 50, "{same} of {count}; refused: {refused:#?}");
}
