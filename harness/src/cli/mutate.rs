// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop mutate`

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kop_harness::check::DEFAULT_STATES;
use kop_harness::mutate::{Run, Settings, mutate, record};
use kop_harness::{Scope, check, selection};
use kop_ops::Arch;
use kop_reports::{Baseline, Mutant, Mutation, MutationRow, Record};

use super::check::{parse_duration, parse_states, select};
use super::output::Output;
use super::progress::Bar;
use super::sources::Sources;
use super::{Failure, Outcome, print_all};

/// Measure how good a check is: break native code and proof sequences in every small way, and see what finds it
///
/// Each emit is broken instruction by instruction: every register replaced by those of the operands, a scratch register and others of the code,
/// every number one more, one less and with each bit inverted, every condition inverted and replaced by those beside it, every
/// width changed, operands exchanged, instructions left out, doubled and swapped. So is each proof sequence, which is checked in one
/// architecture's row. A mutant changes the code of all payloads that look the same. It is checked as `kop check` checks an
/// operation, until something is found; what the first payloads leave alive is for the prover, and what that does not show to be
/// equivalent goes through the rest of the check.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  kop mutate\n  kop mutate rotate --arch aarch64\n  \
                        kop mutate --file my_op.kop.toml --report mutation.json\n  \
                        kop mutate rotate --only 'imm64 x86_64 emit 0: `rorx'\n\n\
                        What becomes of a mutant:\n  killed      a check finds it, with its default states and engines\n  \
                        equivalent  it is right: the prover shows it for every payload and every input (of very many \
                        payloads, for\n              every immediate in each aliasing pattern)\n  \
                        survived    neither, which is a weakness of one of them\n\n\
                        The exit code is 1 if a mutant survives, if the score is lower than that of --baseline, or if an \
                        operation diverges as it is.")]
pub struct Args {
    /// The operations (see `kop list`); all by default
    #[arg(value_name = "OP")]
    ops: Vec<String>,
    /// One architecture only: x86_64 or aarch64
    #[arg(long, value_name = "A")]
    arch: Option<Arch>,
    /// How many states each mutant is checked on, as in `kop check`
    #[arg(long, value_name = "N", default_value_t = DEFAULT_STATES, value_parser = parse_states)]
    states: usize,
    /// How many mutants of each emit and of each proof are decided at most: of every instruction some, and of every kind of change; 0: all
    #[arg(long, value_name = "N", default_value_t = MOST)]
    most: usize,
    /// Only mutants whose line in the list of survivors holds this text; all of them are listed
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How long the prover may take for one formula: 500ms, 10s
    #[arg(long, value_name = "D", default_value = "10s", value_parser = parse_duration)]
    limit: Duration,
    /// Begin no mutant after so long, and say what is left out: 90s, 20m
    #[arg(long, value_name = "D", value_parser = parse_duration)]
    time: Option<Duration>,
    /// The recorded score, which is not to drop: with fewer kills or more survivors in a row the exit code is 1
    #[arg(long, value_name = "FILE.json")]
    baseline: Option<PathBuf>,
    /// Record the score in the file of --baseline, for the rows of this run
    #[arg(long, requires = "baseline", conflicts_with = "only")]
    bless: bool,
    /// The engines that take part, separated by commas; all that are here by default (see `kop engines`)
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    engines: Vec<String>,
    /// Leave out emits that use SIMD registers
    #[arg(long)]
    no_simd: bool,
    /// Determines payloads and states, as in `kop check`
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Threads; one per core by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Write the record as JSON to a file, or to standard output with -
    #[arg(long, value_name = "FILE.json")]
    report: Option<PathBuf>,
    #[command(flatten)]
    sources: Sources,
}

pub fn run(args: &Args) -> Result<Outcome, Failure> {
    let settings = settings(args)?;
    let loaded = args.sources.load()?;
    let catalog = select(&loaded.catalog(), &args.ops)?;
    let mut report = args.report.as_deref().map(Output::open).transpose()?;
    let bar = Bar::new(None);
    let run = mutate(&catalog, &settings, &bar);
    bar.clear();
    let run = run.map_err(Failure::environment)?;
    let mut record = record(&run, &settings);
    if let (Some(path), Some(mutation)) = (&args.baseline, &mut record.mutation) {
        if args.bless {
            bless(path, mutation)?;
        } else {
            baseline(path)?.compare(mutation);
        }
    }
    if let Some(output) = &mut report {
        output.write(record.to_json().as_bytes())?;
    }
    let learned = loaded.learned();
    let mut text = text(args, &run, &record);
    if !learned.is_empty() {
        text = format!("{learned}\n{text}");
    }
    if args.report.as_deref() == Some(Path::new("-")) {
        // What cannot be said is no reason to fail: the report is written.
        let _ = std::io::stderr().write_all(text.as_bytes());
    } else {
        print_all(text.as_bytes())?;
    }
    let holds = run.holds() && record.mutation.as_ref().is_none_or(Mutation::holds);
    Ok(if holds { Outcome::Equivalent } else { Outcome::Divergent })
}

/// The score in a file.
pub(super) fn baseline(path: &Path) -> Result<Baseline, Failure> {
    let json = fs::read_to_string(path).map_err(|error| Failure::path(path, error))?;
    Baseline::from_json(&json).map_err(|error| Failure::path(path, error))
}

fn bless(path: &Path, mutation: &Mutation) -> Result<(), Failure> {
    let mut recorded = if path.exists() { baseline(path)? } else { Baseline::default() };
    recorded.update(mutation);
    fs::write(path, recorded.to_json()).map_err(|error| Failure::path(path, error))
}

fn settings(args: &Args) -> Result<Settings, Failure> {
    let engines = if args.engines.is_empty() {
        selection::available().0
    } else {
        selection::by_names(args.engines.iter().map(String::as_str))?
    };
    let archs = args.arch.map_or_else(|| Arch::ALL.to_vec(), |arch| vec![arch]);
    let defaults = std::thread::available_parallelism().map_or(1, usize::from);
    let check = check::Settings {
        scope: Scope { archs, simd: !args.no_simd },
        states: args.states,
        time: None,
        engines,
        seed: args.seed,
        jobs: args.jobs.map_or(defaults, usize::from),
        proofs: None,
    };
    // What is looked for by its line is looked for among all.
    let most = (args.most > 0 && args.only.is_none()).then_some(args.most);
    let (limit, only, time) = (args.limit, args.only.clone(), args.time);
    Ok(Settings { check, limit, only, most, time, turn: 0 })
}

/// How many mutants of an emit or a proof are decided at most, unless told otherwise: two cores take less than 20 minutes for the catalog.
pub(super) const MOST: usize = 512;

/// How long the prover may take for one formula, unless told otherwise.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

fn text(args: &Args, run: &Run, record: &Record) -> String {
    let mut text = String::new();
    let Some(mutation) = &record.mutation else { return text };
    for row in &run.divergent {
        let (name, form, arch) = (&row.name, &row.form, row.arch);
        let _ = writeln!(text, "{name} {form} {arch} diverges as it is: {}", row.message);
        let _ = writeln!(text, "  look at it: kop check {}\n", source(args, name, arch.name()));
    }
    if args.only.is_some() {
        for mutated in run.mutated() {
            let _ = writeln!(text, "{}: {}", mutated.line(), mutated.outcome());
        }
        text.push('\n');
    }
    table(&mut text, mutation);
    for mutant in &mutation.survivors {
        survivor(&mut text, args, mutant);
    }
    slowest(&mut text, mutation);
    summary(&mut text, record, mutation);
    text
}

fn table(text: &mut String, mutation: &Mutation) {
    let _ = writeln!(
        text,
        "{:<14} {:<12} {:<8} {:<6} {:>8} {:>8} {:>11} {:>9} {:>7} {:>8}",
        "operation",
        "form",
        "arch",
        "side",
        "mutants",
        "killed",
        "equivalent",
        "survived",
        "score",
        "slowest"
    );
    for row in &mutation.rows {
        let slowest = row.detection_ms.last().map_or_else(|| "-".to_owned(), |ms| milliseconds(*ms));
        let _ = writeln!(
            text,
            "{:<14} {:<12} {:<8} {:<6} {:>8} {:>8} {:>11} {:>9} {:>7} {:>8}",
            row.name,
            row.form,
            row.arch,
            row.side.name(),
            row.mutants,
            row.killed,
            row.equivalent,
            row.survived,
            percent(score(row)),
            slowest
        );
    }
}

/// Of the mutants that are not equivalent, the part that is killed.
fn score(row: &MutationRow) -> Option<f64> {
    Mutation { rows: vec![row.clone()], ..Mutation::default() }.score()
}

/// A part in percent, rounded down: all is all.
fn percent(part: Option<f64>) -> String {
    part.map_or_else(|| "-".to_owned(), |part| format!("{:.1} %", (part * 1000.0).floor() / 10.0))
}

fn milliseconds(ms: f64) -> String {
    if ms < 1000.0 { format!("{ms:.0} ms") } else { format!("{:.1} s", ms / 1000.0) }
}

/// What leads the command line to an operation, on one architecture.
fn source(args: &Args, name: &str, arch: &str) -> String {
    let words = args.sources.words();
    let words = if words.is_empty() { String::new() } else { format!("{} ", words.join(" ")) };
    format!("{words}{name} --arch {arch}")
}

fn survivor(text: &mut String, args: &Args, mutant: &Mutant) {
    let Mutant { name, form, arch, change, payload, .. } = mutant;
    let side = mutant.side.name();
    let undecided = mutant.undecided.as_deref().unwrap_or("not proved");
    let _ = writeln!(text, "\nsurvived: {name} {form} {arch} {side}, {}", mutant.operator);
    let _ = writeln!(text, "  {change}");
    let _ = writeln!(text, "  with {payload}; {undecided}");
    let line = format!("{form} {arch} {side} {change}").replace('\'', "'\\''");
    let _ = writeln!(text, "  look at it: kop mutate {} --only '{line}'", source(args, name, arch));
}

fn slowest(text: &mut String, mutation: &Mutation) {
    const SHOWN: usize = 5;
    if mutation.slowest.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nslowest kills:");
    for mutant in mutation.slowest.iter().take(SHOWN) {
        let Mutant { name, form, arch, change, .. } = mutant;
        let (took, by) =
            (mutant.detection_ms.unwrap_or_default(), mutant.killed_by.as_deref().unwrap_or("-"));
        let _ = writeln!(
            text,
            "  {:>8} {by}: {name} {form} {arch} {} {change}",
            milliseconds(took),
            mutant.side.name()
        );
    }
}

fn summary(text: &mut String, record: &Record, mutation: &Mutation) {
    let sum = |of: fn(&MutationRow) -> u64| mutation.rows.iter().map(of).sum::<u64>();
    let mutants = sum(|row| row.mutants);
    let noun = if mutants == 1 { "mutant" } else { "mutants" };
    let _ = writeln!(
        text,
        "\n{mutants} {noun}: {} killed, {} equivalent, {} survived; score {}",
        sum(|row| row.killed),
        sum(|row| row.equivalent),
        sum(|row| row.survived),
        percent(mutation.score())
    );
    if let (Some(median), Some(slowest)) = (mutation.median_detection_ms(), mutation.detection_ms.last()) {
        let median = format!("{median:.1} ms");
        let _ = writeln!(text, "time to detect: median {median}, slowest {}", milliseconds(*slowest));
    }
    let spent = |of: fn(&MutationRow) -> f64| mutation.rows.iter().map(of).sum::<f64>();
    let (check, prover) = (spent(|row| row.check_s), spent(|row| row.prover_s));
    let _ = writeln!(
        text,
        "time spent: {check:.1} s in checks, {prover:.1} s in the prover, added up over threads"
    );
    for remark in &mutation.remarks {
        let _ = writeln!(text, "note: {remark}");
    }
    for drop in &mutation.dropped {
        let _ = writeln!(text, "mutation score dropped: {drop}");
    }
    let jobs = if record.jobs == 1 { "1 job".to_owned() } else { format!("{} jobs", record.jobs) };
    let _ = writeln!(text, "{:.1} s, {jobs}, seed {}", record.elapsed_s, record.seed);
}
