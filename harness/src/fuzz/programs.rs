// SPDX-License-Identifier: GPL-2.0-or-later
//! The oracle of the targets for whole programs: `program` and `jit_instruction` run one on every engine, `rewrite` one and what it is
//! rewritten to, `loader` gives bytes to the loader of program files.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use kop_jit::load::{Format, LoadOptions, load};
use kop_jit::rewrite::{Branches, Options};
use kop_ops::choices::{Choices, mix};
use kop_ops::{Arch, Catalog, ProgramKind};

use super::feedback::{COUNTERS, Feedback};
use crate::case::AS_FOUND;
use crate::generate::{ByteChoices, ProgramPlan, idioms, kind_of};
use crate::program::{CaseProblem, Instructions, ProgramCase, ProgramRig, minimise, text};
use crate::rewrite::{self, Sampled};
use crate::tier;

/// What bytes become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A random program.
    Program,
    /// Single instructions with random operands.
    Instruction,
    /// A program full of what can be rewritten; some are random.
    Rewrite,
}

/// Of how many programs LLVM compiles one: it takes some hundred times as long as all else that is done with most.
const LLVM_ONE_IN: u64 = 256;

thread_local! {
    static RIG: RefCell<ProgramRig> = RefCell::new(rig());
}

/// Of how many programs the kernel is asked of one.
const KERNEL_ONE_IN: u64 = 8;

fn rig() -> ProgramRig {
    let mut rig = ProgramRig::available();
    rig.sample_kernel(KERNEL_ONE_IN);
    if tier::HAS_NATIVE {
        rig.sample_llvm(LLVM_ONE_IN);
    }
    for (engine, reason) in rig.absent() {
        eprintln!("kop: programs do without {engine}: {reason}");
    }
    rig
}

/// The case that bytes are; every byte string is one.
pub(super) fn case(source: Source, catalog: &Catalog, bytes: &[u8]) -> ProgramCase {
    let mut choices = ByteChoices::new(bytes);
    match source {
        Source::Instruction => return Instructions::random(&mut choices),
        Source::Rewrite if !choices.one_in(8) => return rewrite::case(&mut choices),
        Source::Program if choices.one_in(4) => return idioms(&mut choices),
        Source::Program | Source::Rewrite => {}
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

/// How many states a claim is tried on: it takes less time than the engines. What lets a wrong site through here is a site that the prover
/// would refuse, and a finding about the recognisers all the same.
const STATES: u64 = 400;

/// Rewrites the program that bytes are, and compares both on every engine.
///
/// # Panics
/// With a report when one differs, after writing the original down.
pub(super) fn check_rewritten(catalog: &Catalog, bytes: &[u8], feedback: Feedback, findings: &Path) {
    let case = case(Source::Rewrite, catalog, bytes);
    // For either architecture, as the input has it.
    let arch = Some(Arch::ALL[bytes.len() % 2]);
    let options = Options { arch, branches: Branches::All, ..Options::new(catalog) };
    RIG.with_borrow_mut(|rig| {
        let compared = rewrite::compare(rig, &case, catalog, (&options, &mut Sampled { states: STATES }));
        let trial = match compared {
            Ok(trial) => trial,
            Err(CaseProblem::Undefined) => return,
            Err(problem) => panic!("a generated program is no case: {problem}\n{case}"),
        };
        for found in &trial.rewritten.found {
            let hash = |text: &str| text.bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte)));
            let what = hash(&found.kop) ^ hash(&found.form).rotate_left(1) ^ found.removed.len() as u64;
            feedback(mix(what) as usize % COUNTERS);
        }
        let Some(difference) = trial.difference else { return };
        let raw = ProgramCase { comment: vec![difference.clone(), AS_FOUND.to_owned()], ..case.clone() };
        let saved = text::save(findings, &raw, "rewritten").and_then(|path| {
            fs::write(path.with_extension("bytes"), bytes)?;
            Ok(path)
        });
        if let Err(error) = &saved {
            eprintln!("kop: the finding could not be saved: {error}");
        }
        let found = trial.rewritten.found.iter();
        let sites: Vec<String> = found
            .map(|found| format!("{}: {}.{} {}", found.at, found.kop, found.form, found.operands))
            .collect();
        panic!("{difference}\n{}\n{case}", sites.join("\n"));
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
