// SPDX-License-Identifier: GPL-2.0-or-later
//! One thread's engines, and what they make of a unit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kop_emulators::program::Runs;
use kop_jit::Options;
use kop_ops::program::MapAddresses;
use kop_ops::{Arch, Catalog, Features, Form, Kop, Slot};
use kop_reports::Row;

use super::subject::{INSTRUCTION, PROGRAM, Subject};
use crate::behaviour::Behaviour;
use crate::case::{self, AS_FOUND, Case};
use crate::check::{Settings, run_form};
use crate::describe;
use crate::generate::kind_of;
use crate::program::{CaseProblem, ProgramCase, ProgramFinding, ProgramRig, minimise_until, text};
use crate::replay::replay;
use crate::rig::Rig;

/// The states that a program of a unit counts for: so much longer does it take.
const STATES_PER_PROGRAM: usize = 500;

/// The same for a program of single instructions, which is long.
const STATES_PER_INSTRUCTIONS: usize = 2500;

/// What a unit gave.
#[derive(Debug, Default)]
pub struct Ran {
    /// How many states or programs ran.
    pub states: u64,
    /// Counts, a row for each architecture.
    pub rows: Vec<Row>,
    /// What it did.
    pub behaviour: Behaviour,
    /// What is wrong.
    pub findings: Vec<Raw>,
}

/// A finding as it was found.
#[derive(Debug)]
pub struct Raw {
    /// What findings of one cause have in common.
    pub cause: String,
    /// The path of its case below the directory of findings; equal causes have equal paths.
    pub file: String,
    /// How often it occurred.
    pub count: u64,
    case: RawCase,
}

#[derive(Debug)]
enum RawCase {
    Operation(Box<Case>),
    Program(Box<ProgramCase>),
}

impl Raw {
    /// Writes the case below `dir` unless there is one of the same cause. It is on disk when this returns.
    ///
    /// # Errors
    /// The path and what the operating system says.
    pub fn save(&self, dir: &Path) -> Result<(), String> {
        let saved = match &self.case {
            RawCase::Operation(case) => case::save(dir, case, &self.cause),
            RawCase::Program(case) => text::save_new(&dir.join(folder(&self.file)), case, &self.cause),
        };
        saved.map(drop).map_err(|error| error.to_string())
    }
}

/// Whether the case in a file is that of a program.
pub fn is_program(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|found| found == text::EXTENSION)
}

/// The folder of a case's path below the directory of findings.
pub fn folder(file: &str) -> &str {
    file.split_once('/').map_or("", |(folder, _)| folder)
}

/// The engines of a thread.
pub struct Runner<'c, 'a> {
    settings: &'c Settings,
    catalog: &'c Catalog<'a>,
    rig: Rig,
    /// Made when the first program comes.
    programs: Option<ProgramRig>,
}

impl<'c, 'a> Runner<'c, 'a> {
    /// The engines of the settings; the catalog's operations occur in programs.
    ///
    /// # Errors
    /// Why an engine cannot be made, in one line.
    pub fn new(settings: &'c Settings, catalog: &'c Catalog<'a>) -> Result<Self, String> {
        Ok(Self { settings, catalog, rig: Rig::new(&settings.engines)?, programs: None })
    }

    /// Makes the engines anew, after a panic that left them in who knows what state.
    ///
    /// # Errors
    /// As [`Runner::new`].
    pub fn renew(&mut self) -> Result<(), String> {
        self.rig = Rig::new(&self.settings.engines)?;
        self.programs = None;
        Ok(())
    }

    /// Runs the unit that `seed` determines.
    pub fn run(&mut self, subject: &Subject, seed: u64) -> Ran {
        match subject {
            Subject::Form(kop, form) => self.form(*kop, form, seed),
            _ => self.program(subject, seed),
        }
    }

    fn form(&mut self, kop: &dyn Kop, form: &Form, seed: u64) -> Ran {
        let mut behaviour = Behaviour::default();
        let result = run_form(&mut self.rig, (kop, form), seed, self.settings, &mut behaviour);
        let rows = result.counted(self.settings);
        let raw = |(finding, count): &(crate::Finding, u64)| {
            let case = describe::raw_case(kop, form, finding);
            let cause = finding.cause();
            let file = case::path(&case, &cause).display().to_string();
            Raw { cause, file, count: *count, case: RawCase::Operation(Box::new(case)) }
        };
        let findings = result.findings.iter().map(raw).collect();
        Ran { states: rows.iter().map(|row| row.states).sum(), rows, behaviour, findings }
    }

    fn program(&mut self, subject: &Subject, seed: u64) -> Ran {
        let mut ran = Ran::default();
        let mut engines: BTreeMap<&str, u64> = BTreeMap::new();
        let mut warnings = BTreeSet::new();
        let cost = if subject.label() == PROGRAM { STATES_PER_PROGRAM } else { STATES_PER_INSTRUCTIONS };
        let count = self.settings.states.div_ceil(cost) as u64;
        let cases: Vec<ProgramCase> =
            (0..count).filter_map(|number| subject.program(self.catalog, seed, number)).collect();
        let rig = self.programs.get_or_insert_with(|| program_rig(self.settings));
        for case in &cases {
            note_program(case, self.catalog, &mut ran.behaviour);
            let judged = match rig.judge(case, self.catalog) {
                Ok(judged) => judged,
                // A broken program may read what no one defines: nothing can be said of it.
                Err(CaseProblem::Undefined) => continue,
                Err(problem) => {
                    warnings.insert(format!("a generated program is no case: {problem}"));
                    continue;
                }
            };
            ran.states += 1;
            ran.behaviour.note(&["end", &judged.end]);
            let took_part: BTreeSet<&str> = judged.ran.iter().copied().collect();
            took_part.into_iter().for_each(|engine| *engines.entry(engine).or_default() += 1);
            for finding in &judged.findings {
                add(&mut ran.findings, raw_program(subject, case, finding));
            }
        }
        let runs: BTreeMap<&str, Runs> = rig.runs().collect();
        for arch in Arch::ALL {
            let of_arch =
                |engine: &&str| runs.get(engine).is_none_or(|runs| *runs != Runs::Code(other(arch)));
            let own = engines.iter().filter(|(engine, _)| of_arch(engine));
            let code = engines.iter().filter(|(engine, _)| runs.get(*engine) == Some(&Runs::Code(arch)));
            let states = code.map(|(_, count)| *count).max().unwrap_or(0);
            ran.rows.push(Row {
                engines: own.map(|(engine, _)| (*engine).to_owned()).collect(),
                payloads: ran.states,
                states,
                untested: (states == 0).then(|| format!("no engine that executes {arch} code ran it")),
                verdict: kop_reports::RowVerdict::Equivalent,
                warnings: warnings.iter().cloned().collect(),
                ..Row::of_case(subject.label(), &subject.form(), arch.name())
            });
        }
        ran
    }

    /// Makes the case of a finding, in the file `file` below `dir`, as small as it gets; what was found takes long to try for
    /// code that does not end, so that its case stays as it is. `false` when `stop` ended it before, and the case is as it was.
    ///
    /// # Errors
    /// The path and what is wrong with the file.
    pub fn minimise(
        &mut self,
        dir: &Path,
        file: &str,
        cause: &str,
        stop: &dyn Fn() -> bool,
    ) -> Result<bool, String> {
        let path = dir.join(file);
        let fail = |error: String| format!("{}: {error}", path.display());
        if !path.exists() {
            // Somebody has taken it away.
            return Ok(true);
        }
        if is_program(file) {
            return self.minimise_program(dir, file, cause, stop).map_err(fail);
        }
        let case = case::load(&path, self.catalog).map_err(|error| fail(error.to_string()))?;
        self.rig.take_breath();
        let replayed = replay(&mut self.rig, self.catalog, &case).map_err(|error| fail(error.to_string()))?;
        let kop = self.catalog.get(&case.kop).map_err(|error| fail(error.to_string()))?;
        let Some(finding) = replayed.findings.iter().find(|finding| finding.cause() == cause) else {
            // Shown by states in a row, not by one alone.
            return Ok(true);
        };
        let form = kop.forms().iter().find(|form| form.name == case.form.name).unwrap_or(&case.form);
        let small = describe::minimised(&mut self.rig, kop, form, finding, &self.settings.scope, stop);
        let Some((small, _)) = small else { return Ok(false) };
        case::save_minimised(dir, &small, cause).map_err(|error| fail(error.to_string()))?;
        Ok(true)
    }

    fn minimise_program(
        &mut self,
        dir: &Path,
        file: &str,
        cause: &str,
        stop: &dyn Fn() -> bool,
    ) -> Result<bool, String> {
        let case = text::load(&dir.join(file)).map_err(|error| error.to_string())?;
        let rig = self.programs.get_or_insert_with(|| program_rig(self.settings));
        let judged = rig.judge_found(&case, self.catalog).map_err(|problem| problem.to_string())?;
        let is_meant = |found: &&ProgramFinding| cause.ends_with(&program_cause(folder(file), found));
        let Some(finding) = judged.findings.iter().find(is_meant) else { return Ok(true) };
        let small = minimise_until(rig, self.catalog, &case, finding, stop);
        let Some((small, found)) = small else { return Ok(false) };
        let small = ProgramCase { comment: vec![found.to_string()], ..small };
        text::save(&dir.join(folder(file)), &small, cause).map_err(|error| error.to_string())?;
        Ok(true)
    }

    /// The engines for operations and for programs, and what they know of the operations.
    pub fn rigs(&mut self) -> (&mut Rig, &mut ProgramRig) {
        (&mut self.rig, self.programs.get_or_insert_with(|| program_rig(self.settings)))
    }
}

/// The engines of the settings that run programs; all that are here when the settings have all.
fn program_rig(settings: &Settings) -> ProgramRig {
    let all = crate::selection::available().0.len() == settings.engines.len();
    let mut rig = ProgramRig::with(|name| all || settings.engines.iter().any(|engine| engine.name == name));
    rig.sample_llvm(LLVM_ONE_IN);
    rig
}

/// Of how many programs LLVM compiles one: it takes as long as eight programs do without it.
const LLVM_ONE_IN: u64 = 16;

fn other(arch: Arch) -> Arch {
    match arch {
        Arch::X86_64 => Arch::Aarch64,
        Arch::Aarch64 => Arch::X86_64,
    }
}

fn add(findings: &mut Vec<Raw>, raw: Raw) {
    match findings.iter_mut().find(|known| known.file == raw.file) {
        Some(known) => known.count += 1,
        None => findings.push(raw),
    }
}

fn raw_program(subject: &Subject, case: &ProgramCase, finding: &ProgramFinding) -> Raw {
    let folder = subject.label();
    // An instruction's place is where its program happens to keep the result; a program's tells causes apart.
    let of = if folder == INSTRUCTION { subject.form() + " " } else { String::new() };
    let cause = of + &program_cause(folder, finding);
    let comment = vec![finding.to_string(), AS_FOUND.to_owned()];
    let file = PathBuf::from(folder).join(text::file_name(&cause)).display().to_string();
    let case = ProgramCase { comment, ..case.clone() };
    Raw { cause, file, count: 1, case: RawCase::Program(Box::new(case)) }
}

/// What findings of one cause have in common, but for the instruction.
pub fn program_cause(folder: &str, finding: &ProgramFinding) -> String {
    if folder == INSTRUCTION {
        format!("{}/{}", finding.blame, finding.difference.kind)
    } else {
        finding.cause()
    }
}

/// Pairs of neighbouring instructions by kind, and what each becomes in native code.
fn note_program(case: &ProgramCase, catalog: &Catalog, behaviour: &mut Behaviour) {
    for program in &case.object.programs {
        let kinds: Vec<String> = program.flow.insns().iter().map(kind_of).collect();
        kinds.windows(2).for_each(|pair| behaviour.note(&["pair", &pair[0], &pair[1]]));
        let Ok(addresses) = MapAddresses::new(&case.object.maps, Slot::default()) else { continue };
        for (arch, guarded) in Arch::ALL.into_iter().flat_map(|arch| [(arch, true), (arch, false)]) {
            let options = Options {
                arch,
                features: Features::all(arch).without_simd(),
                guarded,
                observe: guarded,
                catalog,
                operations: &case.object.operations,
                emits: true,
                addresses: &addresses,
            };
            let Ok(code) = kop_jit::compile(program, &options) else { continue };
            let ends = code.marks.iter().skip(1).map(|mark| mark.offset as usize).chain([code.bytes.len()]);
            for (mark, end) in code.marks.iter().zip(ends) {
                let kind = kinds.get(mark.index as usize).map_or("-", String::as_str);
                if let Some(bytes) = code.bytes.get(mark.offset as usize..end) {
                    behaviour.note_code(arch, kind, bytes);
                }
            }
        }
    }
}
