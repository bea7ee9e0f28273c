// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop new`: the skeleton is sound, and stands in the project as if written by hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kop_harness::case::Case;
use kop_harness::ops::{Catalog, Kop};
use kop_harness::{Rig, replay, selection};

// What the skeleton names as parts of its own crate.
pub use kop_harness::ops::{aarch64, ebpf, kop, payload, state, x86_64};

/// The skeleton itself: its placeholders are valid names.
#[path = "../src/cli/new/operation.rs.in"]
mod skeleton;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[test]
fn the_skeleton_is_sound() {
    kop_harness::assert_equivalent(&Catalog::with(&skeleton::Skeleton));
}

#[test]
fn its_case_holds() {
    let catalog = Catalog::with(&skeleton::Skeleton);
    let text = fs::read_to_string(Path::new(ROOT).join("harness/src/cli/new/case.kop.in")).expect("there");
    let case = Case::parse(&text, &catalog).expect("a case");
    let mut rig = Rig::new(&selection::available().0).expect("the engines start");
    let replayed = replay(&mut rig, &catalog, &case).expect("the catalog has it");
    assert!(replayed.findings.is_empty() && replayed.codes == 2, "{replayed:#?}");
}

#[test]
fn it_has_a_known_answer_and_a_source() {
    assert!(!skeleton::Skeleton.known_answers().is_empty());
    assert!(skeleton::Skeleton.source().ends_with("operation.rs.in"));
}

/// A copy of the project's text, without what was built.
fn project() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let crates = [
        "ops",
        "semantics",
        "jit",
        "native",
        "modules",
        "prover",
        "reports",
        "emulators",
        "harness",
        "fuzz",
        "sleigh",
    ];
    for name in ["Cargo.toml", "Cargo.lock", "rustfmt.toml"].into_iter().chain(crates) {
        let from = Path::new(ROOT).join(name);
        if from.exists() {
            copy(&from, &dir.path().join(name));
        }
    }
    dir
}

fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::copy(from, to).expect("copied");
        return;
    }
    fs::create_dir(to).expect("created");
    for entry in fs::read_dir(from).expect("readable") {
        let name = entry.expect("readable").file_name();
        if !["target", "corpus", "artifacts", "coverage"].iter().any(|built| name == *built) {
            copy(&from.join(&name), &to.join(&name));
        }
    }
}

fn kop_new(directory: &Path, name: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kop"));
    command.args(["new", name]).current_dir(directory).output().expect("kop runs")
}

/// Every file with its text.
fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let text = fs::read(&path).expect("readable");
            found.push((path, text));
        }
    }
    found.sort();
    found
}

fn succeeds(command: &mut Command) {
    let output = command.output().expect("it is installed");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}:\n{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn the_project_builds_with_a_new_operation() {
    let dir = project();
    let made = kop_new(&dir.path().join("ops/src"), "exclusive_or");
    let said = String::from_utf8(made.stdout).expect("text");
    assert_eq!(made.status.code(), Some(0), "{}", String::from_utf8_lossy(&made.stderr));
    for line in [
        "wrote    ops/src/kops/exclusive_or.rs\n",
        "wrote    corpus/regressions/exclusive_or/aliasing.kop\n",
        "changed  ops/src/kops/mod.rs\n",
        "changed  ops/src/catalog.rs\n",
        "next: cargo run --release --bin kop -- check exclusive_or\n",
    ] {
        assert!(said.contains(line), "{line:?} is missing from\n{said}");
    }
    // The build folder of the tests has the dependencies already.
    let built = Path::new(env!("CARGO_BIN_EXE_kop")).parent().expect("in a build folder");
    succeeds(
        Command::new(env!("CARGO"))
            .args(["check", "--quiet", "--offline", "--locked", "-p", "kop-ops"])
            .args(built.ends_with("release").then_some("--release"))
            .current_dir(dir.path())
            .env("CARGO_TARGET_DIR", built.parent().expect("of a profile")),
    );
    for file in ["exclusive_or.rs", "mod.rs", "../catalog.rs"] {
        let folder = dir.path().join("ops/src/kops");
        succeeds(Command::new("rustfmt").args(["--check", "--edition", "2024", file]).current_dir(folder));
    }
    let operation = fs::read_to_string(dir.path().join("ops/src/kops/exclusive_or.rs")).expect("there");
    assert!(operation.contains("pub struct ExclusiveOr;") && !operation.contains("NAME"), "{operation}");
    let catalog = fs::read_to_string(dir.path().join("ops/src/catalog.rs")).expect("there");
    assert!(catalog.contains("    &kops::exclusive_or::ExclusiveOr,\n];"), "{catalog}");

    let before = files(dir.path());
    let again = kop_new(dir.path(), "exclusive_or");
    assert_eq!(again.status.code(), Some(2));
    assert!(files(dir.path()) == before, "a refused command changes nothing");
}

#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    let dir = project();
    // A file where a folder would have to be.
    fs::create_dir_all(dir.path().join("corpus")).expect("created");
    fs::write(dir.path().join("corpus/regressions"), "in the way").expect("written");
    let before = files(dir.path());
    let made = kop_new(dir.path(), "exclusive_or");
    assert_eq!(made.status.code(), Some(2), "{}", String::from_utf8_lossy(&made.stdout));
    assert!(String::from_utf8_lossy(&made.stderr).contains("corpus/regressions"));
    assert!(files(dir.path()) == before, "a refused command changes nothing");
}

#[test]
fn outside_the_project_it_says_so() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let made = kop_new(dir.path(), "exclusive_or");
    let said = String::from_utf8(made.stderr).expect("text");
    assert_eq!((made.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("not inside the project"), "{said}");
}
