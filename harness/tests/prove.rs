// SPDX-License-Identifier: GPL-2.0-or-later
//! Tests of the prover: what is planted is refuted, and the engines confirm it; what is sound is proved.

use std::time::Duration;

use kop_harness::check::Quiet;
use kop_harness::generate::{every_operands, plan};
use kop_harness::planted::{self, OneForm, Planted};
use kop_harness::prove::{Proved, Settings, prove, record};
use kop_harness::reports::{Blame, Kind, ProofVerdict, Record};
use kop_harness::{Scope, selection};
use kop_ops::choices::Seeded;
use kop_ops::{Arch, Catalog, Form, Kop};
use parallel::of_each;

mod parallel;

fn settings(scope: Scope, payloads: Vec<u64>) -> Settings {
    Settings {
        scope,
        payloads,
        limit: Duration::from_secs(60),
        certificates: None,
        cache: None,
        engines: selection::available().0,
        jobs: 1,
    }
}

/// The payloads that a check plans for a form.
fn planned(kop: &dyn Kop) -> Vec<u64> {
    let form = &kop.forms()[0];
    let planned = plan(kop, form, 20_000, &mut Seeded::new(0));
    planned.iter().map(|planned| form.layout.pack(&planned.operands)).collect()
}

/// Spaces of as many combinations are not covered whole in tests.
const MANY: u64 = 1 << 19;

/// All payloads of a form, or those that a check plans where there are many.
fn payloads(kop: &dyn Kop) -> Vec<u64> {
    if kop.forms()[0].layout.combinations() < MANY { Vec::new() } else { planned(kop) }
}

/// What the prover says of a fault, and what the engines say to that.
fn refuted(planted: &Planted, payloads: fn(&dyn Kop) -> Vec<u64>) -> (ProofVerdict, Option<Kind>) {
    let kop = planted.kop();
    let only = OneForm::new(&*kop, planted.form);
    let settings = settings(Scope { archs: vec![planted.arch], simd: true }, payloads(&only));
    let catalog = Catalog::with(&only);
    let proved = prove(&catalog, &settings, &Quiet, &|_, _, _| ()).expect("the engines are here");
    let record = record(&proved, &settings, Duration::ZERO, None).expect("nothing is written");
    let verdict = record.ops[0].proof.as_ref().expect("a proof was asked for").verdict;
    (verdict, proved[0].finding.as_ref().map(|finding| finding.kind))
}

/// Faults whose code does not end: no formula can be made of it, which is no proof.
const ENDLESS: [&str; 2] = ["frame-loops-forever", "frame-branches-to-itself"];

fn is_value(kind: Kind) -> bool {
    matches!(kind, Kind::Register | Kind::Memory | Kind::Fault | Kind::Temporary)
}

#[test]
fn code_that_does_not_end_is_not_proved() {
    for name in ENDLESS {
        let (verdict, _) = refuted(planted::find(name).expect("it is planted"), planned);
        assert_eq!(verdict, ProofVerdict::Unsupported, "{name}");
    }
}

#[test]
fn planted_faults_that_differ_in_values_are_refuted_and_confirmed() {
    let faults: Vec<&Planted> = planted::all()
        .iter()
        .filter(|fault| is_value(fault.kind) && !ENDLESS.contains(&fault.name))
        .collect();
    assert!(faults.len() >= 60, "{} faults", faults.len());
    let missed = of_each(&faults, |fault| {
        let (verdict, kind) = refuted(fault, planned);
        // The state that the solver chooses may show a wrong address as another value or as a fault.
        let right = verdict == ProofVerdict::Refuted && kind.is_some_and(is_value);
        (!right).then(|| format!("{}: {}, {kind:?}, not {}", fault.name, verdict.name(), fault.kind))
    });
    assert!(missed.is_empty(), "{} of {} faults:\n{}", missed.len(), faults.len(), missed.join("\n"));
}

#[test]
fn planted_faults_in_callbacks_and_frames_are_refuted_too() {
    // No formula is made of a model: it is a third description, which engines run.
    let faults: Vec<&Planted> =
        planted::all().iter().filter(|fault| !is_value(fault.kind) && fault.blame != Blame::Model).collect();
    assert!(faults.len() >= 60, "{} faults", faults.len());
    let missed = of_each(&faults, |fault| {
        let (verdict, kind) = refuted(fault, payloads);
        let right = verdict == ProofVerdict::Refuted && kind == Some(fault.kind);
        (!right).then(|| format!("{}: {}, {kind:?}, not {}", fault.name, verdict.name(), fault.kind))
    });
    assert!(missed.is_empty(), "{} of {} faults:\n{}", missed.len(), faults.len(), missed.join("\n"));
}

fn verdicts(proved: &[Proved], settings: &Settings) -> Record {
    record(proved, settings, Duration::ZERO, None).expect("nothing is written")
}

#[test]
fn sound_operations_are_proved() {
    let catalog = Catalog::einsn();
    let forms: Vec<(&dyn Kop, &Form)> = catalog.forms().collect();
    let unproved = of_each(&forms, |&(kop, form)| {
        let only = OneForm::new(kop, &form.name);
        // Spaces of millions of payloads take part with those that a check plans.
        let payloads = payloads(&only);
        let least = if payloads.is_empty() { every_operands(kop, form).count() as u64 } else { 100 };
        let expected = if payloads.is_empty() { ProofVerdict::Proved } else { ProofVerdict::Partial };
        let settings = settings(Scope::default(), payloads);
        let catalog = Catalog::with(&only);
        let proved = prove(&catalog, &settings, &Quiet, &|_, _, _| ()).expect("the engines are here");
        assert_eq!(proved.len(), Arch::ALL.len());
        verdicts(&proved, &settings).ops.into_iter().find_map(|row| {
            let proof = row.proof.expect("a proof was asked for");
            let right = proof.verdict == expected && proof.payloads >= least && proof.formulas > 0;
            (!right).then(|| format!("{} {} {}: {proof:?}", row.name, row.form, row.arch))
        })
    });
    assert!(unproved.is_empty(), "{}", unproved.join("\n"));
}
