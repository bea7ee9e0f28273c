// SPDX-License-Identifier: GPL-2.0-or-later
//! Campaigns: all operations, whole programs and the JIT's instructions, for as long as there is time, on all cores and on many
//! machines, killed at any moment and resumed.
//!
//! The unit of work is a [`Subject`] and a round. What it does follows from the campaign's seed, the subject's name and the
//! round, so that each unit can be repeated alone and the set of units does not depend on threads or machines
//! ([`Shard`]). [`schedule`] says who is next, [`store`] what is on disk and when, [`state`] what is known.

mod build;
mod journal;
mod memory;
mod merge;
mod report;
mod runner;
pub mod schedule;
pub mod shard;
pub mod state;
mod status;
pub mod store;
pub mod subject;
mod totals;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use kop_ops::Catalog;

use crate::check::Settings;
use runner::{Ran, Runner};
use schedule::Candidate;
use state::{Line, Sample, State, Unit};

pub use build::Build;
pub use memory::resident_kib;
pub use merge::{Merged, merge};
pub use report::record;
pub use shard::Shard;
pub use status::{number, sparkline, status, time};
pub use store::{Store, StoreError};
pub use subject::{Group, Subject};

/// The states of each row in a unit unless told otherwise.
pub const DEFAULT_STATES: usize = 5000;

/// How often speed and memory are written down at first, and later.
const SAMPLING: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(60)];

/// Until when it is at first.
const AT_FIRST: Duration = Duration::from_secs(600);

/// When to stop. Nothing of it is part of the campaign: it may be another one after each start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// After this time, from this start.
    pub time: Option<Duration>,
    /// When every subject had so many rounds, of all shards together.
    pub rounds: Option<u64>,
}

/// Why a campaign ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum CampaignError {
    /// The directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An engine cannot be made.
    #[error("{0}")]
    Engine(String),
    /// A case cannot be read or written.
    #[error("{0}")]
    Case(String),
}

/// Hears how far a campaign is; called from any thread.
pub trait Watch: Sync {
    /// A unit is done; `state` knows of it.
    fn unit(&self, _subject: &Subject, _unit: &Unit, _state: &State) {}
    /// A finding of a new cause is on disk.
    fn found(&self, _subject: &Subject, _file: &str, _cause: &str) {}
    /// Whether somebody wants it to end: units that run are finished, nothing new is begun.
    fn is_interrupted(&self) -> bool {
        false
    }
}

/// A campaign that runs.
struct Campaign<'c, 'a> {
    subjects: &'c [Subject<'a>],
    names: Vec<String>,
    members: BTreeMap<Group, u64>,
    shard: Shard,
    limits: Limits,
    start: Instant,
    /// How long it ran before this start, in milliseconds.
    before_ms: u64,
    seed: u64,
    shared: Mutex<Shared<'c>>,
    watch: &'c dyn Watch,
}

/// What threads share.
struct Shared<'c> {
    store: &'c mut Store,
    /// Rounds that run now, by subject.
    running: Vec<BTreeSet<u64>>,
    /// The case that is being made small.
    minimising: Option<String>,
    sampled: Option<Instant>,
    /// The most memory that the process had when a thread was done, its engines included, in KiB.
    left_kib: u64,
    /// Why all end.
    failed: Option<CampaignError>,
}

/// What a thread does next.
enum Task {
    Unit { subject: usize, n: u64 },
    Minimise { file: String, cause: String },
    Wait,
}

/// Runs the units of `subjects` that are not done, until a limit is reached, on `settings.jobs` threads. `settings.seed` and
/// `settings.states` are those of the state. `catalog` has the operations of cases and programs.
///
/// # Errors
/// [`CampaignError`].
pub fn run<'a>(
    store: &mut Store,
    catalog: &Catalog<'a>,
    subjects: &[Subject<'a>],
    settings: &Settings,
    shard: Shard,
    limits: Limits,
    watch: &dyn Watch,
) -> Result<(), CampaignError> {
    let known = merge::shard_counts(store.state());
    if known.iter().any(|count| *count != shard.count()) {
        let reason = format!(
            "its units are divided into {} shards, not {}",
            known.iter().next().unwrap_or(&1),
            shard.count()
        );
        return Err(StoreError::Other(store.dir().to_owned(), reason).into());
    }
    let settings = &Settings { seed: store.state().seed, states: store.state().states, ..settings.clone() };
    let jobs = settings.jobs.max(1);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs).build();
    let pool = pool.map_err(|error| CampaignError::Engine(error.to_string()))?;
    store.append(&Line::Start)?;
    let mut members = BTreeMap::new();
    subjects.iter().for_each(|subject| *members.entry(subject.group()).or_default() += 1);
    let campaign = Campaign {
        subjects,
        names: subjects.iter().map(ToString::to_string).collect(),
        members,
        shard,
        limits,
        start: Instant::now(),
        before_ms: store.state().elapsed_ms,
        seed: settings.seed,
        shared: Mutex::new(Shared {
            store,
            running: vec![BTreeSet::new(); subjects.len()],
            minimising: None,
            sampled: None,
            left_kib: 0,
            failed: None,
        }),
        watch,
    };
    pool.broadcast(|_| campaign.work(settings, catalog));
    let mut shared = campaign.shared.into_inner().expect("no thread panics");
    if let Some(error) = shared.failed.take() {
        return Err(error);
    }
    // What the engines took is part of it, and they are gone.
    let last = sample(shared.store.state(), campaign.before_ms + millis(campaign.start));
    let last = Sample { rss_kib: last.rss_kib.max(shared.left_kib), ..last };
    Ok(shared.store.append(&Line::Sample(last))?)
}

fn millis(start: Instant) -> u64 {
    start.elapsed().as_millis() as u64
}

fn sample(state: &State, at_ms: u64) -> Sample {
    Sample {
        at_ms,
        states: state.states_run(),
        units: state.units(),
        marks: state.marks(),
        rss_kib: resident_kib(),
    }
}

impl<'c, 'a> Campaign<'c, 'a> {
    /// A thread's work until there is none.
    fn work(&self, settings: &Settings, catalog: &Catalog<'a>) {
        let mut runner = match Runner::new(settings, catalog) {
            Ok(runner) => runner,
            Err(reason) => return self.fail(CampaignError::Engine(reason)),
        };
        while let Some(task) = self.next() {
            let done = match task {
                Task::Wait => {
                    std::thread::sleep(Duration::from_millis(20));
                    Ok(())
                }
                Task::Minimise { file, cause } => {
                    let dir = self.lock().store.findings();
                    let stop = || self.is_over() || self.watch.is_interrupted();
                    let tried = AssertUnwindSafe(|| runner.minimise(&dir, &file, &cause, &stop));
                    let minimised = match catch_unwind(tried) {
                        Ok(minimised) => minimised.map_err(CampaignError::Case),
                        // The case stays as it was found.
                        Err(_) => runner.renew().map_err(CampaignError::Engine).map(|()| true),
                    };
                    minimised.and_then(|is_done| self.minimised(&file, is_done))
                }
                Task::Unit { subject, n } => self.unit(&mut runner, subject, n),
            };
            if let Err(error) = done {
                self.fail(error);
            }
        }
        let mut shared = self.lock();
        shared.left_kib = shared.left_kib.max(resident_kib());
    }

    fn lock(&self) -> MutexGuard<'_, Shared<'c>> {
        self.shared.lock().expect("no thread panics while it holds the lock")
    }

    fn fail(&self, error: CampaignError) {
        self.lock().failed.get_or_insert(error);
    }

    /// Whether the time is over.
    fn is_over(&self) -> bool {
        self.limits.time.is_some_and(|time| self.start.elapsed() >= time)
    }

    /// What to do next; `None` when all is done.
    fn next(&self) -> Option<Task> {
        let mut shared = self.lock();
        if shared.failed.is_some() || self.watch.is_interrupted() {
            return None;
        }
        let is_over = self.is_over();
        // One thread makes cases small, the others go on. What is left when the time is over is done after the next start.
        let waiting = shared.next_to_minimise(&self.names).filter(|_| !is_over);
        if let (Some((file, cause)), None) = (&waiting, &shared.minimising) {
            shared.minimising = Some(file.clone());
            return Some(Task::Minimise { file: file.clone(), cause: cause.clone() });
        }
        let chosen = if is_over { None } else { self.choose(&shared) };
        match chosen {
            Some((subject, n)) => {
                shared.running[subject].insert(n);
                Some(Task::Unit { subject, n })
            }
            // What others run may have findings.
            None if shared.running.iter().any(|rounds| !rounds.is_empty()) => Some(Task::Wait),
            None => waiting.map(|_| Task::Wait),
        }
    }

    /// The subject whose turn it is, and its next round.
    fn choose(&self, shared: &Shared) -> Option<(usize, u64)> {
        let state = shared.store.state();
        let shard = self.shard.to_string();
        let open = (0..self.subjects.len()).filter_map(|index| {
            let known = state.subjects.get(&self.names[index]);
            let rounds = known.and_then(|known| known.shards.get(&shard)).map(|totals| &totals.rounds);
            let n = rounds.cloned().unwrap_or_default().next(&shared.running[index]);
            let limit = self.limits.rounds.map(|rounds| self.shard.share(&self.names[index], rounds));
            (limit.is_none_or(|limit| n < limit)).then_some((index, n))
        });
        let open: Vec<(usize, u64)> = open.collect();
        let joins_at = self.joins_at(state);
        let candidates = open.iter().map(|&(index, _)| Candidate {
            pace: state.subjects.get(&self.names[index]).map_or_else(
                || schedule::Pace { clock: joins_at / self.members_of(index), ..schedule::Pace::default() },
                |known| known.pace,
            ),
            running: shared.running[index].len() as u64,
            members: self.members_of(index),
        });
        schedule::next(candidates).map(|chosen| open[chosen])
    }

    fn members_of(&self, subject: usize) -> u64 {
        self.members[&self.subjects[subject].group()]
    }

    /// The clock of the subjects here that is furthest behind, for a group of one: who is new begins there.
    fn joins_at(&self, state: &State) -> u64 {
        let clocks = (0..self.subjects.len()).filter_map(|index| {
            let known = state.subjects.get(&self.names[index])?;
            Some(known.pace.clock.saturating_mul(self.members_of(index)))
        });
        // While some have not run at all, everybody begins at the start.
        let all_new = state.subjects.len() < self.subjects.len() && state.starts <= 1;
        if all_new { 0 } else { clocks.min().unwrap_or(0) }
    }

    /// Runs a unit, saves what it found, and only then writes it down as done.
    fn unit(&self, runner: &mut Runner, index: usize, n: u64) -> Result<(), CampaignError> {
        let (subject, name) = (&self.subjects[index], &self.names[index]);
        let round = self.shard.round(name, n);
        let start = Instant::now();
        let ran = catch_unwind(AssertUnwindSafe(|| runner.run(subject, subject.seed(self.seed, round))));
        let took_us = start.elapsed().as_micros() as u64;
        let (ran, failure) = match ran {
            Ok(ran) => (ran, None),
            Err(panic) => {
                runner.renew().map_err(CampaignError::Engine)?;
                (Ran::default(), Some(message(&*panic)))
            }
        };
        let shard = self.shard.to_string();
        self.save(subject, &shard, &ran)?;
        let mut shared = self.lock();
        let state = shared.store.state();
        let known = state.subjects.get(name);
        let new = ran.behaviour.marks().filter(|&mark| known.is_none_or(|known| !known.marks.has(mark)));
        let unit = Unit {
            subject: name.clone(),
            shard,
            n,
            joins_at: self.joins_at(state) / self.members_of(index),
            at_ms: self.before_ms + millis(self.start),
            took_us,
            states: ran.states,
            new: new.collect(),
            rows: ran.rows,
            found: ran.findings.into_iter().map(|raw| (raw.file, raw.cause, raw.count)).collect(),
            failure,
        };
        let line = Line::Unit(Box::new(unit));
        shared.store.append(&line)?;
        shared.running[index].remove(&n);
        self.sample(&mut shared)?;
        let Line::Unit(unit) = &line else { unreachable!("it was made above") };
        self.watch.unit(subject, unit, shared.store.state());
        Ok(())
    }

    /// Writes the cases of new causes.
    fn save(&self, subject: &Subject, shard: &str, ran: &Ran) -> Result<(), CampaignError> {
        let name = subject.to_string();
        for raw in &ran.findings {
            let (dir, is_wanted, is_new) = {
                let shared = self.lock();
                let state = shared.store.state();
                let is_wanted = !state.is_enough(&name, shard, &raw.file);
                (shared.store.findings(), is_wanted, !state.found.contains_key(&raw.file))
            };
            if is_wanted {
                raw.save(&dir).map_err(CampaignError::Case)?;
            }
            if is_wanted && is_new {
                self.watch.found(subject, &raw.file, &raw.cause);
            }
        }
        Ok(())
    }

    /// A thread has stopped making a case small, because it is or because somebody wants the campaign to end.
    fn minimised(&self, file: &str, is_done: bool) -> Result<(), CampaignError> {
        let mut shared = self.lock();
        shared.minimising = None;
        if !is_done {
            return Ok(());
        }
        Ok(shared.store.append(&Line::Minimised(file.to_owned()))?)
    }

    fn sample(&self, shared: &mut Shared) -> Result<(), CampaignError> {
        let every = SAMPLING[usize::from(self.start.elapsed() >= AT_FIRST)];
        if shared.sampled.is_none_or(|last| last.elapsed() >= every) {
            shared.sampled = Some(Instant::now());
            let sample = sample(shared.store.state(), self.before_ms + millis(self.start));
            shared.store.append(&Line::Sample(sample))?;
        }
        Ok(())
    }
}

impl Shared<'_> {
    /// A finding of one of these subjects whose case is as it was found, and its cause.
    fn next_to_minimise(&self, names: &[String]) -> Option<(String, String)> {
        let mut found = self.store.state().found.iter();
        found
            .find(|(_, found)| !found.minimised && names.contains(&found.subject))
            .map(|(file, found)| (file.clone(), found.cause.clone()))
    }
}

/// What a panic says.
fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked: {}", text.as_deref().unwrap_or("no message").lines().next().unwrap_or_default())
}

/// Whether a directory holds a campaign.
pub fn exists(dir: &Path) -> bool {
    dir.join("state.json").exists()
}
