// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop replay --fuzz`: a fuzzer's inputs, none of which can hide.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kop_harness::check::Progress;
use kop_harness::fuzz::replay::{Replayer, Verdict, answer, files};
use kop_harness::fuzz::{self, Target};

use super::progress::Bar;
use super::sources::Sources;
use super::{Failure, Outcome, print_all};

/// What is said of the same failure of several inputs: the whole of it once.
const SEEN: &str = "as above\n";

/// The options that are about inputs of a fuzz target.
#[derive(clap::Args)]
#[command(next_help_heading = "Inputs of a fuzz target")]
pub struct Inputs {
    /// Replay inputs of this fuzz target instead of cases, each by itself: crashes, too much time and too much memory are findings
    #[arg(long = "fuzz", value_name = "TARGET", requires = "paths", conflicts_with = "engines")]
    target: Option<String>,
    /// How long an input may take
    #[arg(long, value_name = "SECONDS", default_value_t = 25, requires = "target", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// How much memory a process may have in which an input runs
    #[arg(long = "memory", value_name = "MIB", default_value_t = 2560, requires = "target", value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    memory: u64,
    /// Where cases and inputs that fail are saved
    #[arg(long, value_name = "DIR", default_value = "findings", requires = "target")]
    save: PathBuf,
    /// Answer a parent instead
    #[arg(long, hide = true, requires = "target")]
    child: bool,
}

impl Inputs {
    /// The fuzz target.
    pub fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }
}

pub fn run(name: &str, args: &Inputs, paths: &[PathBuf], sources: &Sources) -> Result<Outcome, Failure> {
    let loaded = sources.load()?;
    let planted = if args.child { fuzz::planted_quietly() } else { fuzz::planted() };
    let planted = planted.map_err(Failure::usage)?;
    let catalog = planted.iter().fold(loaded.everything(), |catalog, kop| catalog.and(&**kop));
    let target = Target::find(&catalog, name).map_err(Failure::usage)?;
    if matches!(target, Target::Module | Target::File) && target.kops(&catalog).is_empty() {
        return Err(Failure::usage(format!(
            "the target {target} needs operations: give some by --{target} FILE"
        )));
    }
    if args.child {
        answer(target, &catalog, &args.save).map_err(Failure::output)?;
        return Ok(Outcome::Equivalent);
    }
    let files = files(paths).map_err(Failure::usage)?;
    if files.is_empty() {
        let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(Failure::usage(format!("no input is in {}", paths.join(", "))));
    }
    let replayer = Replayer::new(
        target,
        &catalog,
        &args.save,
        (Duration::from_secs(args.timeout), args.memory << 20),
        child(name, args, sources)?,
    );
    replay(replayer, name, &files)
}

/// This command again, as the child of this process.
fn child(name: &str, args: &Inputs, sources: &Sources) -> Result<Command, Failure> {
    let program = std::env::current_exe().map_err(Failure::environment)?;
    let mut child = Command::new(program);
    // A path is asked for, and is not looked at.
    child.args(["replay", "--child", "--fuzz", name, "-", "--save"]).arg(&args.save).args(sources.words());
    Ok(child)
}

fn replay(mut replayer: Replayer, name: &str, files: &[PathBuf]) -> Result<Outcome, Failure> {
    let progress = Bar::new(None);
    progress.round(files.len());
    let (mut held, mut unreadable) = (0, 0);
    let mut seen = BTreeSet::new();
    let mut failures = Vec::new();
    for path in files {
        match replayer.replay_file(path) {
            Ok(Verdict::Holds) => held += 1,
            Ok(Verdict::Fails { what, report }) => {
                let report = if seen.insert(what.clone()) { report } else { SEEN.to_owned() };
                failures.push((path, what, report));
            }
            Err(error) => {
                unreadable += 1;
                failures.push((path, format!("cannot be replayed: {error}"), String::new()));
            }
        }
        progress.unit(name);
    }
    progress.clear();
    let failed = files.len() - held - unreadable;
    print_all(text(&failures, files.len(), held, failed, unreadable).as_bytes())?;
    Ok(match (failed, unreadable) {
        (0, 0) => Outcome::Equivalent,
        (0, _) => Outcome::Usage,
        _ => Outcome::Divergent,
    })
}

fn text(
    failures: &[(&PathBuf, String, String)],
    all: usize,
    held: usize,
    failed: usize,
    unreadable: usize,
) -> String {
    let mut text = String::new();
    for (path, what, report) in failures {
        let _ = writeln!(text, "fails      {}: {what}", Path::new(path).display());
        report
            .lines()
            .filter(|line| !line.is_empty())
            .for_each(|line| _ = writeln!(text, "           {line}"));
    }
    let _ = writeln!(text, "{all} inputs replayed: {held} held, {failed} failed, {unreadable} not replayed");
    text
}
