// SPDX-License-Identifier: GPL-2.0-or-later
//! Asking the callbacks of one operation, as one party: each question once, in batches, and no more after too many
//! failures.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use kop_ops::{Arch, Features};

use crate::callbacks::{Asked, Callbacks, Reply};

/// How many payloads may make a callback fail before no more are asked: each failure costs a process.
const MOST_FAILURES: usize = 400;

/// How many payloads are asked at a time, so that the limit on failures is noticed.
const BATCH: usize = 2048;

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
    /// Payloads for which a callback did not come back, in the order of the questions.
    pub failed: Vec<u64>,
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
            disputed: Vec::new(),
            looked_at: Features::NONE,
            asked: 0,
        }
    }

    /// Whether the callbacks failed so often that nothing more is asked.
    pub(super) fn is_spent(&self) -> bool {
        self.failed.len() >= MOST_FAILURES
    }

    /// Whether a descriptor has an emit.
    pub(super) fn has_emits(&self) -> bool {
        self.callbacks.iter().any(|callbacks| !callbacks.descriptor().archs.is_empty())
    }

    /// Whether each payload is valid: a proof accepts it, or fails where it should have refused.
    pub(super) fn accepts(&mut self, payloads: &[u64]) -> Vec<bool> {
        let mut new: Vec<u64> =
            payloads.iter().copied().filter(|payload| !self.accepted.contains_key(payload)).collect();
        new.sort_unstable();
        new.dedup();
        for batch in new.chunks(BATCH) {
            if self.is_spent() {
                break;
            }
            self.ask_acceptance(batch);
        }
        payloads.iter().map(|payload| self.accepted.get(payload).copied().unwrap_or(false)).collect()
    }

    /// The payloads that are valid, in their order.
    pub(super) fn valid(&mut self, payloads: &[u64]) -> Vec<u64> {
        let verdicts = self.accepts(payloads);
        payloads.iter().zip(verdicts).filter(|(_, valid)| *valid).map(|(&payload, _)| payload).collect()
    }

    fn ask_acceptance(&mut self, payloads: &[u64]) {
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
            self.accepted.insert(payload, failed[index] || yes[index] != 0);
        }
    }

    /// What the callbacks make of each payload; `None` when no proof accepts it.
    pub(super) fn samples(&mut self, payloads: &[u64]) -> Vec<Option<Rc<Sample>>> {
        let mut new: Vec<u64> =
            payloads.iter().copied().filter(|payload| !self.samples.contains_key(payload)).collect();
        new.sort_unstable();
        new.dedup();
        let valid = self.valid(&new);
        for batch in valid.chunks(BATCH) {
            if self.is_spent() {
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
                    failed[index] |= answer.proof == Reply::Failed || answer.emits.iter().any(broken);
                    digest(&answer.emits, &mut native[index]);
                    if features == all {
                        proofs[index].push(answer.proof.accepted().map(|bytes| slots(bytes)));
                    }
                }
            }
        }
        for (index, (proofs, native)) in proofs.into_iter().zip(native).enumerate() {
            if failed[index] {
                self.failed.push(payloads[index]);
            }
            let sample = Sample { native: native.finish(), proofs };
            let readable = sample.proofs.iter().any(Option::is_some);
            self.samples.insert(payloads[index], readable.then(|| Rc::new(sample)));
        }
    }
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
