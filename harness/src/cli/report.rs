// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop report`

use std::io::Read as _;
use std::path::{Path, PathBuf};

use kop_reports::{Bench, Comparison, Date, Judged, KnownList, Record, html, junit, markdown, sarif, svg};

use super::output::Output;
use super::{Failure, Outcome, print_all, style};

/// Render the records of runs: as text, HTML, Markdown, JUnit XML, SARIF or JSON, or compare two
///
/// Records are what `--report` of `kop check`, `kop prove`, `kop mutate` and other commands writes. Several are joined: a row that more than
/// one has keeps the worse verdict and the counts of all, and each divergence once. A record of `kop bench` is rendered by itself, as text,
/// HTML, Markdown or JSON.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  kop report report.json\n  kop report report.json --html report.html --junit junit.xml\n  \
                  kop report check.json prove.json --known known.toml --markdown - >> \"$GITHUB_STEP_SUMMARY\"\n  \
                  kop report --compare yesterday.json today.json\n\n\
                  Exit codes:\n  \
                  0  nothing diverges but what is known; with --compare, nothing got worse\n  \
                  1  a divergence, a mutant that survived, an entry of --known that expired, or whose row was\n     \
                  run and has no such divergence; with --compare, something got worse\n  \
                  2  a file that is no record or no list, or cannot be read or written"
)]
pub struct Args {
    /// The records; - is standard input
    #[arg(value_name = "RECORD", required = true)]
    records: Vec<PathBuf>,
    /// Show what changed from the first record to the second, as text and Markdown
    #[arg(long, conflicts_with_all = ["html", "junit", "sarif", "svg", "json"])]
    compare: bool,
    /// Known divergences, as TOML: each with a reason and the last day on which it is no failure
    #[arg(long, value_name = "FILE.toml")]
    known: Option<PathBuf>,
    /// Write plain text to a file, or to standard output with -; this is what is printed without any option
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Write one self-contained HTML file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write Markdown, for the summary of a job on GitHub
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write JUnit XML: a row is a test case
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write SARIF 2.1.0: a result points at the operation's source
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
    /// Write a picture of memory, states per second and new behaviour over the time of the run, as far as the record has them
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write the joined record, with known divergences marked
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Makes a report of a record.
type Render<'a> = &'a dyn Fn(&Record) -> String;

/// Makes a report of the record of a benchmark.
type RenderBench = fn(&Bench) -> String;

pub fn run(args: &Args) -> Result<Outcome, Failure> {
    let known = args.known.as_deref().map(list).transpose()?;
    let inputs =
        args.records.iter().map(|path| Ok((path, read(path)?))).collect::<Result<Vec<_>, Failure>>()?;
    if let Some((path, json)) = inputs.iter().find(|(_, json)| Bench::is(json)) {
        let bench = Bench::from_json(json).map_err(|error| Failure::path(path, error))?;
        return self::bench(args, path, &bench);
    }
    let parse = |(path, json): &(&PathBuf, String)| {
        Record::from_json(json).map_err(|error| Failure::path(path, error))
    };
    let records = inputs.iter().map(parse).collect::<Result<Vec<Record>, Failure>>()?;
    if args.compare {
        return compare(args, records, known.as_ref());
    }
    let mut record = Record::join(records).ok_or_else(|| Failure::usage("no record was named"))?;
    let judged = apply(known.as_ref(), &mut record);
    let text = |record: &Record| kop_reports::report(record, style());
    let plain = |record: &Record| kop_reports::report(record, Default::default());
    let curves = svg(&record);
    if args.svg.is_some() && curves.is_none() {
        return Err(Failure::usage(
            "--svg: the record has no samples over time; those of check and campaign do",
        ));
    }
    let curves = |_: &Record| curves.clone().unwrap_or_default();
    let wanted: [(&Option<PathBuf>, Render); 7] = [
        (&args.text, &plain),
        (&args.html, &html),
        (&args.markdown, &markdown),
        (&args.junit, &junit),
        (&args.sarif, &sarif),
        (&args.svg, &curves),
        (&args.json, &Record::to_json),
    ];
    check_outputs(wanted.iter().map(|(path, _)| path.as_deref()))?;
    let mut silent = true;
    for (path, render) in wanted.iter().filter_map(|(path, render)| Some((path.as_deref()?, render))) {
        Output::open(path)?.write(render(&record).as_bytes())?;
        silent = false;
    }
    if silent {
        print_all(text(&record).as_bytes())?;
    }
    tell(&judged);
    Ok(outcome(record.holds() && judged.complaints.is_empty()))
}

/// The record of a benchmark, which nothing is joined with.
fn bench(args: &Args, path: &Path, bench: &Bench) -> Result<Outcome, Failure> {
    let others = [&args.junit, &args.sarif, &args.svg, &args.known].into_iter().any(Option::is_some);
    if args.records.len() > 1 || args.compare || others {
        return Err(Failure::path(
            path,
            "a record of `kop bench` is rendered by itself, with --text, --html, --markdown or --json",
        ));
    }
    let wanted: [(&Option<PathBuf>, RenderBench); 4] = [
        (&args.text, Bench::text),
        (&args.html, Bench::html),
        (&args.markdown, Bench::markdown),
        (&args.json, Bench::to_json),
    ];
    check_outputs(wanted.iter().map(|(path, _)| path.as_deref()))?;
    let mut silent = true;
    for (path, render) in wanted.iter().filter_map(|(path, render)| Some((path.as_deref()?, render))) {
        Output::open(path)?.write(render(bench).as_bytes())?;
        silent = false;
    }
    if silent {
        print_all(bench.text().as_bytes())?;
    }
    Ok(outcome(bench.failures.is_empty()))
}

/// What changed from the first record to the second.
fn compare(args: &Args, records: Vec<Record>, known: Option<&KnownList>) -> Result<Outcome, Failure> {
    let count = records.len();
    let [old, mut new] = <[Record; 2]>::try_from(records).map_err(|_| {
        Failure::usage(format!("--compare takes two records, an old one and a new one, not {count}"))
    })?;
    let judged = apply(known, &mut new);
    let comparison = Comparison::new(&old, &new);
    check_outputs([args.text.as_deref(), args.markdown.as_deref()])?;
    if let Some(path) = &args.text {
        Output::open(path)?.write(comparison.text(Default::default()).as_bytes())?;
    }
    if let Some(path) = &args.markdown {
        Output::open(path)?.write(comparison.markdown().as_bytes())?;
    }
    if args.text.is_none() && args.markdown.is_none() {
        print_all(comparison.text(style()).as_bytes())?;
    }
    tell(&judged);
    Ok(outcome(!comparison.is_worse() && judged.complaints.is_empty()))
}

fn outcome(holds: bool) -> Outcome {
    if holds { Outcome::Equivalent } else { Outcome::Divergent }
}

/// Two reports in one stream, or in one file, are none.
fn check_outputs<'a>(paths: impl IntoIterator<Item = Option<&'a Path>>) -> Result<(), Failure> {
    let mut seen: Vec<&Path> = Vec::new();
    for path in paths.into_iter().flatten() {
        if seen.contains(&path) {
            return Err(Failure::usage(format!("{}: named for two reports", path.display())));
        }
        seen.push(path);
    }
    Ok(())
}

fn apply(known: Option<&KnownList>, record: &mut Record) -> Judged {
    known.map_or_else(Judged::default, |known| known.apply(record, Date::today()))
}

/// What became of a list goes to standard error, a line each, so that it does not get into a report.
fn tell(judged: &Judged) {
    for line in judged.complaints.iter().chain(&judged.notes) {
        eprintln!("kop: {line}");
    }
}

fn list(path: &Path) -> Result<KnownList, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::path(path, error))?;
    KnownList::parse(&text).map_err(|error| Failure::path(path, error))
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut json = String::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin().read_to_string(&mut json).map(drop),
        false => std::fs::read_to_string(path).map(|text| json = text),
    };
    read.map_err(|error| Failure::path(path, error))?;
    Ok(json)
}
