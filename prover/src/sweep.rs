// SPDX-License-Identifier: GPL-2.0-or-later
//! All payloads of a form: each is decoded and looked up by the key of its claim, so that claims that differ in the names of registers
//! alone are decided once.

use std::sync::Mutex;

use kop_ops::kop::{EmitRequest, Pass, Reject};
use kop_ops::{Arch, Features, Form, Kop, Site};
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::statement::{Counterexample, Decoded, Key, Options, Prover, Reason, Statement, Verdict, key};

/// An operation's form on one architecture.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The operation.
    pub kop: &'a dyn Kop,
    /// The form.
    pub form: &'a Form,
    /// The architecture.
    pub arch: Arch,
}

/// A claim that is not proved.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The payload.
    pub payload: u64,
    /// What the CPU has.
    pub features: Features,
    /// What is wrong.
    pub kind: FailureKind,
}

/// Why a claim is not proved.
#[derive(Clone, Debug)]
pub enum FailureKind {
    /// It is false.
    Refuted(Box<Counterexample>),
    /// No formula can be made of it.
    Unsupported(Reason),
    /// It was not decided in time.
    Timeout,
    /// The emit refuses a payload that the proof sequence accepts.
    Validity(String),
}

/// What is known of a row.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Payloads that are proved for every set of features that the emit looks at.
    pub payloads: u64,
    /// Payloads that the operation admits, of those that were asked for.
    pub payloads_total: u64,
    /// Native codes that were looked at: payloads times the sets of features for which there is an emit.
    pub codes: u64,
    /// Claims that were decided: distinct keys.
    pub claims: u64,
    /// Claims that needed more than normalising.
    pub formulas: u64,
    /// The algebraic steps that were taken, each once.
    pub algebra: Vec<&'static str>,
    /// The failure with the lowest payload.
    pub failure: Option<Failure>,
}

/// What was found out about a claim.
#[derive(Clone, Debug)]
enum Known {
    Proved,
    Failed(FailureKind),
}

/// Decided claims. One table serves all rows of a run.
#[derive(Debug)]
pub struct Claims {
    shards: Vec<Mutex<FxHashMap<Key, Known>>>,
    options: Options,
}

const SHARDS: usize = 64;

impl Claims {
    /// None decided.
    pub fn new(options: Options) -> Self {
        Claims { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), options }
    }

    fn shard(&self, key: Key) -> &Mutex<FxHashMap<Key, Known>> {
        &self.shards[key.low() as usize % SHARDS]
    }

    fn get(&self, key: Key) -> Option<Known> {
        self.shard(key).lock().expect("no worker panics with a lock").get(&key).cloned()
    }

    fn put(&self, key: Key, known: Known) {
        self.shard(key).lock().expect("no worker panics with a lock").insert(key, known);
    }

    /// Proves the payloads of a row whose combination numbers are in `combinations`, on all threads of the current pool.
    ///
    /// The sets of features are all subsets of those that the emit looks at.
    pub fn prove_row(&self, row: Row, combinations: impl IndexedParallelIterator<Item = u64>) -> Tally {
        let features = subsets(row.kop.features(row.arch));
        combinations
            .map_init(
                || Prover::new(self.options),
                |prover, index| self.prove_payload(prover, row, &features, index),
            )
            .reduce(Tally::default, Tally::and)
    }

    /// Proves all payloads of a row.
    pub fn prove_all(&self, row: Row) -> Tally {
        let total = row.form.layout.combinations();
        self.prove_row(
            row,
            (0..usize::try_from(total).expect("the space can be enumerated"))
                .into_par_iter()
                .map(|i| i as u64),
        )
    }

    fn prove_payload(&self, prover: &mut Prover, row: Row, features: &[Features], index: u64) -> Tally {
        let mut tally = Tally::default();
        let operands = row.form.layout.combination(index);
        let Ok(payload) = row.form.layout.encode(&operands) else { return tally };
        let site = Site { form: row.form, operands, features: Features::NONE };
        if row.kop.admits(&site).is_err() {
            return tally;
        }
        tally.payloads_total = 1;
        let proof = match row.kop.own_proof(row.arch, row.form, payload) {
            Some(own) => own,
            None => row.kop.instantiate(row.form, payload),
        };
        let proof = match proof {
            Ok(proof) => proof,
            Err(reject) => {
                let kind = FailureKind::Validity(format!("the proof sequence is refused: {reject}"));
                tally.failure = Some(Failure { payload, features: Features::NONE, kind });
                return tally;
            }
        };
        let mut last: Option<Vec<u8>> = None;
        for &features in features {
            let request = EmitRequest { arch: row.arch, features, payload, pass: Pass::Write, address: 0 };
            let code = match row.kop.emit(row.form, &request) {
                Ok(emission) => emission.bytes,
                Err(Reject::NoEmit { .. }) => continue,
                Err(reject) => {
                    let kind = FailureKind::Validity(format!("the emit is refused: {reject}"));
                    tally.failure = Some(Failure { payload, features, kind });
                    return tally;
                }
            };
            tally.codes += 1;
            if last.as_ref() == Some(&code) {
                continue;
            }
            let contract = row.kop.contract(&Site { features, ..site });
            let statement = Statement {
                proof: &proof,
                code: &code,
                arch: row.arch,
                dead: contract.dead,
                vectors: contract.vectors,
            };
            if let Known::Failed(kind) = self.known(prover, &statement, &mut tally) {
                tally.failure = Some(Failure { payload, features, kind });
                return tally;
            }
            last = Some(code);
        }
        tally.payloads = 1;
        tally
    }

    fn known(&self, prover: &mut Prover, statement: &Statement, tally: &mut Tally) -> Known {
        let code = match Decoded::new(statement.arch, statement.code) {
            Ok(code) => code,
            Err(unsupported) => return Known::Failed(FailureKind::Unsupported(unsupported.into())),
        };
        let key = key(statement, &code);
        if let Some(known) = self.get(key) {
            return known;
        }
        tally.claims += 1;
        let known = match prover.prove_decoded(statement, &code) {
            Verdict::Proved(evidence) => {
                tally.formulas += evidence.formulas() as u64;
                tally.algebra.extend(&evidence.algebra);
                Known::Proved
            }
            // The registers of a counterexample are those of this payload.
            Verdict::Refuted(counterexample) => return Known::Failed(FailureKind::Refuted(counterexample)),
            Verdict::Unsupported(reason) => Known::Failed(FailureKind::Unsupported(reason)),
            Verdict::Timeout => Known::Failed(FailureKind::Timeout),
        };
        self.put(key, known.clone());
        known
    }
}

impl Tally {
    /// Whether all payloads are proved, and there are any.
    pub const fn is_proved(&self) -> bool {
        self.failure.is_none() && self.payloads == self.payloads_total && self.codes > 0
    }

    /// Both together.
    #[must_use]
    fn and(mut self, other: Tally) -> Tally {
        self.payloads += other.payloads;
        self.payloads_total += other.payloads_total;
        self.codes += other.codes;
        self.claims += other.claims;
        self.formulas += other.formulas;
        self.algebra.extend(other.algebra);
        self.algebra.sort_unstable();
        self.algebra.dedup();
        self.failure = match (self.failure, other.failure) {
            (Some(a), Some(b)) => Some(if a.payload <= b.payload { a } else { b }),
            (a, b) => a.or(b),
        };
        self
    }
}

/// All subsets of a set of features, the empty one first.
fn subsets(features: Features) -> Vec<Features> {
    features.iter().fold(vec![Features::NONE], |mut sets, feature| {
        let with: Vec<Features> = sets.iter().map(|set| set.union(Features::of(&[feature]))).collect();
        sets.extend(with);
        sets
    })
}
