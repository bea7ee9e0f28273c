// SPDX-License-Identifier: GPL-2.0-or-later
//! What the payloads of an operation look like, learned from what its callbacks answer.
//!
//! Nobody declares the layout of a payload. [`learn`] finds valid ones (`search`), changes each of them bit by bit and
//! looks at what that does to the proof and to native code (`effect`), splits them by their tag where the other bits
//! change their meaning with it (`group`), makes fields of bits that act together (`pieces`, `cut`), finds their ranges (`range`),
//! and tries fresh payloads against the result (`cover`). The layout of a form is a hull: every valid payload belongs to
//! exactly one form, but not every payload that a form describes is valid.

mod cover;
mod cut;
mod describe;
mod effect;
mod form;
mod group;
mod pieces;
mod probe;
mod range;
mod search;

use kop_ops::choices::Seeded;
use kop_ops::{Arch, Features, Form};

use self::cover::{Coverage, cover};
use self::describe::bit_list;
use self::effect::surroundings;
use self::group::{Group, split};
use self::probe::Probe;
use self::search::{Found, search};
use crate::callbacks::Callbacks;

/// The seed of all that is drawn: the same callbacks always give the same forms.
const SEED: u64 = 0x6b6f_7073;

/// How many payloads are looked at closely.
const SEEDS: usize = 192;

/// How many of each form at least.
const FEWEST_SEEDS: usize = 48;

/// How many times what fresh payloads show is learned from.
const ROUNDS: usize = 4;

/// The forms of an operation, and what else became known.
#[derive(Clone, Debug)]
pub struct Learned {
    /// The forms; every valid payload that was found belongs to exactly one, less [`LearnedForm::ignored`].
    pub forms: Vec<LearnedForm>,
    /// The bits that some form ignores.
    pub ignored: u64,
    /// What a person should know, a line each.
    pub remarks: Vec<String>,
    /// The CPU features that the callbacks asked for.
    pub features: Features,
    /// How many answers it took.
    pub asked: u64,
    /// Payloads for which a callback failed; there may be more. Each belongs to a form.
    pub failed: Vec<u64>,
    /// Payloads that one of the callbacks accepts and another one refuses; there may be more.
    pub disputed: Vec<u64>,
}

/// One form.
#[derive(Clone, Debug)]
pub struct LearnedForm {
    /// Its name, what it stands for and its layout. The name is `payload`, or `tag2` where the field `tag` is 2 (`tag1to3` for
    /// several values, `tag2-1` for a tag within a tag); `-no-register-dst` behind it marks the payloads in which the
    /// field `dst` holds a number above 10, and `-x86_64` or `-aarch64` those of one source alone.
    pub form: Form,
    /// The architectures that have an emit for it.
    pub archs: Vec<Arch>,
    /// The callbacks that it was learned from, as indices.
    pub callbacks: Vec<usize>,
    /// The bits that change neither the proof nor native code; no field holds them.
    pub ignored: u64,
    /// What a person should know of this form, a line each.
    pub remarks: Vec<String>,
    /// What is known of each field beyond its kind.
    pub notes: Vec<String>,
}

/// Why nothing was learned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LearnError {
    /// No payload is valid.
    #[error(
        "`{name}` accepted none of {asked} payloads; give one that is valid with --payload (constants of more than 12 \
         bits cannot be found)"
    )]
    NothingAccepted {
        /// The operation.
        name: String,
        /// How many were tried.
        asked: u64,
    },
    /// There are no callbacks.
    #[error("no callbacks to learn from")]
    NoCallbacks,
}

/// Learns what the payloads look like of the one operation that `callbacks` are, for example those of its x86-64 and its
/// ARM64 source. `hints` are payloads that may be valid.
///
/// # Errors
/// [`LearnError`] when no valid payload is found.
pub fn learn(callbacks: &[&dyn Callbacks], hints: &[u64]) -> Result<Learned, LearnError> {
    let all: Vec<usize> = (0..callbacks.len()).collect();
    if callbacks.is_empty() {
        return Err(LearnError::NoCallbacks);
    }
    let mut probe = Probe::new(callbacks);
    let mut choices = Seeded::new(SEED);
    let mut found = search(&mut probe, hints, &mut choices);
    if found.payloads().is_empty() {
        let name = callbacks[0].descriptor().name.clone();
        return Err(LearnError::NothingAccepted { name, asked: probe.asked });
    }
    if proofs_differ(&mut probe, &found, &mut choices) {
        return each_alone(callbacks, hints, &found);
    }
    let mut learned = learn_forms(&mut probe, &mut found, &mut choices);
    for form in &mut learned.forms {
        form.callbacks.clone_from(&all);
        form.archs = archs(callbacks);
    }
    Ok(learned)
}

fn archs(callbacks: &[&dyn Callbacks]) -> Vec<Arch> {
    let has = |arch: &Arch| callbacks.iter().any(|callbacks| callbacks.descriptor().archs.contains(arch));
    Arch::ALL.into_iter().filter(has).collect()
}

/// Whether two callbacks have different proofs for a payload that both accept.
fn proofs_differ(probe: &mut Probe, found: &Found, choices: &mut Seeded) -> bool {
    let samples = probe.samples(&found.stratified(256, choices));
    samples.iter().flatten().any(|sample| {
        let mut proofs = sample.proofs.iter().flatten();
        proofs.next().is_some_and(|first| proofs.any(|proof| proof != first))
    })
}

/// What each of the callbacks gives alone, with the forms named after the architecture.
fn each_alone(callbacks: &[&dyn Callbacks], hints: &[u64], found: &Found) -> Result<Learned, LearnError> {
    let hints: Vec<u64> = hints.iter().chain(found.payloads().iter().take(4096)).copied().collect();
    let mut all: Option<Learned> = None;
    for (index, alone) in callbacks.iter().enumerate() {
        let mut learned = learn(&[*alone], &hints)?;
        let archs = &alone.descriptor().archs;
        let suffix = archs.iter().map(|arch| arch.name()).collect::<Vec<_>>().join("-");
        for form in &mut learned.forms {
            form.form.name = format!("{}-{suffix}", form.form.name).into();
            form.callbacks = vec![index];
        }
        all = Some(match all {
            None => learned,
            Some(before) => before.and(learned),
        });
    }
    let mut all = all.ok_or(LearnError::NoCallbacks)?;
    all.remarks
        .insert(0, "the sources have different proof sequences, so each emit is held to its own".to_owned());
    Ok(all)
}

impl Learned {
    fn and(mut self, other: Learned) -> Self {
        self.forms.extend(other.forms);
        self.ignored |= other.ignored;
        self.remarks.extend(other.remarks);
        self.features = self.features.union(other.features);
        self.asked += other.asked;
        self.failed.extend(other.failed);
        self.disputed.extend(other.disputed);
        self
    }
}

fn learn_forms(probe: &mut Probe, found: &mut Found, choices: &mut Seeded) -> Learned {
    let mut looked_at = found.stratified(SEEDS, choices);
    let (mut forms, mut coverage) = (Vec::new(), Coverage::default());
    for _ in 0..ROUNDS {
        looked_at.sort_unstable();
        looked_at.dedup();
        let seeds = surroundings(probe, &looked_at, found.varying());
        forms.clear();
        for mut group in split(probe, seeds, found.payloads()) {
            let members = group.members(found.payloads());
            top_up(probe, &mut group, &members, found.varying());
            forms.extend(form::forms(probe, &group, &members, choices));
        }
        coverage = cover(probe, found, &mut forms, choices);
        if coverage.uncovered.is_empty() {
            break;
        }
        for &payload in coverage.uncovered.iter().take(64) {
            found.insist(payload);
            looked_at.push(payload);
        }
    }
    let remarks = remarks(probe, &forms, &coverage);
    Learned {
        ignored: forms.iter().fold(0, |bits, form| bits | form.ignored),
        forms,
        remarks,
        features: probe.looked_at,
        asked: probe.asked,
        failed: probe.failed.iter().chain(&probe.failed_emits).copied().collect(),
        disputed: std::mem::take(&mut probe.disputed),
    }
}

/// Looks at some more payloads of a small group.
fn top_up(probe: &mut Probe, group: &mut Group, members: &[u64], varying: u64) {
    let missing = FEWEST_SEEDS.saturating_sub(group.seeds.len());
    if let Some(step) = members.len().checked_div(missing) {
        let more: Vec<u64> = members.iter().copied().step_by(step.max(1)).take(missing).collect();
        group.seeds.extend(surroundings(probe, &more, varying));
    }
}

fn remarks(probe: &Probe, forms: &[LearnedForm], coverage: &Coverage) -> Vec<String> {
    let mut remarks = Vec::new();
    for form in forms.iter().filter(|form| form.ignored != 0) {
        let (name, bits) = (&form.form.name, bit_list(form.ignored));
        remarks.push(format!("{name}: payload bits {bits} are ignored: several encodings of one site"));
    }
    remarks.extend(forms.iter().flat_map(|form| form.remarks.iter().cloned()));
    for (payloads, what) in [(&coverage.uncovered, "no form"), (&coverage.doubled, "more than one form")] {
        if let Some(first) = payloads.first() {
            let (many, all) = (payloads.len(), coverage.fresh);
            remarks.push(format!("{many} of {all} valid payloads belong to {what}, for example {first:#x}"));
        }
    }
    let failures = [
        (&probe.failed, "the proof", probe.is_spent()),
        (&probe.failed_emits, "an emit", probe.has_spent_emits()),
    ];
    for (payloads, what, stopped) in failures {
        if let Some(first) = payloads.first() {
            let stopped = if stopped { "; no more were asked, so that fields may be missing" } else { "" };
            remarks.push(format!(
                "{what} failed for {} payloads, for example {first:#x}{stopped}",
                payloads.len()
            ));
        }
    }
    if let Some(first) = probe.disputed.first() {
        remarks.push(format!(
            "{} payloads are accepted by one proof and refused by another, for example {first:#x}",
            probe.disputed.len()
        ));
    }
    remarks
}
