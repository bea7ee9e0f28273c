// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop bench`

use std::path::PathBuf;

use kop_harness::bench::{self, BenchError, Rounds, Settings, Suite};
use kop_reports::Bench;
use regex::Regex;

use super::output::Output;
use super::progress::Bar;
use super::{Failure, Outcome, print_all};

/// Measure how fast programs run: the kernel's JIT, rbpf's, ours, and clang's native code, in one run
///
/// Every result is checked before it is timed; a wrong one is a failure. The ways to run a program take turns, on one input and on
/// inputs that rotate, and medians are reported. Programs with maps run over their traffic, and only our compilers are compared on
/// them.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  kop bench\n  kop bench --suite apps --report apps.json --html apps.html\n  \
                  kop bench --suite my-programs --filter '^xdp_' --quick\n\n\
                  A folder has NAME.bpf.c or NAME.o, with NAME.bin (a packet) or NAME.pcap (traffic), and NAME.expect (results) where \
                  present; corpus/programs/expect.py says what its lines mean."
)]
pub struct Args {
    /// The programs: micro, apps, or a folder
    #[arg(long, value_name = "micro|apps|DIR", default_value = "micro")]
    suite: String,
    /// Only programs in whose names this regular expression is found
    #[arg(long, value_name = "RE")]
    filter: Option<String>,
    /// Only the ways to run a program in whose names this regular expression is found
    #[arg(long, value_name = "RE")]
    only: Option<String>,
    /// One short round: to see that results are right, not for numbers
    #[arg(long)]
    quick: bool,
    /// Write the record as JSON to a file, or to standard output with -
    #[arg(long, value_name = "FILE.json")]
    report: Option<PathBuf>,
    /// Write one HTML page with bar charts
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// Makes a report of a record.
type Render = fn(&Bench) -> String;

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Self {
        match error {
            BenchError::Input(_) => Failure::usage(error),
            BenchError::Environment(_) => Failure::environment(error),
        }
    }
}

/// The regular expression that an option has.
fn regex(option: &str, text: Option<&str>) -> Result<Option<Regex>, Failure> {
    let regex = text.map(Regex::new).transpose();
    regex.map_err(|_| Failure::usage(format!("{option}: no regular expression")))
}

pub fn run(args: &Args) -> Result<Outcome, Failure> {
    let filter = regex("--filter", args.filter.as_deref())?;
    let only = regex("--only", args.only.as_deref())?;
    let renderings: [(&Option<PathBuf>, Render); 3] =
        [(&args.report, Bench::to_json), (&args.html, Bench::html), (&args.markdown, Bench::markdown)];
    let mut outputs = Vec::new();
    for (path, render) in renderings.iter().filter_map(|(path, render)| Some((path.as_deref()?, render))) {
        outputs.push((Output::open(path)?, render));
    }
    let to_stdout = outputs.iter().any(|(output, _)| matches!(output, Output::Stdout));
    let rounds = if args.quick { Rounds::SHORT } else { Rounds::FULL };
    let settings = Settings { suite: Suite::from(args.suite.as_str()), filter, only, rounds };
    let bar = Bar::new(None);
    let bench = bench::run(&settings, &bar);
    bar.clear();
    let bench = bench?;
    for (output, render) in &mut outputs {
        output.write(render(&bench).as_bytes())?;
    }
    if !to_stdout {
        print_all(bench.text().as_bytes())?;
    }
    Ok(if bench.failures.is_empty() { Outcome::Equivalent } else { Outcome::Divergent })
}
