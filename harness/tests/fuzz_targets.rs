// SPDX-License-Identifier: GPL-2.0-or-later
//! The fuzz targets without a fuzzer: each exists, has seeds, and holds on random bytes for a moment.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kop_harness::fuzz::{COUNTERS, Rare, Target, seeds};
use kop_modules::{Options, in_process};
use kop_ops::choices::{Choices, Seeded};
use kop_ops::{Catalog, Kop};

/// How long each target runs.
const MOMENT: Duration = Duration::from_millis(300);

/// How many inputs it is given at least, however slow the machine is.
const LEAST: usize = 150;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the harness is in the workspace").to_owned()
}

fn seeds_folder() -> PathBuf {
    root().join("corpus/fuzz")
}

/// Every file below `folder`, by its path from there.
fn read_tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten() {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("it is below").display().to_string();
                files.insert(name, fs::read(&path).expect("a file that can be read"));
            }
        }
    }
    files
}

/// `KOP_BLESS=1` writes the files instead.
#[test]
fn seeds_and_dictionaries_are_those_of_the_catalog() {
    let catalog = Catalog::einsn();
    let folder = seeds_folder();
    if std::env::var_os("KOP_BLESS").is_some() {
        seeds::write(&folder, &catalog).expect("seeds can be written");
    }
    let expected: BTreeMap<String, Vec<u8>> =
        Target::list(&catalog).into_iter().flat_map(|target| seeds::files(target, &catalog)).collect();
    let found = read_tree(&folder);
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&found), names(&expected), "KOP_BLESS=1 cargo test writes them");
    for (name, bytes) in &expected {
        assert!(
            found[name] == *bytes,
            "{name} is not what the catalog gives: KOP_BLESS=1 cargo test writes it"
        );
    }
    for target in Target::list(&catalog) {
        let count = found.keys().filter(|name| name.starts_with(&format!("{target}/"))).count();
        assert!((1..200).contains(&count), "{target} has {count} seeds");
        let options = String::from_utf8_lossy(&found[&format!("{target}.options")]).into_owned();
        let value = |key: &str| -> Option<usize> {
            let line = options.lines().find(|line| line.starts_with(key))?;
            line.split_once(" = ")?.1.parse().ok()
        };
        assert!(value("timeout").is_some_and(|seconds| seconds > 0), "{target}: a hang is no finding");
        assert!(value("rss_limit_mb").is_some_and(|limit| limit > 0), "{target}: memory has no limit");
        let longest = seeds::files(target, &catalog).into_iter().filter(|(name, _)| name.contains('/'));
        let longest = longest.map(|(_, bytes)| bytes.len()).max();
        assert!(value("max_len") >= longest, "{target}: {longest:?} bytes of a seed are cut off");
    }
}

#[test]
fn every_target_has_a_program_of_at_most_ten_lines() {
    let catalog = Catalog::einsn();
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).expect("the manifest of the targets");
    let targets: BTreeSet<String> = Target::list(&catalog).iter().map(ToString::to_string).collect();
    for name in &targets {
        let path = root().join(format!("fuzz/fuzz_targets/{name}.rs"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(text.lines().count() <= 11, "{name} is long");
        assert!(text.contains(&format!("\"{name}\"")), "{name} runs another target");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in fuzz/Cargo.toml");
    }
    let programs = read_tree(&root().join("fuzz/fuzz_targets"));
    let programs: BTreeSet<String> =
        programs.keys().map(|name| name.trim_end_matches(".rs").to_owned()).collect();
    assert_eq!(programs, targets);
}

/// Operations from outside for the targets about them: a module, loaded into this process, and one as text.
fn foreign() -> Vec<Box<dyn Kop>> {
    let module = [root().join("modules/tests/modules/move.c")];
    let modules = in_process::load(&module, &Options::default()).unwrap_or_else(|error| panic!("{error}"));
    let file = root().join("corpus/modules/and_not.kop.toml");
    let texts = kop_modules::text::load(&file).unwrap_or_else(|error| panic!("{error}"));
    let modules = modules.into_iter().map(|kop| Box::new(kop) as Box<dyn Kop>);
    modules.chain(texts.into_iter().map(|kop| Box::new(kop) as Box<dyn Kop>)).collect()
}

/// Runs a target on its seeds and then on random bytes; returns how many inputs and how many features there were.
fn run_a_moment(target: Target, catalog: &Catalog) -> (usize, usize) {
    let features = RefCell::new(BTreeSet::new());
    let feedback = |feature: usize| {
        assert!(feature < COUNTERS);
        features.borrow_mut().insert(feature);
    };
    let mut inputs = 0;
    for (name, bytes) in seeds::files(target, catalog) {
        if name.contains('/') {
            target.run(catalog, &bytes, &feedback);
            inputs += 1;
        }
    }
    let mut choices = Seeded::new(0x66757a7a);
    let end = Instant::now() + MOMENT;
    while Instant::now() < end || inputs < LEAST {
        let length = choices.below(200) as usize;
        let bytes: Vec<u8> = (0..length).map(|_| choices.bits() as u8).collect();
        target.run(catalog, &bytes, &feedback);
        inputs += 1;
    }
    (inputs, features.into_inner().len())
}

#[test]
fn every_target_holds_for_a_moment() {
    let foreign = foreign();
    let catalog = foreign.iter().fold(Catalog::einsn(), |catalog, kop| catalog.and(&**kop));
    for target in Target::list(&catalog) {
        let (inputs, features) = run_a_moment(target, &catalog);
        println!("{target}: {inputs} inputs, {features} features");
        assert!(inputs > 10, "{target}: {inputs} inputs");
        let kops = target.kops(&catalog);
        let told = match target {
            // Registers stay as they are and memory is not touched: there is little to tell.
            Target::Operation(_) if kops.iter().all(|kop| kop.unseen_purpose().is_some()) => 10,
            Target::Operation(_) | Target::All => 100,
            // One operation of one form each.
            Target::Module | Target::File => 60,
            _ => 0,
        };
        assert!(features >= told, "{target}: {features} features");
    }
}

#[test]
fn operations_from_outside_have_targets_of_their_own() {
    let foreign = foreign();
    let catalog = foreign.iter().fold(Catalog::einsn(), |catalog, kop| catalog.and(&**kop));
    let names = |target: Target| -> Vec<String> {
        target.kops(&catalog).iter().map(|kop| kop.name().to_owned()).collect()
    };
    assert_eq!(names(Target::Module), ["bpf_move"]);
    assert_eq!(names(Target::File), ["and_not"]);
    // The others, and what their inputs mean, do not depend on them.
    assert_eq!(names(Target::All).len(), Catalog::einsn().kops().len());
    let list = |catalog: &Catalog| Target::list(catalog).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(list(&catalog), list(&Catalog::einsn()));
    let shown = Target::Module.show(&catalog, &[0, 0x21]);
    assert!(shown.contains("operation bpf_move") && shown.contains("\nform "), "{shown}");
    assert!(Target::Module.show(&Catalog::einsn(), &[]).contains("give some by --module"));
}

#[test]
fn a_fault_is_written_down_and_reported() {
    let rare = Rare { ones: 2, narrow: false };
    let catalog = Catalog::with(&rare);
    let target = Target::find(&catalog, "clmul").expect("the fault is in clmul");
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut choices = Seeded::new(1);
    let found = (0..2000).find_map(|_| {
        let bytes: Vec<u8> = (0..48).map(|_| choices.bits() as u8).collect();
        let run = AssertUnwindSafe(|| target.run_into(&catalog, &bytes, &|_| (), folder.path()));
        catch_unwind(run).is_err().then_some(bytes)
    });
    let bytes = found.expect("one input in some hundred shows it");
    let files = read_tree(folder.path());
    let case = files.iter().find(|(name, _)| name.ends_with(".kop")).expect("the case is written");
    let text = String::from_utf8(case.1.clone()).expect("a case is text");
    assert!(text.contains("operation clmul") && text.contains("arch aarch64"), "{text}");
    assert_eq!(files.iter().find(|(name, _)| name.ends_with(".bytes")).map(|(_, bytes)| bytes), Some(&bytes));
}

#[test]
fn an_unknown_target_is_named_with_those_that_are_known() {
    let error = Target::find(&Catalog::einsn(), "rotat").expect_err("there is none");
    assert!(error.to_string().starts_with("unknown fuzz target `rotat` (known: rotate, select, "), "{error}");
}
