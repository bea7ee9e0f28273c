// SPDX-License-Identifier: GPL-2.0-or-later
//! A callback that crashes or hangs inside of a fuzzer: what it was called with, written down and said before the fuzzer
//! reports the crash as its own.

use std::path::Path;

use kop_modules::in_process::Crash;
use kop_ops::{Catalog, Features};
use kop_reports::{Blame, Kind};

use crate::finding::Finding;
use crate::{case, describe};

/// What happens to a crash in the process of a fuzzer.
pub(super) fn report(crash: &Crash) {
    eprint!("{}", write_down(crash, &super::CATALOG, &super::findings_folder()));
}

/// Saves the case; returns what is to be said.
fn write_down(crash: &Crash, catalog: &Catalog, findings: &Path) -> String {
    let Crash { descriptor, callback, payload, what } = crash;
    let name = &descriptor.name;
    let said = format!("\n{callback} of {name}, payload {payload:#x}: {what}\n");
    let Ok(kop) = catalog.get(name) else { return said };
    let decodes = kop.forms().iter().find(|form| form.layout.decode(*payload).is_ok());
    let form = decodes.unwrap_or(&kop.forms()[0]);
    let finding = Finding {
        kind: Kind::Callback,
        engine: "-".to_owned(),
        arch: callback.arch(),
        features: Features::NONE,
        payload: *payload,
        blame: if callback.arch().is_some() { Blame::Emit } else { Blame::Proof },
        reason: "it crashed in the process of a fuzzer".to_owned(),
        message: format!("{callback} crashed: {what}"),
        difference: None,
        place: format!("crash in {callback}"),
        run: None,
        sides: Vec::new(),
    };
    // A crash says nothing of the features that the CPU had.
    let case = case::Case { features: None, ..describe::raw_case(kop, form, &finding) };
    match case::save(findings, &case, &finding.cause()) {
        Ok(path) => {
            let path_word = describe::shell_word(&path.display().to_string());
            format!("{said}  reproduce  kop repro {path_word}{}\n\n", describe::arguments(kop))
        }
        Err(error) => format!("{said}kop: the finding could not be saved: {error}\n"),
    }
}

#[cfg(test)]
mod tests {
    use kop_modules::Descriptor;
    use kop_ops::{Arch, Callback};

    use super::*;
    use crate::case::Case;

    #[test]
    fn a_crash_is_written_down_with_the_way_to_see_it_again() {
        let catalog = Catalog::einsn();
        let folder = tempfile::tempdir().expect("a temporary directory");
        let descriptor = Descriptor {
            name: "rotate".to_owned(),
            source: "rotate.c".into(),
            max_insn_cnt: 1,
            max_emit_bytes: 1,
            archs: Arch::ALL.to_vec(),
        };
        let callback = Callback::Emit(Arch::Aarch64);
        let crash = Crash { descriptor: &descriptor, callback, payload: 0x21, what: "signal 11 (SIGSEGV)" };
        let said = write_down(&crash, &catalog, folder.path());
        assert!(said.starts_with("\nemit_arm64 of rotate, payload 0x21: signal 11 (SIGSEGV)\n"), "{said}");
        let path = said.split_once("kop repro ").and_then(|(_, rest)| rest.split_whitespace().next());
        let text = std::fs::read_to_string(path.expect("the command is there")).expect("the case is there");
        let case = Case::parse(&text, &catalog).expect("it is a case");
        assert_eq!((case.payload, case.arch, case.features), (0x21, Some(Arch::Aarch64), None));
        // What is not in the catalog is said all the same.
        let unknown = Descriptor { name: "unknown".to_owned(), ..descriptor.clone() };
        let said = write_down(&Crash { descriptor: &unknown, ..crash }, &catalog, folder.path());
        assert_eq!(said, "\nemit_arm64 of unknown, payload 0x21: signal 11 (SIGSEGV)\n");
    }
}
