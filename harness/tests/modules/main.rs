// SPDX-License-Identifier: GPL-2.0-or-later
//! Kernel modules, sound and faulty: a check finds every fault at its default settings, with the right kind, and has
//! nothing to say of what is sound.

mod faults;
#[path = "../parallel/mod.rs"]
mod parallel;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use faults::{BASES, Base, Edit, Fault};
use kop_harness::Finding;
use kop_harness::check::{Checked, Progress, Settings, check};
use kop_modules::{ModuleKop, Options};
use kop_ops::{Catalog, Form, Kop};
use parallel::of_each;

/// The shipped examples, and the headers of all.
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus/modules");

/// The sound modules that only these tests need.
const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/modules");

/// Default settings but for the threads: the tests bring their own.
fn settings() -> Settings {
    Settings { jobs: 1, ..Settings::default() }
}

/// Copies the sources of a module and their headers to `dir`, with changes; gives the sources' new paths.
fn write_sources(base: &Base, edits: &[Edit], dir: &Path) -> Vec<PathBuf> {
    let headers = ["x86_emit.h", "arm64_emit.h"];
    let mut edited = 0;
    let edits: Vec<&Edit> = base.mends.iter().chain(edits).collect();
    for name in base.sources.iter().chain(&headers) {
        let from = [EXAMPLES, HERE].iter().map(|dir| Path::new(dir).join(name)).find(|path| path.exists());
        let from = from.unwrap_or_else(|| panic!("{name} is neither an example nor here"));
        let mut text = std::fs::read_to_string(&from).expect("it is there");
        for edit in edits.iter().filter(|edit| edit.file == *name) {
            assert_eq!(text.matches(edit.find).count(), 1, "{name} holds this once:\n{}", edit.find);
            text = text.replace(edit.find, edit.replace);
            edited += 1;
        }
        std::fs::write(dir.join(name), text).expect("the directory is ours");
    }
    assert_eq!(edited, edits.len(), "every change concerns a file of the module");
    base.sources.iter().map(|name| dir.join(name)).collect()
}

/// The operation of a module with changes.
fn load(base: &Base, edits: &[Edit], dir: &Path) -> Result<ModuleKop, String> {
    let sources = write_sources(base, edits, dir);
    let options = Options {
        contracts: base.contract.iter().map(|text| (*text).to_owned()).collect(),
        ..Options::default()
    };
    let mut operations = kop_modules::load(&sources, &options).map_err(|error| error.to_string())?;
    match (operations.pop(), operations.len()) {
        (Some(operation), 0) if operation.name() == base.operation => Ok(operation),
        (last, others) => Err(format!("{others} operations before {last:?}, wanted {}", base.operation)),
    }
}

/// Ends a check when it has found what is looked for.
struct Hunt<'f> {
    fault: &'f Fault,
    found: AtomicBool,
}

impl Hunt<'_> {
    fn is_wanted(&self, finding: &Finding) -> bool {
        let line = format!("{} {}", finding.place, finding.message);
        finding.kind == self.fault.kind
            && finding.arch == self.fault.arch
            && self.fault.words.iter().all(|word| line.contains(word))
    }
}

impl Progress for Hunt<'_> {
    fn round(&self, _units: usize) {}
    fn unit(&self, _label: &str) {}
    fn is_enough(&self) -> bool {
        self.found.load(Ordering::Relaxed)
    }
}

/// Nothing when the fault was found as it should be, otherwise what was found instead.
fn missed(fault: &Fault) -> Option<String> {
    let start = std::time::Instant::now();
    let dir = tempfile::tempdir().expect("a directory for the sources");
    let kop = match load(&fault.base, fault.edits, dir.path()) {
        Ok(kop) => kop,
        Err(error) => return Some(format!("{}: {error}", fault.name)),
    };
    let loaded = start.elapsed();
    let catalog = Catalog::with(&kop);
    let hunt = Hunt { fault, found: AtomicBool::new(false) };
    let hear = |_: &dyn Kop, _: &Form, finding: &Finding| {
        if hunt.is_wanted(finding) {
            hunt.found.store(true, Ordering::Relaxed);
        }
    };
    let checked = check(&catalog, &settings(), &hunt, &hear).expect("the engines are here");
    if std::env::var_os("KOP_TIMES").is_some() {
        eprintln!(
            "{:>6} + {:>6} ms  {}",
            loaded.as_millis(),
            (start.elapsed() - loaded).as_millis(),
            fault.name
        );
    }
    (!hunt.is_enough()).then(|| {
        let wanted = (fault.kind.name(), fault.arch, fault.words);
        format!("{}: wanted {wanted:?}, found {:#?}", fault.name, lines(&checked))
    })
}

/// The findings of a check, a line each.
fn lines(checked: &Checked) -> Vec<String> {
    checked
        .findings()
        .map(|(_, form, finding)| format!("{} {}: {}", form.name, finding.cause(), finding.message))
        .collect()
}

#[test]
fn every_fault_is_found_with_its_kind() {
    let only = std::env::var("KOP_FAULT").unwrap_or_default();
    let faults: Vec<Fault> = faults::all().into_iter().filter(|fault| fault.name.contains(&only)).collect();
    let missed = of_each(&faults, missed);
    assert!(missed.is_empty(), "{} of {} missed:\n{}", missed.len(), faults.len(), missed.join("\n"));
}

#[test]
fn sound_modules_are_clean() {
    let unclean = of_each(&BASES, |base| {
        let dir = tempfile::tempdir().expect("a directory for the sources");
        let kop = match load(base, &[], dir.path()) {
            Ok(kop) => kop,
            Err(error) => return Some(format!("{}: {error}", base.operation)),
        };
        let catalog = Catalog::with(&kop);
        let checked = check(&catalog, &settings(), &kop_harness::check::Quiet, &|_, _, _| {})
            .expect("the engines are here");
        let lines = lines(&checked);
        (!lines.is_empty()).then(|| format!("{}: {lines:#?}", base.operation))
    });
    assert!(unclean.is_empty(), "{}", unclean.join("\n"));
}

#[test]
fn there_are_many_faults_and_no_two_alike() {
    let faults = faults::all();
    assert!(faults.len() >= 35, "{} faults", faults.len());
    for (number, fault) in faults.iter().enumerate() {
        let earlier = faults[..number].iter().find(|earlier| earlier.name == fault.name);
        assert!(earlier.is_none(), "{} is there twice", fault.name);
        let is_changed = !fault.edits.is_empty() || !BASES.contains(&fault.base);
        assert!(is_changed, "{} changes nothing", fault.name);
    }
}
