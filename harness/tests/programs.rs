// SPDX-License-Identifier: GPL-2.0-or-later
//! Random programs: they are what they should be, and the kernel's verifier accepts them.

use std::collections::BTreeMap;

use kop_emulators::kernel::{self, Verifier};
use kop_harness::generate::{ProgramPlan, tally};
use kop_harness::program::ProgramCase;
use kop_ops::choices::Seeded;
use kop_ops::program::ProgramKind;
use kop_ops::{Catalog, Object};

const KERNEL_KINDS: &[ProgramKind] = &[ProgramKind::Xdp, ProgramKind::Tc];

fn programs(catalog: &Catalog, kinds: &[ProgramKind], count: u64) -> Vec<ProgramCase> {
    let plan = ProgramPlan { catalog, kinds, statements: 60, long: false };
    (0..count).map(|number| plan.generate(&mut Seeded::derived(0x7067, &[number]))).collect()
}

#[test]
fn a_seed_determines_a_program() {
    let catalog = Catalog::einsn();
    assert_eq!(programs(&catalog, &ProgramKind::ALL, 40), programs(&catalog, &ProgramKind::ALL, 40));
}

#[test]
fn every_kind_of_instruction_occurs() {
    let tally = tally(&programs(&Catalog::einsn(), &ProgramKind::ALL, 1500));
    let listed: Vec<String> = tally.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
    println!("{}", listed.join("\n"));
    // Every operation at both widths with both operands, every atomic operation at every size, every condition.
    assert!(tally.len() >= 155, "{} kinds", tally.len());
    let rare: Vec<&String> = tally.iter().filter(|(_, count)| **count < 10).map(|(kind, _)| kind).collect();
    assert!(rare.is_empty(), "hardly ever: {rare:?}");
}

/// The verifier's verdict on every program: how many it accepts of how many, and its reasons.
fn verdicts(objects: &[Object]) -> (usize, usize, BTreeMap<String, usize>) {
    let mut verifier = Verifier::new().expect("the kernel lets maps be created");
    let (mut accepted, mut total) = (0, 0);
    let mut reasons = BTreeMap::new();
    for object in objects {
        for index in 0..object.programs.len() {
            let verdict = verifier.verify(object, index, 0).expect("there is a verdict");
            total += 1;
            if verdict.accepted {
                accepted += 1;
            } else {
                *reasons.entry(verdict.class).or_insert(0) += 1;
            }
        }
    }
    (accepted, total, reasons)
}

#[test]
fn the_verifier_accepts_nearly_every_program() {
    if let Err(reason) = kernel::available() {
        eprintln!("skipped: {reason}");
        return;
    }
    let catalog = Catalog::einsn();
    let lowered =
        |case: &ProgramCase| kop_jit::lower(&case.object, &catalog).expect("sites are sound").object;
    let objects: Vec<Object> = programs(&catalog, KERNEL_KINDS, 2000).iter().map(lowered).collect();
    let (accepted, total, reasons) = verdicts(&objects);
    println!("{accepted} of {total} programs accepted; refused: {reasons:#?}");
    assert!(accepted * 100 >= total * 95, "{accepted} of {total}; refused: {reasons:#?}");
}

#[test]
fn programs_end_without_a_fault() {
    let catalog = Catalog::einsn();
    let mut ends = BTreeMap::new();
    for case in programs(&catalog, &ProgramKind::ALL, 3000) {
        let lowered = kop_jit::lower(&case.object, &catalog).expect("sites are sound").object;
        let outcome = case.spec(&lowered).expect("it can be set up");
        *ends.entry(outcome.end.map_err(|trap| format!("{trap:?}")).map(drop)).or_insert(0) += 1;
    }
    println!("{ends:#?}");
    assert_eq!(ends.keys().collect::<Vec<_>>(), [&Ok(())], "{ends:#?}");
}
