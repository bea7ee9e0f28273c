// SPDX-License-Identifier: GPL-2.0-or-later
//! What several machines know as one.
//!
//! Every part of a state has an order-free union. What a shard counted for a subject grows with its rounds, so of two records of
//! one shard the one with more rounds is kept, and records of different shards stand side by side: no unit is counted
//! twice. Marks are a union. Of two cases with one cause the smaller one is kept. So merging is idempotent, commutative and
//! associative.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path};

use super::shard::Shard;
use super::state::{Found, Sample, State, SubjectState, Totals};
use super::store::{self, Store, StoreError};
use crate::case::AS_FOUND;

/// What was merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// The units of all shards.
    pub units: u64,
    /// The findings.
    pub findings: usize,
    /// How many cases are new in the directory, or smaller than before.
    pub cases: usize,
}

/// Merges what the directories `from` know into `into`, which is made when it is not there.
///
/// # Errors
/// [`StoreError`]: a directory is in use or none, or campaigns differ in their build, their seed, the size of their units, or the number of
/// their shards.
pub fn merge<P: AsRef<Path>>(from: &[P], into: &Path) -> Result<Merged, StoreError> {
    let mut sources: Vec<(&Path, State)> = Vec::new();
    for dir in from {
        let dir = dir.as_ref();
        let state = store::read(dir)?;
        if let Some((first_dir, first)) = sources.first() {
            agree(first_dir, first, dir, &state)?;
        }
        sources.push((dir, state));
    }
    let Some((first_dir, first)) = sources.first() else { return Ok(Merged::default()) };
    let mut store = Store::open(into, || State::new(first.seed, first.states, first.build.clone()))?;
    agree(first_dir, first, into, store.state())?;
    let mut merged = Merged::default();
    // Cases first: what a state names has to be there.
    for (dir, state) in &sources {
        for file in state.found.keys() {
            merged.cases += usize::from(take_case(dir, into, file)?);
        }
    }
    let mut state = store.state().clone();
    sources.iter().for_each(|(_, other)| join(&mut state, other));
    for (file, found) in &mut state.found {
        let text = fs::read_to_string(store.findings().join(file)).unwrap_or_default();
        found.minimised = !is_raw(&text);
    }
    (merged.units, merged.findings) = (state.units(), state.found.len());
    if state != *store.state() {
        state.generation = store.state().generation + 1;
        store.put(state)?;
    }
    Ok(merged)
}

/// Whether two campaigns are parts of one.
fn agree(one: &Path, first: &State, other: &Path, second: &State) -> Result<(), StoreError> {
    let differs = |what: &str, a: String, b: String| {
        let reason = format!("another campaign than {}: its {what} is {b}, not {a}", one.display());
        Err(StoreError::Other(other.to_owned(), reason))
    };
    if let Some(difference) = first.build.difference(&second.build) {
        let reason = format!(
            "made by another build than {}, {difference}: counts of both would say nothing of either ({}, not {})",
            one.display(),
            second.build,
            first.build
        );
        return Err(StoreError::Other(other.to_owned(), reason));
    }
    if first.seed != second.seed {
        return differs("seed", first.seed.to_string(), second.seed.to_string());
    }
    if first.states != second.states {
        return differs("number of states in a unit", first.states.to_string(), second.states.to_string());
    }
    let (a, b) = (shard_counts(first), shard_counts(second));
    match (a.first(), b.first()) {
        (Some(a), Some(b)) if a != b => differs("number of shards", a.to_string(), b.to_string()),
        _ => Ok(()),
    }
}

/// Into how many shards a campaign is divided; nothing before its first unit.
pub(super) fn shard_counts(state: &State) -> BTreeSet<u64> {
    let shards = state.subjects.values().flat_map(|subject| subject.shards.keys());
    shards.filter_map(|shard| Some(shard.parse::<Shard>().ok()?.count())).collect()
}

/// Adds what another state knows.
fn join(state: &mut State, other: &State) {
    state.elapsed_ms = state.elapsed_ms.max(other.elapsed_ms);
    state.starts = state.starts.max(other.starts);
    for (name, subject) in &other.subjects {
        let known = state.subjects.entry(name.clone()).or_default();
        join_subject(known, subject);
    }
    for (file, found) in &other.found {
        let known = state.found.entry(file.clone()).or_insert_with(|| found.clone());
        let least = |a: &Found, b: &Found| (&a.subject, &a.cause).cmp(&(&b.subject, &b.cause));
        if least(found, known) == Ordering::Less {
            *known = found.clone();
        }
    }
    // Machines have clocks and memories of their own: one curve is kept, the longest.
    let key = |samples: &[Sample]| {
        (samples.len(), samples.last().map(|last| (last.at_ms, last.states, last.rss_kib)))
    };
    if key(&other.samples) > key(&state.samples) {
        state.samples.clone_from(&other.samples);
    }
    let failures: BTreeSet<&String> = state.failures.iter().chain(&other.failures).collect();
    state.failures = failures.into_iter().take(64).cloned().collect();
}

fn join_subject(known: &mut SubjectState, other: &SubjectState) {
    known.marks.join(&other.marks);
    known.pace.clock = known.pace.clock.max(other.pace.clock);
    known.pace.new_per_ks = known.pace.new_per_ks.min(other.pace.new_per_ks);
    known.pace.unit_us = known.pace.unit_us.max(other.pace.unit_us);
    for (shard, totals) in &other.shards {
        let mine = known.shards.entry(shard.clone()).or_default();
        if order(mine, totals) == Ordering::Less {
            *mine = totals.clone();
        }
    }
}

/// By rounds; what is equal there is the same but for the time that it took.
fn order(one: &Totals, other: &Totals) -> Ordering {
    let json = |totals: &Totals| serde_json::to_string(totals).expect("totals are plain data");
    one.rounds.count().cmp(&other.rounds.count()).then_with(|| json(one).cmp(&json(other)))
}

/// Copies a case unless the one that is there is as small; `true` when it was copied.
fn take_case(dir: &Path, into: &Path, file: &str) -> Result<bool, StoreError> {
    if !Path::new(file).components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(StoreError::Content(dir.to_owned(), format!("it names a case outside of it: {file:?}")));
    }
    let (source, target) = (store::findings(dir).join(file), store::findings(into).join(file));
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| StoreError::Io(path, error)
    };
    let text = fs::read_to_string(&source).map_err(at(&source))?;
    let known = fs::read_to_string(&target).ok();
    if known.is_some_and(|known| size(&known) <= size(&text)) {
        return Ok(false);
    }
    let folder = target.parent().expect("a case is in a folder");
    fs::create_dir_all(folder).map_err(at(folder))?;
    store::replace(&target, text.as_bytes()).map_err(at(&target))?;
    Ok(true)
}

/// What makes a case smaller than another: it is minimised, shorter, or the first of two alike.
fn size(text: &str) -> (bool, usize, &str) {
    (is_raw(text), text.len(), text)
}

pub(super) fn is_raw(text: &str) -> bool {
    text.lines().any(|line| line == format!("# {AS_FOUND}"))
}
