// SPDX-License-Identifier: GPL-2.0-or-later
//! All payloads of a form: each is decoded and looked up by the key of its claim, so that claims that differ in the names of registers
//! alone are decided once.

use std::sync::Mutex;

use kop_ops::ebpf::Insn;
use kop_ops::kop::{Emission, EmitRequest, Pass, Reject};
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
    /// One side refuses a payload that the other accepts, or there is something wrong with callbacks or code that shows without
    /// running it.
    Callbacks(String),
}

/// What is looked at besides what code does: how callbacks answer, and what may stand in code at all.
pub trait Inspection: Sync {
    /// What is wrong with a payload that both sides accept, and for which CPU; `emissions` are what the emit wrote for each.
    fn fault(
        &self,
        row: Row,
        payload: u64,
        proof: &[Insn],
        emissions: &[(Features, Emission)],
    ) -> Option<(Features, String)>;
}

/// Looks at nothing: for code that was looked at elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Uninspected;

impl Inspection for Uninspected {
    fn fault(
        &self,
        _row: Row,
        _payload: u64,
        _proof: &[Insn],
        _emissions: &[(Features, Emission)],
    ) -> Option<(Features, String)> {
        None
    }
}

/// What is known of a row.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Payloads that are proved for every set of features that the emit looks at.
    pub payloads: u64,
    /// Payloads that a side accepts, of those that were asked for.
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

    /// Proves payloads of a row for CPUs with each of the sets of features, on all threads of the current pool; those that both sides
    /// refuse do not count.
    pub fn prove_payloads(
        &self,
        row: Row,
        features: &[Features],
        inspection: &dyn Inspection,
        payloads: impl ParallelIterator<Item = u64>,
    ) -> Tally {
        let mut tally = self.tally(row, features, inspection, payloads);
        tally.failure = tally.failures.first().map(|failure| self.explain(row, failure));
        tally
    }

    /// [`Claims::prove_payloads`] without an explanation of the first failure, which takes as long as looking for it did.
    pub fn tally(
        &self,
        row: Row,
        features: &[Features],
        inspection: &dyn Inspection,
        payloads: impl ParallelIterator<Item = u64>,
    ) -> Tally {
        let prove =
            |prover: &mut Prover, payload| self.prove_payload(prover, row, features, inspection, payload);
        payloads.map_init(|| Prover::new(self.options), prove).reduce(Tally::default, Tally::and)
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
            &Uninspected,
            combinations.filter_map(|number| layout.encode(&layout.combination(number)).ok()),
        )
    }

    fn prove_payload(
        &self,
        prover: &mut Prover,
        row: Row,
        features: &[Features],
        inspection: &dyn Inspection,
        payload: u64,
    ) -> Tally {
        let mut tally = Tally::default();
        let fail = |mut tally: Tally, features, kind| {
            tally.payloads_total = 1;
            tally.failures = vec![Failure { payload, features, kind }];
            tally
        };
        let proof = proof_of(row, payload);
        let mut emissions = Vec::new();
        for &features in features {
            match (&proof, emission_of(row, payload, features)) {
                (_, Err(Reject::NoEmit { .. })) | (Err(_), Err(_)) => {}
                (Ok(_), Ok(emission)) => emissions.push((features, emission)),
                (Ok(_), Err(reject)) => {
                    let reason =
                        format!("the proof sequence accepts the payload, the emit refuses it: {reject}");
                    return fail(tally, features, FailureKind::Callbacks(reason));
                }
                (Err(reject), Ok(_)) => {
                    let reason =
                        format!("the emit accepts the payload, the proof sequence refuses it: {reject}");
                    return fail(tally, features, FailureKind::Callbacks(reason));
                }
            }
        }
        let Ok(proof) = proof else { return tally };
        if let Some((features, reason)) = inspection.fault(row, payload, &proof, &emissions) {
            return fail(tally, features, FailureKind::Callbacks(reason));
        }
        tally.payloads_total = 1;
        tally.codes = emissions.len() as u64;
        let mut last = None;
        for (features, emission) in &emissions {
            let statement = statement(row, payload, *features, &proof, &emission.bytes);
            let same = last.replace(statement) == Some(statement);
            if !same && self.known(prover, &statement, (payload, *features), &mut tally) == Known::NotProved {
                return fail(tally, *features, FailureKind::Timeout);
            }
        }
        tally.payloads = 1;
        tally
    }

    fn known(
        &self,
        prover: &mut Prover,
        statement: &Statement,
        (payload, features): (u64, Features),
        tally: &mut Tally,
    ) -> Known {
        let Ok(decoded) = Decoded::new(statement.arch, statement.code) else { return Known::NotProved };
        let key = key(statement, &decoded);
        if let Some(known) = self.get(key) {
            tally.recalled += u64::from(known == Known::Recalled);
            return known;
        }
        tally.claims += 1;
        let known = match prover.prove_decoded(statement, &decoded) {
            Verdict::Proved(evidence) => {
                tally.formulas += evidence.formulas() as u64;
                tally.algebra.extend(&evidence.algebra);
                if self.options.keep {
                    let (proof, code) = (statement.proof.to_vec(), statement.code.to_vec());
                    tally.certified.push(Certified { payload, features, proof, code, evidence: *evidence });
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

fn proof_of(row: Row, payload: u64) -> Result<Vec<Insn>, Reject> {
    let own = row.kop.own_proof(row.arch, row.form, payload);
    own.unwrap_or_else(|| row.kop.instantiate(row.form, payload))
}

fn emission_of(row: Row, payload: u64, features: Features) -> Result<Emission, Reject> {
    let request = EmitRequest { arch: row.arch, features, payload, pass: Pass::Write, address: 0 };
    row.kop.emit(row.form, &request)
}

fn statement<'a>(
    row: Row,
    payload: u64,
    features: Features,
    proof: &'a [Insn],
    code: &'a [u8],
) -> Statement<'a> {
    // Both sides may accept what the layout does not: then no operand says which registers may be lost.
    let operands = row.form.layout.decode(payload).unwrap_or_default();
    let contract = row.kop.contract(&Site { form: row.form, operands, features });
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
    if matches!(failure.kind, FailureKind::Callbacks(_)) {
        return failure.clone();
    }
    let (payload, features) = (failure.payload, failure.features);
    let (Ok(proof), Ok(emission)) = (proof_of(row, payload), emission_of(row, payload, features)) else {
        let kind = FailureKind::Callbacks("a second call does not answer as the first one did".to_owned());
        return Failure { kind, ..failure.clone() };
    };
    let code = emission.bytes;
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
