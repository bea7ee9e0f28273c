// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop replay`

use std::fmt::Write;
use std::path::{Path, PathBuf};

use kop_harness::case::load_tree;
use kop_harness::program::{ProgramCase, ProgramRig, text};
use kop_harness::{Rig, replay, selection};
use kop_ops::Catalog;

use super::sources::Sources;
use super::{Failure, Outcome, print_all, replay_fuzz};

/// Replay regression cases and list every one that fails
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  kop replay\n  kop replay findings corpus/regressions/rotate\n  kop replay findings --module rotate_x86.c\n  \
                  kop replay --fuzz rotate fuzz/corpus/rotate fuzz/artifacts/rotate"
)]
pub struct Args {
    /// Cases, or inputs of a fuzz target, and directories with some below them
    #[arg(value_name = "PATH", default_value = "corpus/regressions")]
    paths: Vec<PathBuf>,
    /// The engines that take part, separated by commas; all that are here by default (see `kop engines`)
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    engines: Vec<String>,
    #[command(flatten)]
    fuzz: replay_fuzz::Inputs,
    #[command(flatten)]
    sources: Sources,
}

pub fn run(args: &Args) -> Result<Outcome, Failure> {
    if let Some(target) = args.fuzz.target() {
        return replay_fuzz::run(target, &args.fuzz, &args.paths, &args.sources);
    }
    let tally = all(&args.paths, &args.engines, &args.sources)?;
    print_all(tally.to_string().as_bytes())?;
    Ok(tally.outcome())
}

/// What became of the cases.
#[derive(Default)]
pub(super) struct Tally {
    held: usize,
    diverged: usize,
    corrupt: usize,
    /// A line or more for each case that did not hold.
    failures: String,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Tally { held, diverged, corrupt, failures } = self;
        let count = held + diverged + corrupt;
        writeln!(f, "{failures}{count} replayed: {held} held, {diverged} diverged, {corrupt} corrupt")
    }
}

impl Tally {
    pub(super) fn outcome(&self) -> Outcome {
        match (self.diverged, self.corrupt) {
            (0, 0) => Outcome::Equivalent,
            (0, _) => Outcome::Usage,
            _ => Outcome::Divergent,
        }
    }
}

/// Replays every case at or below `paths` on engines of these names, on all when there is no name.
pub(super) fn all(paths: &[PathBuf], engines: &[String], sources: &Sources) -> Result<Tally, Failure> {
    let loaded = sources.load()?;
    let catalog = loaded.everything();
    let names = engines;
    let engines = if names.is_empty() {
        selection::available().0
    } else {
        selection::by_names(names.iter().map(String::as_str))?
    };
    let mut rig = Rig::new(&engines).map_err(Failure::environment)?;
    let (mut held, mut diverged, mut corrupt) = (0, 0, 0);
    let mut output = String::new();
    let is_program = |path: &&PathBuf| path.extension().is_some_and(|found| found == text::EXTENSION);
    let others: Vec<&PathBuf> = paths.iter().filter(|path| !is_program(path)).collect();
    for (path, case) in load_tree(&others, &catalog) {
        let case = match case {
            Ok(case) => case,
            Err(error) => {
                corrupt += 1;
                let _ = writeln!(output, "corrupt    {}: {error}", path.display());
                continue;
            }
        };
        let replayed = replay(&mut rig, &catalog, &case)?;
        if replayed.findings.is_empty() {
            held += 1;
            continue;
        }
        diverged += 1;
        let _ = writeln!(output, "divergent  {}: {}", path.display(), case.title());
        for finding in &replayed.findings {
            let arch = finding.arch.map_or("", |arch| arch.name());
            let _ = writeln!(output, "           {} {arch} {}", finding.kind, finding.message);
        }
    }
    let mut programs = None;
    for (path, case) in text::load_tree(paths) {
        let programs = programs.get_or_insert_with(|| {
            let named = |name: &str| names.is_empty() || names.iter().any(|engine| engine == name);
            let mut rig = ProgramRig::with(named);
            rig.sample_llvm(1);
            rig
        });
        match replay_program(programs, &catalog, &path, case) {
            Replayed::Held => held += 1,
            Replayed::Diverged(lines) => {
                diverged += 1;
                output.push_str(&lines);
            }
            Replayed::Corrupt(line) => {
                corrupt += 1;
                output.push_str(&line);
            }
        }
    }
    Ok(Tally { held, diverged, corrupt, failures: output })
}

/// What became of the case of a program, with what to print.
enum Replayed {
    Held,
    Diverged(String),
    Corrupt(String),
}

fn replay_program(
    rig: &mut ProgramRig,
    catalog: &Catalog,
    path: &Path,
    case: Result<ProgramCase, text::ProgramCaseError>,
) -> Replayed {
    let judged = case.map_err(|error| error.to_string());
    let judged = judged.and_then(|case| rig.judge(&case, catalog).map_err(|problem| problem.to_string()));
    let path = path.display();
    match judged {
        Err(error) => Replayed::Corrupt(format!("corrupt    {path}: {error}\n")),
        Ok(judged) if judged.findings.is_empty() => Replayed::Held,
        Ok(judged) => {
            let mut lines = format!("divergent  {path}\n");
            for finding in &judged.findings {
                let _ = writeln!(lines, "           {finding}");
            }
            Replayed::Diverged(lines)
        }
    }
}
