// SPDX-License-Identifier: GPL-2.0-or-later
//! Tests of the tester: every planted fault is found within the default number of states of its row, with the right kind
//! and the right side to blame, and the sound operations never report anything.

use std::sync::atomic::{AtomicBool, Ordering};

use kop_harness::check::{Progress, Quiet, Settings, check, check_with};
use kop_harness::planted::{self, OneForm, Planted, PlantedEngine};
use kop_harness::reports::{Blame, Kind};
use kop_harness::{Finding, Rig, Scope};
use kop_ops::{Catalog, Form, Kop};
use parallel::of_each;

mod parallel;

fn settings(scope: Scope, seed: u64) -> Settings {
    Settings { scope, seed, jobs: 1, ..Settings::default() }
}

/// Ends a check when what is wanted was found.
struct Hunt {
    wanted: (Kind, Blame),
    found: AtomicBool,
}

impl Progress for Hunt {
    fn round(&self, _units: usize) {}
    fn unit(&self, _label: &str) {}
    fn is_enough(&self) -> bool {
        self.found.load(Ordering::Relaxed)
    }
}

/// The findings of a check of one operation until what is `wanted` is among them, as kind, blame and message.
fn findings(
    kop: &dyn Kop,
    settings: &Settings,
    wanted: (Kind, Blame),
    change: &(dyn Fn(Rig) -> Rig + Sync),
) -> Vec<(Kind, Blame, String)> {
    let catalog = Catalog::with(kop);
    let hunt = Hunt { wanted, found: AtomicBool::new(false) };
    let hear = |_: &dyn Kop, _: &Form, finding: &Finding| {
        if (finding.kind, &finding.blame) == (hunt.wanted.0, &hunt.wanted.1) {
            hunt.found.store(true, Ordering::Relaxed);
        }
    };
    let checked = check_with(&catalog, settings, &hunt, &hear, change).expect("the engines are here");
    checked
        .findings()
        .map(|(_, form, finding)| {
            let message = format!("{} {}: {}", form.name, finding.cause(), finding.message);
            (finding.kind, finding.blame.clone(), message)
        })
        .collect()
}

/// Nothing when the fault was found as it should be, otherwise what was found instead.
fn missed(planted: &Planted) -> Option<String> {
    let start = std::time::Instant::now();
    let kop = planted.kop();
    let only = OneForm::new(&*kop, planted.form);
    let found = findings(
        &only,
        &settings(Scope { archs: vec![planted.arch], simd: true }, 0),
        (planted.kind, planted.blame.clone()),
        &|rig| rig,
    );
    if std::env::var_os("KOP_TIMES").is_some() {
        eprintln!("{:>6} ms  {}", start.elapsed().as_millis(), planted.name);
    }
    let right = found.iter().any(|(kind, blame, _)| *kind == planted.kind && *blame == planted.blame);
    (!right).then(|| {
        let instead: Vec<String> =
            found.into_iter().map(|(kind, blame, message)| format!("{kind}/{blame}: {message}")).collect();
        format!("{}: wanted {}/{}, found {instead:#?}", planted.name, planted.kind, planted.blame)
    })
}

#[test]
fn every_planted_fault_is_found_with_kind_and_blame() {
    let faults: Vec<&Planted> = planted::all().iter().collect();
    assert!(faults.len() >= 60, "{} faults", faults.len());
    let missed = of_each(&faults, |fault| missed(fault));
    assert!(missed.is_empty(), "{} of {} missed:\n{}", missed.len(), faults.len(), missed.join("\n"));
}

#[test]
fn faults_in_engine_wrappers_are_blamed_on_the_engine() {
    let catalog = Catalog::einsn();
    let rotate = catalog.get("rotate").expect("in the catalog");
    for planted in planted::engines() {
        let PlantedEngine { name, engine, kind, blame, .. } = &planted;
        let found = findings(rotate, &settings(Scope::default(), 0), (*kind, blame.clone()), &|rig| {
            rig.map_engines(|inner| if inner.name() == *engine { planted.wrap(inner) } else { inner })
        });
        let right = found.iter().any(|found| found.0 == *kind && found.1 == *blame);
        assert!(right, "{name}: wanted {kind}/{blame}, found {found:#?}");
    }
}

#[test]
fn sound_operations_report_nothing_with_any_seed() {
    for seed in 1..=2 {
        let catalog = Catalog::einsn();
        let settings = Settings { seed, states: 5000, ..Settings::default() };
        let checked = check(&catalog, &settings, &Quiet, &|_, _, _| ()).expect("the engines are here");
        let found: Vec<String> = checked
            .findings()
            .map(|(kop, form, finding)| format!("{} {} {finding:?}", kop.name(), form.name))
            .collect();
        assert!(found.is_empty(), "{found:#?}");
    }
}
