// SPDX-License-Identifier: GPL-2.0-or-later
//! Every case of the corpus holds on every engine that is here, and is written as the project writes cases.

use std::path::Path;

use kop_harness::case::load_tree;
use kop_harness::ops::Catalog;
use kop_harness::{Rig, replay, selection};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus/regressions");

#[test]
fn every_case_holds() {
    let catalog = Catalog::einsn();
    let mut rig = Rig::new(&selection::available().0).expect("the engines start");
    let mut failures = Vec::new();
    for (path, case) in load_tree(&[CORPUS], &catalog) {
        let case = case.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let replayed = replay(&mut rig, &catalog, &case).expect("the case was parsed with this catalog");
        for finding in replayed.findings {
            failures.push(format!("{}: {} {}", path.display(), finding.kind, finding.message));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn every_operation_has_cases_with_a_root_cause() {
    let catalog = Catalog::einsn();
    let cases = load_tree(&[CORPUS], &catalog);
    for kop in catalog.kops() {
        let folder = Path::new(CORPUS).join(kop.name());
        let own = cases.iter().filter(|(path, _)| path.starts_with(&folder)).count();
        assert!(own > 0, "{} has no case: write one to {}", kop.name(), folder.display());
    }
    for (path, case) in &cases {
        let case = case.as_ref().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(
            case.comment.iter().any(|line| !line.is_empty()),
            "{}: a comment has to say the root cause",
            path.display()
        );
        let folder = path.parent().and_then(Path::file_name).expect("a case is in a folder");
        assert_eq!(folder.to_str(), Some(&*case.kop), "{}: belongs to {}", path.display(), case.kop);
    }
}
