// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop check`

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kop_harness::check::{DEFAULT_STATES, Proofs, Settings, check};
use kop_harness::prove::Cache;
use kop_harness::{Scope, describe, selection};
use kop_ops::{Arch, Catalog};
use kop_reports::{Record, Timings, Verdict};

use super::output::Output;
use super::progress::Bar;
use super::sources::{Loaded, Sources};
use super::{Failure, Outcome, print_all, style};

/// Decide for every form of every operation whether native code and proof sequence agree
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  kop check\n  kop check rotate select --arch x86_64 --states 200000\n  \
                        kop check --time 60s --report report.json --save findings\n  \
                        kop check --engines rbpf,unicorn-aarch64 --no-simd -v")]
pub struct Args {
    /// The operations (see `kop list`); all by default
    #[arg(value_name = "OP")]
    ops: Vec<String>,
    /// One architecture only: x86_64 or aarch64
    #[arg(long, value_name = "A")]
    arch: Option<Arch>,
    /// How many states each row runs on, or more where few payloads have some code; a row is an operation, form and architecture
    #[arg(long, value_name = "N", default_value_t = DEFAULT_STATES, value_parser = parse_states)]
    states: usize,
    /// Go on with further seeds for this long: 90s, 10m, 2h
    #[arg(long, value_name = "D", value_parser = parse_duration)]
    time: Option<Duration>,
    /// The engines that take part, separated by commas; all that are here by default (see `kop engines`)
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    engines: Vec<String>,
    /// Leave out emits that use SIMD registers
    #[arg(long)]
    no_simd: bool,
    /// Determines payloads and states: the same seed checks the same
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Threads; one per core by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Write the record as JSON to a file, or to standard output with -
    #[arg(long, value_name = "FILE.json")]
    report: Option<PathBuf>,
    /// Save a case for each divergence, to be replayed, as soon as it is found
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// Show how often each class of operands and values occurred
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    sources: Sources,
}

pub(super) fn parse_states(text: &str) -> Result<usize, String> {
    match text.replace('_', "").parse::<usize>() {
        Ok(0) => Err("at least one state is needed".to_owned()),
        Ok(states) if states > 1 << 32 => Err("at most 4294967296 states; use --time for more".to_owned()),
        Ok(states) => Ok(states),
        Err(error) => Err(error.to_string()),
    }
}

pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "s" | "" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("unknown unit `{unit}` (ms, s, m or h)")),
    };
    let seconds: f64 = number.parse().map_err(|_| format!("`{text}` is no duration, such as 90s or 10m"))?;
    Duration::try_from_secs_f64(seconds * scale).map_err(|error| error.to_string())
}

pub fn run(args: &Args) -> Result<Outcome, Failure> {
    let settings = settings(args)?;
    let loaded = args.sources.load()?;
    let catalog = select(&loaded.catalog(), &args.ops)?;
    let mut report = args.report.as_deref().map(Output::open).transpose()?;
    if let Some(dir) = &args.save {
        std::fs::create_dir_all(dir).map_err(|error| Failure::path(dir, error))?;
        tempfile::NamedTempFile::new_in(dir).map_err(|error| Failure::path(dir, error))?;
    }
    let bar = Bar::new(settings.time);
    let unsaved: Mutex<Option<String>> = Mutex::new(None);
    let checked = check(&catalog, &settings, &bar, &|kop, form, finding| {
        if let Some(dir) = &args.save
            && let Err(error) = describe::save_raw(dir, kop, form, finding)
        {
            *unsaved.lock().expect("no thread panics") = Some(error);
        }
    });
    bar.clear();
    let checked = checked.map_err(Failure::environment)?;
    let mut record = checked.record(&settings, args.save.as_deref()).map_err(Failure::environment)?;
    record.timings = loaded.timings().map(|spent| Timings {
        compile_s: Some(seconds(spent.compile)),
        learn_s: Some(seconds(spent.learn)),
        check_s: Some(record.elapsed_s),
    });
    if let Some(output) = &mut report {
        output.write(record.to_json().as_bytes())?;
    }
    let to_stdout = args.report.as_deref() == Some(Path::new("-"));
    let text = text(&loaded, &record, args.verbose);
    if to_stdout {
        // What cannot be said is no reason to fail: the report is written.
        let _ = std::io::stderr().write_all(text.as_bytes());
    } else {
        print_all(text.as_bytes())?;
    }
    if let Some(error) = unsaved.into_inner().expect("no thread panics") {
        return Err(Failure::usage(error));
    }
    Ok(match record.verdict {
        Verdict::Equivalent => Outcome::Equivalent,
        Verdict::Divergent => Outcome::Divergent,
    })
}

pub(super) fn select<'a>(catalog: &Catalog<'a>, names: &[String]) -> Result<Catalog<'a>, Failure> {
    if names.is_empty() {
        return Ok(catalog.clone());
    }
    let mut chosen = Catalog::empty();
    for name in names {
        chosen = chosen.and(catalog.get(name)?);
    }
    Ok(chosen)
}

fn settings(args: &Args) -> Result<Settings, Failure> {
    let engines = if args.engines.is_empty() {
        selection::available().0
    } else {
        selection::by_names(args.engines.iter().map(String::as_str))?
    };
    let archs = args.arch.map_or_else(|| Arch::ALL.to_vec(), |arch| vec![arch]);
    let defaults = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Settings {
        scope: Scope { archs, simd: !args.no_simd },
        states: args.states,
        time: args.time,
        engines,
        seed: args.seed,
        jobs: args.jobs.map_or(defaults, usize::from),
        proofs: known_proofs(),
    })
}

/// What `kop prove` has proved before.
fn known_proofs() -> Option<Arc<dyn Proofs>> {
    let cache = Cache::load(&Cache::path()?);
    (!cache.is_empty()).then(|| Arc::new(cache) as Arc<dyn Proofs>)
}

/// Seconds to the millisecond.
fn seconds(spent: Duration) -> f64 {
    (spent.as_secs_f64() * 1000.0).round() / 1000.0
}

fn text(loaded: &Loaded, record: &Record, verbose: bool) -> String {
    let style = style();
    let mut text = loaded.learned();
    if !text.is_empty() {
        text.push('\n');
    }
    for row in &record.ops {
        let _ = writeln!(text, "{}", kop_reports::row_line(row, style).trim_end());
        if verbose {
            let _ = writeln!(text, "{}", kop_reports::verbose_classes(row).trim_end());
            for warning in &row.warnings {
                let _ = writeln!(text, "    warning: {warning}");
            }
        }
    }
    for (row, divergence) in record.divergences() {
        let _ = writeln!(text, "\n{}", kop_reports::divergence(divergence, row, style).trim_end());
    }
    let _ = writeln!(text, "\n{}", kop_reports::summary(record, style).trim_end());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, seconds) in
            [("90s", 90.0), ("10m", 600.0), ("2h", 7200.0), ("500ms", 0.5), ("3", 3.0), ("1.5s", 1.5)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for bad in ["", "s", "1d", "-1s", "1e99h", "nan"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
