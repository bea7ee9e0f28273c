// SPDX-License-Identifier: GPL-2.0-or-later
//! Asking the callbacks of one operation, as one party: each question once, in batches, and no more after too many
//! failures.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use kop_ops::{Arch, Features};

use crate::callbacks::{Asked, Callbacks, Reply};

/// How many payloads may make a proof fail, and how many an emit, before no more are asked: each failure costs a process.
const MOST_PROOF_FAILURES: usize = 400;
const MOST_EMIT_FAILURES: usize = 1500;

/// How many payloads are asked at a time, so that these limits are noticed.
const BATCH: usize = 256;

/// What the callbacks make of one payload.
#[derive(Debug)]
pub(super) struct Sample {
    /// The slots of each proof sequence; `None` where it is refused or failed.
    pub proofs: Vec<Option<Vec<u64>>>,
    /// A digest of all native code, whatever the architecture and the features.
    pub native: u64,
}

/// The callbacks that are one operation, and what they have answered.
pub(super) struct Probe<'a> {
    callbacks: &'a [&'a dyn Callbacks],
    accepted: HashMap<u64, bool>,
    samples: HashMap<u64, Option<Rc<Sample>>>,
    /// Payloads for which the proof did not come back, in the order of the questions.
    pub failed: Vec<u64>,
    /// Payloads for which an emit did not.
    pub failed_emits: Vec<u64>,
    /// Payloads that one proof accepts and another one refuses, in the order of the questions.
    pub disputed: Vec<u64>,
    /// The features that the callbacks asked for.
    pub looked_at: Features,
    /// How many answers were asked for.
    pub asked: u64,
}

impl<'a> Probe<'a> {
    pub(super) fn new(callbacks: &'a [&'a dyn Callbacks]) -> Self {
        Self {
            callbacks,
            accepted: HashMap::new(),
            samples: HashMap::new(),
            failed: Vec::new(),
            failed_emits: Vec::new(),
            disputed: Vec::new(),
            looked_at: Features::NONE,
            asked: 0,
        }
    }

    /// Whether the proofs failed so often that nothing more is asked.
    pub(super) fn is_spent(&self) -> bool {
        self.failed.len() >= MOST_PROOF_FAILURES
    }

    /// Whether the emits did.
    pub(super) fn has_spent_emits(&self) -> bool {
        self.failed_emits.len() >= MOST_EMIT_FAILURES
    }

    /// Whether a descriptor has an emit.
    pub(super) fn has_emits(&self) -> bool {
        self.callbacks.iter().any(|callbacks| !callbacks.descriptor().archs.is_empty())
    }

    /// Whether each payload is valid: a proof accepts it, or fails where it should have refused.
    pub(super) fn accepts(&mut self, payloads: &[u64]) -> Vec<bool> {
        let new = new(payloads, |payload| self.accepted.contains_key(payload));
        for (payload, valid) in self.verdicts(&new) {
            self.accepted.insert(payload, valid);
        }
        payloads.iter().map(|payload| self.accepted.get(payload).copied().unwrap_or(false)).collect()
    }

    /// Those of many payloads that are valid, most of which are not: refusals are not remembered.
    pub(super) fn screen(&mut self, payloads: &[u64]) -> Vec<u64> {
        let verdicts = self.verdicts(payloads);
        let valid: Vec<u64> =
            verdicts.into_iter().filter(|(_, valid)| *valid).map(|(payload, _)| payload).collect();
        self.accepted.extend(valid.iter().map(|payload| (*payload, true)));
        valid
    }

    /// The payloads that are valid, in their order.
    pub(super) fn valid(&mut self, payloads: &[u64]) -> Vec<u64> {
        let verdicts = self.accepts(payloads);
        payloads.iter().zip(verdicts).filter(|(_, valid)| *valid).map(|(&payload, _)| payload).collect()
    }

    /// Asks whether each payload is valid, until that has cost enough.
    fn verdicts(&mut self, payloads: &[u64]) -> Vec<(u64, bool)> {
        let mut verdicts = Vec::with_capacity(payloads.len());
        let mut rest = payloads;
        let mut batch = BATCH;
        while !rest.is_empty() && !self.is_spent() {
            let (now, later) = rest.split_at(batch.min(rest.len()));
            let before = self.failed.len();
            let valid = self.ask_acceptance(now);
            verdicts.extend(now.iter().copied().zip(valid));
            rest = later;
            batch = if self.failed.len() == before { (2 * batch).min(16 * BATCH) } else { BATCH };
        }
        verdicts
    }

    fn ask_acceptance(&mut self, payloads: &[u64]) -> Vec<bool> {
        let mut yes = vec![0usize; payloads.len()];
        let mut failed = vec![false; payloads.len()];
        for callbacks in self.callbacks {
            let answers = callbacks.ask(Asked::Acceptance, Features::NONE, payloads);
            self.asked += payloads.len() as u64;
            for (index, answer) in answers.iter().enumerate() {
                match answer.proof {
                    Reply::Accepted(_) => yes[index] += 1,
                    Reply::Failed => failed[index] = true,
                    Reply::Rejected(_) => {}
                }
            }
        }
        for (index, &payload) in payloads.iter().enumerate() {
            if failed[index] {
                self.failed.push(payload);
            } else if yes[index] != 0 && yes[index] != self.callbacks.len() {
                self.disputed.push(payload);
            }
        }
        (0..payloads.len()).map(|index| failed[index] || yes[index] != 0).collect()
    }

    /// What the callbacks make of each payload; `None` when no proof accepts it.
    pub(super) fn samples(&mut self, payloads: &[u64]) -> Vec<Option<Rc<Sample>>> {
        let new = new(payloads, |payload| self.samples.contains_key(payload));
        for batch in self.valid(&new).chunks(BATCH) {
            if self.has_spent_emits() {
                break;
            }
            self.ask_contents(batch);
        }
        payloads.iter().map(|payload| self.samples.get(payload).cloned().flatten()).collect()
    }

    fn ask_contents(&mut self, payloads: &[u64]) {
        let all = Arch::ALL.into_iter().fold(Features::NONE, |set, arch| set.union(Features::all(arch)));
        let mut proofs: Vec<Vec<Option<Vec<u64>>>> = vec![Vec::new(); payloads.len()];
        let mut native: Vec<DefaultHasher> = vec![DefaultHasher::new(); payloads.len()];
        let mut failed = vec![false; payloads.len()];
        for callbacks in self.callbacks {
            for features in [all, Features::NONE] {
                if features.is_empty() && self.looked_at.is_empty() {
                    continue;
                }
                let answers = callbacks.ask(Asked::Contents, features, payloads);
                self.asked += payloads.len() as u64;
                for (index, answer) in answers.into_iter().enumerate() {
                    self.looked_at = self.looked_at.union(answer.looked_at);
                    let broken = |reply: &Option<Reply<_>>| matches!(reply, Some(Reply::Failed));
                    failed[index] |= answer.emits.iter().any(broken);
                    digest(&answer.emits, &mut native[index]);
                    if features == all {
                        proofs[index].push(answer.proof.accepted().map(|bytes| slots(bytes)));
                    }
                }
            }
        }
        for (index, (proofs, native)) in proofs.into_iter().zip(native).enumerate() {
            if failed[index] {
                self.failed_emits.push(payloads[index]);
            }
            let sample = Sample { native: native.finish(), proofs };
            let readable = sample.proofs.iter().any(Option::is_some);
            self.samples.insert(payloads[index], readable.then(|| Rc::new(sample)));
        }
    }
}

/// The payloads that are not known, each once, in their order.
fn new(payloads: &[u64], known: impl Fn(&u64) -> bool) -> Vec<u64> {
    let mut seen = HashSet::new();
    payloads.iter().copied().filter(|payload| !known(payload) && seen.insert(*payload)).collect()
}

fn digest(emits: &[Option<Reply<crate::callbacks::Emitted>>; 2], hasher: &mut DefaultHasher) {
    for emit in emits {
        match emit {
            None => 0u8.hash(hasher),
            Some(Reply::Accepted(code)) => code.bytes.hash(hasher),
            Some(Reply::Rejected(_)) => 1u8.hash(hasher),
            Some(Reply::Failed) => 2u8.hash(hasher),
        }
    }
}

fn slots(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<8>().0.iter().map(|slot| u64::from_le_bytes(*slot)).collect()
}
