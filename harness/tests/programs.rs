// SPDX-License-Identifier: GPL-2.0-or-later
//! Random programs: they are what they should be, and the kernel's verifier accepts them.

use std::collections::BTreeMap;

use kop_emulators::kernel::{self, Verifier};
use kop_harness::generate::{ProgramPlan, random_operands, tally};
use kop_harness::program::{CaseProblem, ProgramCase, ProgramRig, minimise, sweep, text};
use kop_ops::choices::Seeded;
use kop_ops::program::ProgramKind;
use kop_ops::{Access, Catalog, Features, Object, Site};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus/regressions");

const KERNEL_KINDS: &[ProgramKind] = &[ProgramKind::Xdp, ProgramKind::Tc];

fn programs(catalog: &Catalog, kinds: &[ProgramKind], count: u64) -> Vec<ProgramCase> {
    let plan = ProgramPlan::new(catalog, kinds);
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
    let is_site = |kind: &str| kind.starts_with("Kop site");
    // Sites are shared out among the forms of the catalog, which grows. What the generator does not place is a site that writes
    // memory, as it would have to know what the stack holds behind it.
    let (catalog, mut choices) = (Catalog::einsn(), Seeded::new(1));
    let mut placed = 0;
    for (kop, form) in catalog.forms() {
        let operands = random_operands(kop, form, &mut choices).expect("a form has valid operands");
        let memory = kop.contract(&Site { form, operands, features: Features::NONE }).memory;
        placed += usize::from(memory.iter().all(|usage| usage.access == Access::Read));
    }
    assert_eq!(tally.keys().filter(|kind| is_site(kind)).count(), placed);
    let rare: Vec<&String> =
        tally.iter().filter(|(kind, count)| !is_site(kind) && **count < 10).map(|(kind, _)| kind).collect();
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

#[test]
fn programs_hold_on_every_engine() {
    let catalog = Catalog::einsn();
    let mut rig = ProgramRig::available();
    for (engine, reason) in rig.absent() {
        eprintln!("absent: {engine}: {reason}");
    }
    let mut ran: BTreeMap<&str, usize> = BTreeMap::new();
    let mut passed_over: BTreeMap<(&str, String), usize> = BTreeMap::new();
    let mut findings = Vec::new();
    let count = std::env::var("KOP_PROGRAMS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let start = std::time::Instant::now();
    for (number, case) in programs(&catalog, &ProgramKind::ALL, count).iter().enumerate() {
        let judged = rig.judge(case, &catalog).expect("a sound case");
        judged.ran.into_iter().for_each(|engine| *ran.entry(engine).or_default() += 1);
        for over in judged.passed_over {
            *passed_over.entry(over).or_default() += 1;
        }
        findings.extend(judged.findings.iter().map(|finding| format!("{number}: {finding}")));
    }
    println!("{:?} ran {ran:#?} passed over {passed_over:#?}", start.elapsed());
    assert!(findings.is_empty(), "{}:\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn single_instructions_hold_on_every_engine() {
    let catalog = Catalog::empty();
    let mut rig = ProgramRig::available();
    let mut findings = Vec::new();
    let mut count = 0;
    for case in sweep() {
        count += 1;
        let judged = rig.judge(&case, &catalog).unwrap_or_else(|problem| panic!("{problem}\n{case}"));
        if let Some(first) = judged.findings.first() {
            let (small, found) = minimise(&mut rig, &catalog, &case, first);
            findings.push(format!("{found}\n{small}"));
        }
    }
    println!("{count} programs of single instructions");
    assert!(count > 100, "{count}");
    assert!(findings.is_empty(), "{}:\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn broken_programs_fault_alike_on_every_engine() {
    let catalog = Catalog::einsn();
    let mut rig = ProgramRig::available();
    let plan = ProgramPlan { wild: true, ..ProgramPlan::new(&catalog, &ProgramKind::ALL) };
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    let mut findings = Vec::new();
    for number in 0..1000 {
        let case = plan.generate(&mut Seeded::derived(0x7769_6c64, &[number]));
        let end = match rig.judge(&case, &catalog) {
            Err(CaseProblem::Undefined) => "reads what is undefined".to_owned(),
            Err(problem) => panic!("{problem}\n{case}"),
            Ok(judged) => {
                if let Some(first) = judged.findings.first() {
                    let (small, found) = minimise(&mut rig, &catalog, &case, first);
                    findings.push(format!("{number}: {found}\n{small}"));
                }
                judged.end
            }
        };
        *ends.entry(end).or_default() += 1;
    }
    println!("{ends:#?}");
    assert!(findings.is_empty(), "{}:\n{}", findings.len(), findings.join("\n"));
    for wanted in ["bad read", "bad write", "ran away", "more than eight frames"] {
        assert!(ends.keys().any(|end| end.starts_with(wanted)), "none: {wanted}");
    }
}

#[test]
fn every_program_of_the_corpus_holds() {
    let catalog = Catalog::einsn();
    let mut rig = ProgramRig::available();
    for (path, case) in text::load_tree(&[CORPUS]) {
        let case = case.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(case.comment.iter().any(|line| !line.is_empty()), "{}: no root cause", path.display());
        let judged =
            rig.judge(&case, &catalog).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()));
        let lines: Vec<String> = judged.findings.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "{}:\n{}", path.display(), lines.join("\n"));
    }
}
