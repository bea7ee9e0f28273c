// SPDX-License-Identifier: GPL-2.0-or-later
//! What a campaign knows: counts, marks, findings and the schedule. It is a function of the lines of the journal, in their order,
//! so that a campaign that is resumed goes on as if nothing had happened.
//!
//! Every collection in it has a limit, whatever the length of the campaign.

use std::collections::BTreeMap;

use kop_reports::Row;
use serde::{Deserialize, Serialize};

use super::build::Build;
use super::schedule::Pace;
use super::shard::Rounds;
use super::totals;
use crate::behaviour::MARKS;

/// The schema of a campaign's directory.
pub const SCHEMA: &str = "kop-campaign/2";

/// The most findings of one subject: others are counted.
pub const MOST_FINDINGS: usize = 64;

/// The most samples of speed and memory; where there are more, every other one is dropped.
const MOST_SAMPLES: usize = 1024;

/// The most failures of our own that are kept.
const MOST_FAILURES: usize = 64;

/// Everything that is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// [`SCHEMA`].
    pub schema: String,
    /// Determines every unit.
    pub seed: u64,
    /// The states of each row in a unit.
    pub states: usize,
    /// The build that made it, and no other goes on with.
    pub build: Build,
    /// The journal that goes on where this ends.
    pub generation: u64,
    /// How long the campaign ran, in milliseconds, whatever the number of starts.
    pub elapsed_ms: u64,
    /// How often it was started.
    pub starts: u64,
    /// By the subject's name.
    pub subjects: BTreeMap<String, SubjectState>,
    /// By the path of the case below the directory of findings.
    pub found: BTreeMap<String, Found>,
    /// Speed and memory over time.
    pub samples: Vec<Sample>,
    /// What went wrong in this program, not in what it tests: units that panicked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
}

/// What is known of a subject.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SubjectState {
    /// What it did so far.
    pub marks: Marks,
    /// How it is scheduled.
    pub pace: Pace,
    /// What was counted, by the shard that counted it.
    pub shards: BTreeMap<String, Totals>,
}

/// What a shard counted for a subject.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// The rounds that are done.
    pub rounds: Rounds,
    /// How many states or programs ran.
    pub states: u64,
    /// The time that it took on all threads, in milliseconds.
    pub busy_ms: u64,
    /// The rows, without divergences.
    pub rows: Vec<Row>,
    /// How often each finding occurred.
    pub occurrences: BTreeMap<String, u64>,
    /// How many findings were not kept, as there were enough.
    #[serde(default)]
    pub uncounted: u64,
}

/// A finding on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The subject that showed it.
    pub subject: String,
    /// What findings of one cause have in common.
    pub cause: String,
    /// Whether its case is as small as it gets.
    pub minimised: bool,
}

/// Speed and memory at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Milliseconds of the campaign.
    pub at_ms: u64,
    /// The states that had run by then.
    pub states: u64,
    /// The units that were done by then.
    pub units: u64,
    /// The marks of all subjects by then.
    pub marks: u64,
    /// Resident memory, in KiB.
    pub rss_kib: u64,
}

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// The campaign was started or resumed.
    Start,
    /// A unit is done; its findings are on disk.
    Unit(Box<Unit>),
    /// The case of a finding is as small as it gets.
    Minimised(String),
    /// Speed and memory.
    Sample(Sample),
}

/// A unit that is done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    /// The subject's name.
    pub subject: String,
    /// The shard that did it.
    pub shard: String,
    /// The number among the shard's rounds of the subject.
    pub n: u64,
    /// Where the clock of a subject starts that was not there before.
    #[serde(default)]
    pub joins_at: u64,
    /// When it ended, in milliseconds of the campaign.
    pub at_ms: u64,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// How many states or programs ran.
    pub states: u64,
    /// The marks that the subject did not have before.
    pub new: Vec<u16>,
    /// Rows, without divergences.
    pub rows: Vec<Row>,
    /// Findings: the case's path, the cause, how often.
    pub found: Vec<(String, String, u64)>,
    /// Why it failed: a panic of this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl State {
    /// A campaign before its start.
    pub fn new(seed: u64, states: usize, build: Build) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            seed,
            states,
            build,
            generation: 0,
            elapsed_ms: 0,
            starts: 0,
            subjects: BTreeMap::new(),
            found: BTreeMap::new(),
            samples: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Takes in a line of the journal.
    pub fn apply(&mut self, line: &Line) {
        match line {
            Line::Start => self.starts += 1,
            Line::Minimised(file) => {
                if let Some(found) = self.found.get_mut(file) {
                    found.minimised = true;
                }
            }
            Line::Sample(sample) => {
                self.elapsed_ms = self.elapsed_ms.max(sample.at_ms);
                self.samples.push(*sample);
                if self.samples.len() > MOST_SAMPLES {
                    let mut number = 0;
                    self.samples.retain(|_| {
                        number += 1;
                        number % 2 == 1
                    });
                }
            }
            Line::Unit(unit) => self.unit(unit),
        }
    }

    fn unit(&mut self, unit: &Unit) {
        self.elapsed_ms = self.elapsed_ms.max(unit.at_ms);
        let subject = self.subjects.entry(unit.subject.clone()).or_insert_with(|| SubjectState {
            pace: Pace { clock: unit.joins_at, ..Pace::default() },
            ..SubjectState::default()
        });
        let totals = subject.shards.entry(unit.shard.clone()).or_default();
        if !totals.rounds.insert(unit.n) {
            return;
        }
        totals.states += unit.states;
        totals.busy_ms += unit.took_us.div_ceil(1000);
        totals::add(&mut totals.rows, &unit.rows);
        for (file, cause, count) in &unit.found {
            let of_subject = totals.occurrences.len();
            if of_subject >= MOST_FINDINGS && !totals.occurrences.contains_key(file) {
                totals.uncounted += count;
                continue;
            }
            *totals.occurrences.entry(file.clone()).or_default() += count;
            self.found.entry(file.clone()).or_insert_with(|| Found {
                subject: unit.subject.clone(),
                cause: cause.clone(),
                minimised: false,
            });
        }
        let new = subject.marks.insert(&unit.new);
        subject.pace.spent(unit.took_us, new);
        if let Some(failure) = &unit.failure
            && self.failures.len() < MOST_FAILURES
        {
            self.failures.push(format!("{} round {}: {failure}", unit.subject, unit.n));
        }
    }

    /// Whether a subject has as many findings as are kept, and this is none of them.
    pub fn is_enough(&self, subject: &str, shard: &str, file: &str) -> bool {
        let totals = self.subjects.get(subject).and_then(|subject| subject.shards.get(shard));
        totals.is_some_and(|totals| {
            totals.occurrences.len() >= MOST_FINDINGS && !totals.occurrences.contains_key(file)
        })
    }

    /// Everything that was counted, whatever the shard.
    pub fn totals(&self) -> impl Iterator<Item = (&str, &Totals)> {
        self.subjects
            .iter()
            .flat_map(|(name, subject)| subject.shards.values().map(move |totals| (&**name, totals)))
    }

    /// How many units are done.
    pub fn units(&self) -> u64 {
        self.totals().map(|(_, totals)| totals.rounds.count()).sum()
    }

    /// How many states and programs ran.
    pub fn states_run(&self) -> u64 {
        self.totals().map(|(_, totals)| totals.states).sum()
    }

    /// How many marks all subjects have.
    pub fn marks(&self) -> u64 {
        self.subjects.values().map(|subject| subject.marks.count()).sum()
    }

    /// The state as JSON.
    ///
    /// # Panics
    /// Never: every field serialises.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a state is plain data")
    }

    /// The state that [`State::to_json`] wrote.
    ///
    /// # Errors
    /// One line, when the text is none, or is of another schema.
    pub fn from_json(json: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Header {
            schema: String,
        }
        let header: Header = serde_json::from_str(json).map_err(|error| format!("no campaign: {error}"))?;
        if header.schema != SCHEMA {
            return Err(format!(
                "a campaign of the schema {:?}, but only {SCHEMA:?} is understood: take another directory",
                header.schema
            ));
        }
        serde_json::from_str(json).map_err(|error| format!("not a valid {SCHEMA}: {error}"))
    }
}

/// A set of marks, as a bitmap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Marks(Vec<u64>);

impl Default for Marks {
    fn default() -> Self {
        Self(vec![0; MARKS / 64])
    }
}

impl Marks {
    /// Whether a mark is in it.
    pub fn has(&self, mark: u16) -> bool {
        self.0.get(usize::from(mark) / 64).is_some_and(|word| word >> (mark % 64) & 1 == 1)
    }

    /// Adds marks; returns how many were new.
    pub fn insert(&mut self, marks: &[u16]) -> u64 {
        let before = self.count();
        for &mark in marks {
            if let Some(word) = self.0.get_mut(usize::from(mark) / 64) {
                *word |= 1 << (mark % 64);
            }
        }
        self.count() - before
    }

    /// Adds all of another set.
    pub fn join(&mut self, other: &Marks) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine |= theirs);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

impl From<Marks> for String {
    fn from(marks: Marks) -> Self {
        let last = marks.0.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        marks.0[..last].iter().map(|word| format!("{word:016x}")).collect()
    }
}

impl From<String> for Marks {
    fn from(text: String) -> Self {
        let mut marks = Marks::default();
        for (word, digits) in marks.0.iter_mut().zip(text.as_bytes().chunks(16)) {
            *word =
                str::from_utf8(digits).ok().and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
        }
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A unit with a finding in two.
    fn unit(subject: &str, n: u64) -> Line {
        let found = if n.is_multiple_of(2) {
            vec![(format!("{subject}/a.kop"), "cause".to_owned(), 3)]
        } else {
            Vec::new()
        };
        let mut row = Row::of_case(subject, "form", "x86_64");
        row.classes.insert("alias distinct".to_owned(), 5);
        Line::Unit(Box::new(Unit {
            subject: subject.to_owned(),
            shard: "0/1".to_owned(),
            n,
            joins_at: 0,
            at_ms: 100 * n,
            took_us: 50_000,
            states: 10,
            new: vec![n as u16, 7],
            rows: vec![row],
            found,
            failure: None,
        }))
    }

    #[test]
    fn it_is_a_function_of_the_lines_and_survives_json() {
        let lines: Vec<Line> = (0..20).map(|n| unit(if n % 3 == 0 { "a" } else { "b" }, n / 2)).collect();
        let mut whole = State::new(3, 500, Build::default());
        lines.iter().for_each(|line| whole.apply(line));
        for cut in 0..lines.len() {
            let mut first = State::new(3, 500, Build::default());
            lines[..cut].iter().for_each(|line| first.apply(line));
            let mut again = State::from_json(&first.to_json()).expect("it was written by us");
            assert_eq!(again, first);
            lines[cut..].iter().for_each(|line| again.apply(line));
            assert_eq!(again, whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_unit_counts_once() {
        let mut state = State::new(0, 1, Build::default());
        (0..3).for_each(|_| state.apply(&unit("a", 4)));
        assert_eq!((state.units(), state.states_run(), state.marks()), (1, 10, 2));
        assert_eq!(state.subjects["a"].shards["0/1"].occurrences["a/a.kop"], 3);
        state.apply(&Line::Minimised("a/a.kop".to_owned()));
        assert!(state.found["a/a.kop"].minimised);
    }

    #[test]
    fn nothing_grows_without_end() {
        let mut state = State::new(0, 1, Build::default());
        for n in 0..5000u64 {
            let Line::Unit(mut unit) = unit("a", n) else { unreachable!("it is a unit") };
            unit.found = vec![(format!("a/{n}.kop"), "cause".to_owned(), 1)];
            unit.failure = Some("it panicked".to_owned());
            state.apply(&Line::Unit(unit));
            let sample = Sample { at_ms: n, states: n, units: n, marks: n, rss_kib: 1 };
            state.apply(&Line::Sample(sample));
        }
        assert_eq!((state.found.len(), state.failures.len()), (MOST_FINDINGS, MOST_FAILURES));
        assert_eq!(state.subjects["a"].shards["0/1"].uncounted, 5000 - MOST_FINDINGS as u64);
        assert!((MOST_SAMPLES / 2..=MOST_SAMPLES).contains(&state.samples.len()));
        assert!(state.is_enough("a", "0/1", "a/4999.kop") && !state.is_enough("a", "0/1", "a/0.kop"));
        assert!(state.to_json().len() < 200_000);
    }

    #[test]
    fn another_schema_is_one_clear_line() {
        let error = State::from_json(r#"{"schema": "kop-campaign/9"}"#).expect_err("another schema");
        assert_eq!(
            error,
            "a campaign of the schema \"kop-campaign/9\", but only \"kop-campaign/2\" is understood: take another directory"
        );
        assert!(State::from_json("{}").expect_err("none").starts_with("no campaign: "));
    }
}
