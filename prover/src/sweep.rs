// SPDX-License-Identifier: GPL-2.0-or-later
//! All payloads of a form: each is decoded and looked up by the key of its claim, so that claims that differ in the names of registers
//! alone are decided once.

use std::sync::Mutex;

use kop_ops::ebpf::Insn;
use kop_ops::kop::{EmitRequest, Pass, Reject};
use kop_ops::{Arch, Features, Form, Kop, Site};
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::statement::{
    Counterexample, Decoded, Evidence, Grants, Key, Options, Prover, Reason, Statement, Verdict, key,
};

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
    /// How often a claim was one that an earlier run had proved.
    pub recalled: u64,
    /// Claims that needed more than normalising.
    pub formulas: u64,
    /// The algebraic steps that were taken, each once.
    pub algebra: Vec<&'static str>,
    /// The failure with the lowest payload.
    pub failure: Option<Failure>,
    /// That failure and those behind it, ascending by payload, as far as they are kept; [`Claims::explain`] says what is wrong with
    /// them.
    pub failures: Vec<Failure>,
    /// The claims that were proved, where formulas and proofs are kept.
    pub certified: Vec<Certified>,
}

/// How many failures of a row are kept.
const MOST_FAILURES: usize = 32;

/// A claim that was proved, with what an independent checker needs.
#[derive(Clone, Debug)]
pub struct Certified {
    /// The payload.
    pub payload: u64,
    /// What the CPU has.
    pub features: Features,
    /// The proof sequence.
    pub proof: Vec<Insn>,
    /// The native code.
    pub code: Vec<u8>,
    /// What the proof consists of.
    pub evidence: Evidence,
}

/// What was found out about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Proved,
    /// By an earlier run.
    Recalled,
    NotProved,
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

    /// As if the claims with these keys had been proved; an earlier run with the same [`VERSION`](crate::VERSION) did.
    pub fn recall(&self, keys: impl IntoIterator<Item = Key>) {
        keys.into_iter().for_each(|key| self.put(key, Known::Recalled));
    }

    /// The keys of all claims that are proved, recalled ones included; in no order.
    pub fn proved(&self) -> Vec<Key> {
        let shards = self.shards.iter().map(|shard| shard.lock().expect("no worker panics with a lock"));
        shards.flat_map(|shard| proved_keys(&shard)).collect()
    }

    fn shard(&self, key: Key) -> &Mutex<FxHashMap<Key, Known>> {
        &self.shards[key.low() as usize % SHARDS]
    }

    fn get(&self, key: Key) -> Option<Known> {
        self.shard(key).lock().expect("no worker panics with a lock").get(&key).copied()
    }

    fn put(&self, key: Key, known: Known) {
        self.shard(key).lock().expect("no worker panics with a lock").insert(key, known);
    }

    /// Proves payloads of a row for CPUs with each of the sets of features, on all threads of the current pool; those that the
    /// operation does not admit do not count.
    pub fn prove_payloads(
        &self,
        row: Row,
        features: &[Features],
        payloads: impl ParallelIterator<Item = u64>,
    ) -> Tally {
        let mut tally = payloads
            .map_init(
                || Prover::new(self.options),
                |prover, payload| self.prove_payload(prover, row, features, payload),
            )
            .reduce(Tally::default, Tally::and);
        tally.failure = tally.failures.first().map(|failure| self.explain(row, failure));
        tally
    }

    /// A failure with what is wrong: the table remembers that a claim is not proved, and not in which state it is false.
    pub fn explain(&self, row: Row, failure: &Failure) -> Failure {
        explained(self.options, row, failure)
    }

    /// Proves all payloads of a row, the temporaries and other operands in all combinations that the operation admits, for all
    /// subsets of the features that the emit looks at.
    pub fn prove_all(&self, row: Row) -> Tally {
        let layout = &row.form.layout;
        let combinations = (0..layout.combinations()).into_par_iter();
        self.prove_payloads(
            row,
            &row.kop.features(row.arch).subsets(),
            combinations.filter_map(|number| layout.encode(&layout.combination(number)).ok()),
        )
    }

    fn prove_payload(&self, prover: &mut Prover, row: Row, features: &[Features], payload: u64) -> Tally {
        let mut tally = Tally::default();
        let admitted = Site::decode(row.form, payload, Features::NONE).and_then(|site| row.kop.admits(&site));
        if admitted.is_err() {
            return tally;
        }
        tally.payloads_total = 1;
        let failed = |features, kind| vec![Failure { payload, features, kind }];
        let proof = match proof_of(row, payload) {
            Ok(proof) => proof,
            Err(kind) => {
                tally.failures = failed(Features::NONE, kind);
                return tally;
            }
        };
        let mut last: Option<Vec<u8>> = None;
        for &features in features {
            let code = match code_of(row, payload, features) {
                Ok(Some(code)) => code,
                Ok(None) => continue,
                Err(kind) => {
                    tally.failures = failed(features, kind);
                    return tally;
                }
            };
            tally.codes += 1;
            if last.as_ref() == Some(&code) {
                continue;
            }
            if self.known(prover, row, (payload, features), &proof, &code, &mut tally) == Known::NotProved {
                tally.failures = failed(features, FailureKind::Timeout);
                return tally;
            }
            last = Some(code);
        }
        tally.payloads = 1;
        tally
    }

    fn known(
        &self,
        prover: &mut Prover,
        row: Row,
        (payload, features): (u64, Features),
        proof: &[Insn],
        code: &[u8],
        tally: &mut Tally,
    ) -> Known {
        let statement = statement(row, payload, features, proof, code);
        let Ok(decoded) = Decoded::new(row.arch, code) else { return Known::NotProved };
        let key = key(&statement, &decoded);
        if let Some(known) = self.get(key) {
            tally.recalled += u64::from(known == Known::Recalled);
            return known;
        }
        tally.claims += 1;
        let known = match prover.prove_decoded(&statement, &decoded) {
            Verdict::Proved(evidence) => {
                tally.formulas += evidence.formulas() as u64;
                tally.algebra.extend(&evidence.algebra);
                if self.options.keep {
                    let (proof, code, evidence) = (proof.to_vec(), code.to_vec(), *evidence);
                    tally.certified.push(Certified { payload, features, proof, code, evidence });
                }
                Known::Proved
            }
            _ => Known::NotProved,
        };
        self.put(key, known);
        known
    }
}

fn proved_keys(shard: &FxHashMap<Key, Known>) -> Vec<Key> {
    shard.iter().filter(|(_, known)| **known != Known::NotProved).map(|(key, _)| *key).collect()
}

fn proof_of(row: Row, payload: u64) -> Result<Vec<Insn>, FailureKind> {
    let own = row.kop.own_proof(row.arch, row.form, payload);
    own.unwrap_or_else(|| row.kop.instantiate(row.form, payload))
        .map_err(|reject| FailureKind::Validity(format!("the proof sequence is refused: {reject}")))
}

/// The native code, if there is any for these features.
fn code_of(row: Row, payload: u64, features: Features) -> Result<Option<Vec<u8>>, FailureKind> {
    let request = EmitRequest { arch: row.arch, features, payload, pass: Pass::Write, address: 0 };
    match row.kop.emit(row.form, &request) {
        Ok(emission) => Ok(Some(emission.bytes)),
        Err(Reject::NoEmit { .. }) => Ok(None),
        Err(reject) => Err(FailureKind::Validity(format!("the emit is refused: {reject}"))),
    }
}

fn statement<'a>(
    row: Row,
    payload: u64,
    features: Features,
    proof: &'a [Insn],
    code: &'a [u8],
) -> Statement<'a> {
    let site = Site::decode(row.form, payload, features).expect("it was admitted");
    let contract = row.kop.contract(&site);
    Statement {
        proof,
        code,
        arch: row.arch,
        dead: contract.dead,
        vectors: contract.vectors,
        grants: Grants::default(),
    }
}

/// A failure with what is wrong, where it is about a claim.
fn explained(options: Options, row: Row, failure: &Failure) -> Failure {
    if matches!(failure.kind, FailureKind::Validity(_)) {
        return failure.clone();
    }
    let (payload, features) = (failure.payload, failure.features);
    let (Ok(proof), Ok(Some(code))) = (proof_of(row, payload), code_of(row, payload, features)) else {
        let kind = FailureKind::Validity("a second call does not answer as the first one did".to_owned());
        return Failure { kind, ..failure.clone() };
    };
    let kind = match Prover::new(options).prove(&statement(row, payload, features, &proof, &code)) {
        Verdict::Refuted(counterexample) => FailureKind::Refuted(counterexample),
        Verdict::Unsupported(reason) => FailureKind::Unsupported(reason),
        // What was not decided in time under load may be now, which changes nothing: it was not proved in this run.
        Verdict::Timeout | Verdict::Proved(_) => FailureKind::Timeout,
    };
    Failure { payload, features, kind }
}

impl Tally {
    /// Whether all payloads are proved, and there are any.
    pub fn is_proved(&self) -> bool {
        self.failures.is_empty() && self.payloads == self.payloads_total && self.codes > 0
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Tally) -> Tally {
        self.payloads += other.payloads;
        self.payloads_total += other.payloads_total;
        self.codes += other.codes;
        self.claims += other.claims;
        self.recalled += other.recalled;
        self.formulas += other.formulas;
        self.algebra.extend(other.algebra);
        self.algebra.sort_unstable();
        self.algebra.dedup();
        self.failure = match (self.failure, other.failure) {
            (Some(a), Some(b)) => Some(if a.payload <= b.payload { a } else { b }),
            (a, b) => a.or(b),
        };
        self.failures.extend(other.failures);
        self.failures.sort_by_key(|failure| failure.payload);
        self.failures.truncate(MOST_FAILURES);
        self.certified.extend(other.certified);
        self
    }
}
