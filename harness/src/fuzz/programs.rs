// SPDX-License-Identifier: GPL-2.0-or-later
//! The oracle of the targets for whole programs: `program` and `jit_instruction` run one on every engine, `loader` gives
//! bytes to the loader of program files.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use kop_jit::load::{Format, LoadOptions, load};
use kop_ops::choices::{Choices, mix};
use kop_ops::{Catalog, ProgramKind};

use super::feedback::{COUNTERS, Feedback};
use crate::case::AS_FOUND;
use crate::generate::{ByteChoices, ProgramPlan, kind_of};
use crate::program::{CaseProblem, Instructions, ProgramCase, ProgramRig, minimise, text};

/// What bytes become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A random program.
    Program,
    /// Single instructions with random operands.
    Instruction,
}

thread_local! {
    static RIG: RefCell<ProgramRig> = RefCell::new(ProgramRig::available());
}

/// The case that bytes are; every byte string is one.
pub(super) fn case(source: Source, catalog: &Catalog, bytes: &[u8]) -> ProgramCase {
    let mut choices = ByteChoices::new(bytes);
    if source == Source::Instruction {
        return Instructions::random(&mut choices);
    }
    let wild = choices.one_in(4);
    let long = choices.one_in(16);
    let plan = ProgramPlan { wild, long, ..ProgramPlan::new(catalog, &ProgramKind::ALL) };
    plan.generate(&mut choices)
}

/// Runs the program that bytes are on every engine.
///
/// # Panics
/// With a report when one differs, after writing the case down.
pub(super) fn check(source: Source, catalog: &Catalog, bytes: &[u8], feedback: Feedback, findings: &Path) {
    let case = case(source, catalog, bytes);
    tell(&case, feedback);
    RIG.with_borrow_mut(|rig| {
        let judged = match rig.judge(&case, catalog) {
            Ok(judged) => judged,
            // A broken program may read what no one defines: nothing can be said of it.
            Err(CaseProblem::Undefined) => return,
            Err(problem) => panic!("a generated program is no case: {problem}\n{case}"),
        };
        let Some(first) = judged.findings.first() else { return };
        let cause = first.cause();
        let raw = ProgramCase { comment: vec![first.to_string(), AS_FOUND.to_owned()], ..case.clone() };
        let saved = text::save(findings, &raw, &cause).and_then(|path| {
            fs::write(path.with_extension("bytes"), bytes)?;
            Ok(path)
        });
        if let Err(error) = &saved {
            eprintln!("kop: the finding could not be saved: {error}");
        }
        let (small, found) = minimise(rig, catalog, &case, first);
        let small = ProgramCase { comment: vec![found.to_string()], ..small };
        if saved.is_ok() {
            let _as_found_is_kept = text::save(findings, &small, &cause);
        }
        panic!("{} divergence(s), the first: {found}\n{small}", judged.findings.len());
    });
}

/// Pairs of neighbouring instructions, by kind.
fn tell(case: &ProgramCase, feedback: Feedback) {
    for program in &case.object.programs {
        let kinds: Vec<u64> = program
            .flow
            .insns()
            .iter()
            .map(|insn| kind_of(insn).bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte))))
            .collect();
        for pair in kinds.windows(2) {
            feedback(mix(pair[0] ^ pair[1].rotate_left(1)) as usize % COUNTERS);
        }
    }
}

/// Gives bytes to the loader, as each kind of file.
///
/// # Panics
/// When the loader does, or when what it made is no program to the rest.
pub(super) fn check_loader(catalog: &Catalog, bytes: &[u8]) {
    for format in [None, Some(Format::Elf), Some(Format::Raw), Some(Format::Text)] {
        for kind in [None, Some(ProgramKind::Xdp)] {
            let options = LoadOptions { format, kind, catalog: Some(catalog) };
            let Ok(object) = load(bytes, &options) else { continue };
            // Sites may be wrong; what is wrong with them has to be said.
            let _sound_or_not = kop_jit::lower(&object, catalog);
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _case_or_not = ProgramCase::parse(text);
    }
}

/// What the loader makes of bytes.
pub(super) fn show_loaded(catalog: &Catalog, bytes: &[u8]) -> String {
    let options = LoadOptions { catalog: Some(catalog), ..LoadOptions::default() };
    match load(bytes, &options) {
        Ok(object) => ProgramCase::of(object).to_string(),
        Err(error) => format!("{error}\n"),
    }
}
