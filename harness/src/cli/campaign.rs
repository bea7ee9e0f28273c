// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop campaign`

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kop_harness::campaign::state::State;
use kop_harness::campaign::{self, Build, CampaignError, Limits, Shard, Store, StoreError, Subject};
use kop_harness::check::Settings;
use kop_harness::{Scope, describe, selection};
use kop_reports::{Record, RowVerdict, Verdict};

use super::check::{parse_duration, parse_states, select};
use super::progress::CampaignBars;
use super::sources::Sources;
use super::{Failure, Outcome, print_all, style};

/// Check operations, whole programs and the JIT's instructions for as long as there is time; killed at any moment, it goes on
/// where it was
#[derive(clap::Args, Clone, Default)]
#[command(after_help = "Examples:\n  kop campaign --time 8h --dir nightly\n  \
                        kop campaign --dir nightly --status\n  \
                        kop campaign rotate select --time 10m --no-programs\n  \
                        kop campaign --time 8h --dir part --shard 0/4   on the first of four machines\n\n\
                        Exit codes:\n  \
                        0  no divergence is known to the directory\n  \
                        1  there is one, from this start or an earlier one\n  \
                        2  bad usage; a directory that cannot be written, as it is read-only or the disk is full,\n     \
                        or that holds another campaign or one of another build; what was written down is kept\n  \
                        3  another process works on the directory, or an engine is absent")]
pub struct Args {
    /// The operations (see `kop list`); all by default
    #[arg(value_name = "OP")]
    pub(super) ops: Vec<String>,
    /// Stop after this time, counted from this start: 90s, 10m, 8h; by default Ctrl-C does
    #[arg(long, value_name = "D", value_parser = parse_duration)]
    pub(super) time: Option<Duration>,
    /// Stop when every subject had so many rounds, whatever the time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) rounds: Option<u64>,
    /// Threads; one per core by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) jobs: Option<u16>,
    /// The directory with everything that is known; a campaign that is there is resumed
    #[arg(long, value_name = "DIR", default_value = "campaign")]
    pub(super) dir: PathBuf,
    /// The part of the campaign that is done here, of N parts with numbers from 0
    #[arg(long, value_name = "I/N", default_value_t = Shard::default())]
    pub(super) shard: Shard,
    /// Determines every unit of work; 0 by default, and fixed once the directory is there
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// How many states each row runs on in a unit of work; fixed once the directory is there
    #[arg(long, value_name = "N", value_parser = parse_states)]
    pub(super) states: Option<usize>,
    /// Operations alone, neither programs nor the JIT's instructions
    #[arg(long)]
    pub(super) no_programs: bool,
    /// The engines that take part, separated by commas; all that are here by default (see `kop engines`)
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(super) engines: Vec<String>,
    /// Print what is known and run nothing
    #[arg(long)]
    pub(super) status: bool,
    /// Whether a campaign of another build makes room for a new one.
    #[arg(skip)]
    pub(super) set_aside: bool,
    #[command(flatten)]
    pub(super) sources: Sources,
}

pub fn run(args: &Args) -> Result<Outcome, Failure> {
    if args.status {
        let state = campaign::store::read(&args.dir)?;
        return print_all(campaign::status(&state, &args.dir).as_bytes());
    }
    let ran = start(args)?;
    let mut text = ran.text();
    let _ = writeln!(text, "  report     {}", args.dir.join("report.json").display());
    let raw = ran.state.found.values().filter(|found| !found.minimised).count();
    if raw > 0 {
        let _ =
            writeln!(text, "  as found   {raw} of the cases, which become small when the campaign goes on");
    }
    if ran.interrupted {
        let _ = writeln!(text, "\nstopped; the same command goes on from here: {}", resume());
    }
    print_all(text.as_bytes())?;
    Ok(ran.outcome())
}

/// A campaign that has ended.
pub(super) struct Ran {
    pub record: Record,
    pub state: State,
    pub interrupted: bool,
    /// Where the campaign of another build is that made room for this one.
    pub before: Option<PathBuf>,
}

impl Ran {
    pub fn outcome(&self) -> Outcome {
        match self.record.verdict {
            Verdict::Equivalent => Outcome::Equivalent,
            Verdict::Divergent => Outcome::Divergent,
        }
    }

    /// Rows, divergences and a summary. Of programs and instructions only the rows that diverge are told one by one.
    pub fn text(&self) -> String {
        let style = style();
        let mut text = String::new();
        let is_long =
            |name: &str| [campaign::subject::PROGRAM, campaign::subject::INSTRUCTION].contains(&name);
        for row in &self.record.ops {
            if !is_long(&row.name) || row.verdict == RowVerdict::Divergent {
                let _ = writeln!(text, "{}", kop_reports::row_line(row, style).trim_end());
            }
        }
        for (row, divergence) in self.record.divergences() {
            let _ = writeln!(text, "\n{}", kop_reports::divergence(divergence, row, style).trim_end());
        }
        let mut summary = self.record.clone();
        for row in summary.ops.iter_mut().filter(|row| is_long(&row.name)) {
            row.warnings.clear();
        }
        let _ = writeln!(text, "\n{}", kop_reports::summary(&summary, style).trim_end());
        for failure in &self.state.failures {
            let _ = writeln!(text, "  failure    {failure}");
        }
        text
    }
}

/// Runs a campaign as the arguments say and writes its report.
pub(super) fn start(args: &Args) -> Result<Ran, Failure> {
    let loaded = args.sources.load()?;
    let chosen = select(&loaded.catalog(), &args.ops)?;
    // Programs have sites of all.
    let everything = loaded.everything();
    let subjects = Subject::list(&chosen, !args.no_programs);
    let (seed, states) = (args.seed.unwrap_or(0), args.states.unwrap_or(campaign::DEFAULT_STATES));
    let build = Build::this(&everything, &args.sources.contents());
    let open = || Store::open(&args.dir, || State::new(seed, states, build.clone()));
    let mut store = open()?;
    let mut before = None;
    if args.set_aside && build.difference(&store.state().build).is_some() {
        let name = store.state().build.short();
        before = Some(store.set_aside(&name)?);
        store = open()?;
    }
    check_fixed(args, &build, store.state())?;
    let settings = settings(args, store.state())?;
    let limits = Limits { time: args.time, rounds: args.rounds };
    let interrupted = interrupts()?;
    let bars = CampaignBars::new(&subjects, args.time, &interrupted);
    let ran = campaign::run(&mut store, &everything, &subjects, &settings, args.shard, limits, &bars);
    bars.clear();
    ran?;
    let record = campaign::record(store.state(), &args.dir, &everything, &subjects, &settings);
    let record = record.map_err(Failure::environment)?;
    store.write("report.json", record.to_json().as_bytes())?;
    let interrupted = interrupted.load(Ordering::Relaxed);
    Ok(Ran { record, state: store.state().clone(), interrupted, before })
}

/// What was decided when the directory was made stays so: otherwise units would not be what they are called.
fn check_fixed(args: &Args, build: &Build, state: &State) -> Result<(), Failure> {
    if let Some(difference) = build.difference(&state.build) {
        return Err(Failure::path(
            &args.dir,
            format!(
                "made by another build, {difference} ({}; this is {build}): take another directory; `kop replay {}` \
                 shows which of its findings are left",
                state.build,
                describe::shell_word(&campaign::store::findings(&args.dir).display().to_string())
            ),
        ));
    }
    let differs = |what: &str, known: String, asked: String| {
        let reason = format!("{what} is {known} there, not {asked}: take another directory");
        Err(Failure::path(&args.dir, reason))
    };
    match (args.seed, args.states) {
        (Some(seed), _) if seed != state.seed => differs("--seed", state.seed.to_string(), seed.to_string()),
        (_, Some(states)) if states != state.states => {
            differs("--states", state.states.to_string(), states.to_string())
        }
        _ => Ok(()),
    }
}

fn settings(args: &Args, state: &State) -> Result<Settings, Failure> {
    let engines = if args.engines.is_empty() {
        selection::available().0
    } else {
        selection::by_names(args.engines.iter().map(String::as_str))?
    };
    let defaults = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Settings {
        scope: Scope::default(),
        states: state.states,
        time: args.time,
        engines,
        seed: state.seed,
        jobs: args.jobs.map_or(defaults, usize::from),
        proofs: None,
    })
}

/// Set by the first Ctrl-C or SIGTERM; the second ends the process at once, which loses nothing that is written down.
fn interrupts() -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let second = signal_hook::flag::register_conditional_shutdown(signal, 3, Arc::clone(&flag));
        let first = second.and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)));
        first.map_err(Failure::environment)?;
    }
    Ok(flag)
}

/// The command line as it was given.
fn resume() -> String {
    let words = std::env::args().skip(1).map(|word| describe::shell_word(&word));
    format!("kop {}", words.collect::<Vec<_>>().join(" "))
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Locked(..) => Failure::environment(error),
            _ => Failure::usage(error),
        }
    }
}

impl From<CampaignError> for Failure {
    fn from(error: CampaignError) -> Self {
        match error {
            CampaignError::Store(error) => error.into(),
            CampaignError::Engine(_) => Failure::environment(error),
            CampaignError::Case(_) => Failure::usage(error),
        }
    }
}
