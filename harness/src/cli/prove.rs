// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop prove`

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use kop_harness::prove::{Cache, Settings, jit, open_certificates, prove, record};
use kop_harness::{Scope, describe, selection};
use kop_ops::Arch;
use kop_reports::{ProofVerdict, Record};

use super::check::{parse_duration, select};
use super::output::Output;
use super::progress::Bar;
use super::sources::{Loaded, Sources};
use super::{Failure, Outcome, print_all, style};

/// Prove for every payload and every input that native code does what the proof sequence says
///
/// Both forms become formulas: the proof sequence, and the bytes that the emit really produced, decoded and given meaning by this
/// project's semantics. What normalising does not show to be equal, a solver decides, and its proof is checked. A
/// counterexample is shown on the engines like any divergence. How the callbacks answer (sizing, limits, CPU features, which payloads
/// are accepted) is looked at for every payload, as `kop check` does for some.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  kop prove\n  kop prove rotate --arch aarch64\n  \
                        kop prove select --payload 0x21043 --certificate proofs\n  \
                        kop prove --module my_op_x86.c --report proof.json\n  \
                        kop prove --jit --arch x86_64\n\n\
                        Verdicts:\n  proved       every payload, for every input\n  \
                        partial      every payload that was looked at: there are too many, or some were named\n  \
                        refuted      a payload has an input for which the two forms differ\n  \
                        unsupported  no formula can be made of some payload\n  \
                        timeout      some payload was not decided in time\n\n\
                        The exit code is 0 when every row is proved or partial: nothing that was looked at is wrong. What is left of a \
                        partial row is in the report as payloads of payloads_total.\n\n\
                        With --jit a row is a form of eBPF instruction, or some that the JIT may make one of, and payloads are \
                        instructions. Every pair of registers is looked at, in programs in which the instruction is compiled \
                        differently, without CPU features and with all but SIMD. Immediates, offsets and distances of jumps are those \
                        at which encodings change; where there are others, the row is partial. Forms that are not proved by \
                        themselves are unsupported, with the reason, and no failure.")]
pub struct Args {
    /// The operations (see `kop list`); all by default
    #[arg(value_name = "OP")]
    ops: Vec<String>,
    /// Prove the JIT instead of operations: every form of eBPF instruction that it compiles, as it stands in programs. Its code
    /// owns r9, r10 and r11, or x9 to x13, and the flags
    #[arg(long, conflicts_with_all = ["ops", "certificate", "engines", "no_simd", "save", "Sources"])]
    jit: bool,
    /// One architecture only: x86_64 or aarch64
    #[arg(long, value_name = "A")]
    arch: Option<Arch>,
    /// Write each formula with its proof into a directory, for independent checkers: DIMACS, LRAT and a manifest
    #[arg(long, value_name = "DIR")]
    certificate: Option<PathBuf>,
    /// How long one formula may take: 90s, 10m
    #[arg(long, value_name = "D", default_value = "60s", value_parser = parse_duration)]
    timeout: Duration,
    /// Prove everything anew: neither use nor extend what earlier runs have proved (kept below `KOP_CACHE`, or the user's cache directory)
    #[arg(long)]
    no_cache: bool,
    /// The engines that counterexamples are shown on, separated by commas; all that are here by default
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    engines: Vec<String>,
    /// Leave out emits that use SIMD registers
    #[arg(long)]
    no_simd: bool,
    /// Threads; one per core by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Write the record as JSON to a file, or to standard output with -
    #[arg(long, value_name = "FILE.json")]
    report: Option<PathBuf>,
    /// Save a case for each counterexample that an engine confirms
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    #[command(flatten)]
    sources: Sources,
}

pub fn run(args: &Args) -> Result<Outcome, Failure> {
    if args.jit {
        return run_jit(args);
    }
    let settings = settings(args)?;
    let loaded = args.sources.load_with_payloads()?;
    let catalog = select(&loaded.catalog(), &args.ops)?;
    let is_known = |payload: &u64| catalog.forms().any(|(_, form)| form.layout.decode(*payload).is_ok());
    if let Some(payload) = settings.payloads.iter().find(|payload| !is_known(payload)) {
        return Err(Failure::usage(format!("no form of these operations has the payload {payload:#x}")));
    }
    let mut report = args.report.as_deref().map(Output::open).transpose()?;
    if let Some(dir) = &args.save {
        std::fs::create_dir_all(dir).map_err(|error| Failure::path(dir, error))?;
        tempfile::NamedTempFile::new_in(dir).map_err(|error| Failure::path(dir, error))?;
    }
    if let Some(dir) = &args.certificate {
        open_certificates(dir).map_err(Failure::usage)?;
    }
    let start = Instant::now();
    let bar = Bar::new(None);
    let unsaved: Mutex<Option<String>> = Mutex::new(None);
    let proved = prove(&catalog, &settings, &bar, &|kop, form, finding| {
        if let Some(dir) = &args.save
            && let Err(error) = describe::save_raw(dir, kop, form, finding)
        {
            *unsaved.lock().expect("no thread panics") = Some(error);
        }
    });
    bar.clear();
    let proved = proved.map_err(Failure::environment)?;
    let record =
        record(&proved, &settings, start.elapsed(), args.save.as_deref()).map_err(Failure::environment)?;
    tell(args, &mut report, &record, &learned(&loaded))?;
    if let Some(error) = unsaved.into_inner().expect("no thread panics") {
        return Err(Failure::usage(error));
    }
    let holds = |verdict| matches!(verdict, ProofVerdict::Proved | ProofVerdict::Partial);
    let all = record.ops.iter().all(|row| row.proof.as_ref().is_some_and(|proof| holds(proof.verdict)));
    Ok(if all { Outcome::Equivalent } else { Outcome::Divergent })
}

fn run_jit(args: &Args) -> Result<Outcome, Failure> {
    let settings = jit::Settings { archs: archs(args), limit: args.timeout, jobs: jobs(args), planted: None };
    let mut report = args.report.as_deref().map(Output::open).transpose()?;
    let start = Instant::now();
    let bar = Bar::new(None);
    let proved = jit::prove(&settings, |_| true, &bar);
    bar.clear();
    let proved = proved.map_err(Failure::environment)?;
    tell(args, &mut report, &jit::record(&proved, &settings, start.elapsed()), "")?;
    let all = proved.iter().all(jit::Proved::holds);
    Ok(if all { Outcome::Equivalent } else { Outcome::Divergent })
}

/// Writes the record where it is wanted, and prints it behind `first`.
fn tell(args: &Args, report: &mut Option<Output>, record: &Record, first: &str) -> Result<(), Failure> {
    if let Some(output) = report {
        output.write(record.to_json().as_bytes())?;
    }
    let text = text(first, record);
    if args.report.as_deref() == Some(Path::new("-")) {
        // What cannot be said is no reason to fail: the report is written.
        let _ = std::io::stderr().write_all(text.as_bytes());
        return Ok(());
    }
    print_all(text.as_bytes()).map(drop)
}

fn archs(args: &Args) -> Vec<Arch> {
    args.arch.map_or_else(|| Arch::ALL.to_vec(), |arch| vec![arch])
}

fn jobs(args: &Args) -> usize {
    args.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
}

fn settings(args: &Args) -> Result<Settings, Failure> {
    let engines = if args.engines.is_empty() {
        selection::available().0
    } else {
        selection::by_names(args.engines.iter().map(String::as_str))?
    };
    Ok(Settings {
        scope: Scope { archs: archs(args), simd: !args.no_simd },
        payloads: args.sources.payloads().to_vec(),
        limit: args.timeout,
        certificates: args.certificate.clone(),
        cache: if args.no_cache { None } else { Cache::path() },
        engines,
        jobs: jobs(args),
    })
}

/// What was found out about operations from outside, and an empty line.
fn learned(loaded: &Loaded) -> String {
    let text = loaded.learned();
    if text.is_empty() { text } else { format!("{text}\n") }
}

fn text(first: &str, record: &Record) -> String {
    let style = style();
    let mut text = first.to_owned();
    let _ = writeln!(text, "{}", kop_reports::proof_header(style));
    for row in &record.ops {
        let _ = writeln!(text, "{}", kop_reports::proof_line(row, style).trim_end());
    }
    for row in &record.ops {
        for divergence in &row.divergences {
            let _ = writeln!(text, "\n{}", kop_reports::divergence(divergence, row, style).trim_end());
        }
    }
    let _ = writeln!(text, "\n{}", kop_reports::proof_summary(record, style).trim_end());
    text
}
