// SPDX-License-Identifier: GPL-2.0-or-later
//! What is known of the JIT's instructions, as the record of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use kop_emulators::inspect::listing;
use kop_ops::ebpf::Reg;
use kop_prover::statement::Counterexample;
use kop_reports as reports;

use super::claims::{Failure, FailureKind};
use super::{Proved, Settings};
use crate::prove::record::seconds;
use crate::subject::difference;

/// Why a row is partial.
const SAMPLED: &str = "numbers are those at which encodings change";

/// The record: a row for each form and architecture, under the name `jit`.
pub fn record(proved: &[Proved], settings: &Settings, elapsed: Duration) -> reports::Record {
    let rows: Vec<reports::Row> = proved.iter().map(row).collect();
    reports::Record {
        schema: reports::SCHEMA.to_owned(),
        verdict: reports::Record::verdict_of(&rows),
        seed: 0,
        engines: Vec::new(),
        ops: rows,
        elapsed_s: seconds(elapsed),
        jobs: settings.jobs,
        timings: None,
        rates: Vec::new(),
        mutation: None,
    }
}

fn row(row: &Proved) -> reports::Row {
    let (proof_verdict, reason) = verdict(row);
    let verdict = match proof_verdict {
        reports::ProofVerdict::Proved | reports::ProofVerdict::Partial => reports::RowVerdict::Equivalent,
        reports::ProofVerdict::Refuted => reports::RowVerdict::Divergent,
        reports::ProofVerdict::Unsupported | reports::ProofVerdict::Timeout => reports::RowVerdict::Untested,
    };
    let proof = reports::Proof {
        verdict: proof_verdict,
        payloads: row.insns,
        payloads_total: row.insns_total,
        formulas: row.claims,
        solved: row.formulas,
        recalled: 0,
        algebra: row.algebra.iter().map(|&step| step.to_owned()).collect(),
        reason: reason.clone(),
        seconds: seconds(row.elapsed),
    };
    reports::Row {
        payloads: row.insns,
        payloads_total: row.insns_total,
        states: 0,
        verdict,
        untested: reason.filter(|_| verdict == reports::RowVerdict::Untested),
        divergences: row.failure.iter().filter_map(|failure| divergence(row, failure)).collect(),
        proof: Some(proof),
        ..reports::Row::of_case("jit", &row.form, row.arch.name())
    }
}

fn verdict(row: &Proved) -> (reports::ProofVerdict, Option<String>) {
    if let Some(reason) = row.listed {
        return (reports::ProofVerdict::Unsupported, Some(reason.to_owned()));
    }
    let Some(failure) = &row.failure else {
        if row.whole {
            return (reports::ProofVerdict::Proved, None);
        }
        return (reports::ProofVerdict::Partial, Some(SAMPLED.to_owned()));
    };
    let insns = text(failure);
    match &failure.kind {
        FailureKind::Refuted(_) => (reports::ProofVerdict::Refuted, None),
        FailureKind::Unsupported(reason) => {
            (reports::ProofVerdict::Unsupported, Some(format!("`{insns}`: {reason}")))
        }
        FailureKind::Compile(error) => {
            (reports::ProofVerdict::Unsupported, Some(format!("`{insns}` does not compile: {error}")))
        }
        FailureKind::Timeout => {
            (reports::ProofVerdict::Timeout, Some(format!("`{insns}` was not decided in time")))
        }
    }
}

fn text(failure: &Failure) -> String {
    failure.insns.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// A counterexample as a divergence.
fn divergence(row: &Proved, failure: &Failure) -> Option<reports::Divergence> {
    let FailureKind::Refuted(found) = &failure.kind else { return None };
    let native = listing(row.arch, &failure.code);
    Some(reports::Divergence {
        kind: kind(found),
        engine: "-".to_owned(),
        payload: text(failure),
        operands: BTreeMap::new(),
        first_difference: Some(difference(
            found.what.clone(),
            format!("{:#x}", found.proof),
            format!("{:#x}", found.native),
        )),
        case: None,
        message: format!("the compiler's code is wrong: {}", found.what),
        blame: reports::Blame::Engine("the JIT".to_owned()),
        blame_reason: "its code does something else in the state of the prover's counterexample".to_owned(),
        cause: None,
        features: failure.features.to_string(),
        occurrences: 1,
        reproduce: Some(format!("kop prove --jit --arch {}", row.arch)),
        minimised: None,
        sides: vec![state(found)],
        proof: failure.insns.iter().map(ToString::to_string).collect(),
        native: native
            .into_iter()
            .map(|line| reports::ListingLine {
                offset: line.offset,
                bytes: line.bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "),
                text: line.text,
            })
            .collect(),
        known: None,
    })
}

/// Which kind of divergence a counterexample is, by what it says.
fn kind(found: &Counterexample) -> reports::Kind {
    let is_register = Reg::ALL.iter().any(|register| found.what == format!("{register} differs"));
    if is_register {
        reports::Kind::Register
    } else if found.what.starts_with("the byte at") {
        reports::Kind::Memory
    } else {
        reports::Kind::Frame
    }
}

/// The state in which the claim is false.
fn state(found: &Counterexample) -> reports::Side {
    let registers = Reg::ALL.into_iter().map(|register| {
        let value = format!("{:#x}", found.register(register));
        reports::RegisterPair { name: register.to_string(), before: value.clone(), after: value }
    });
    reports::Side {
        engine: "counterexample".to_owned(),
        registers: registers.collect(),
        memory: found
            .memory
            .iter()
            .map(|(address, byte)| {
                let byte = format!("{byte:#04x}");
                (format!("{address:#x}"), byte.clone(), byte)
            })
            .collect(),
        fault: None,
        frame: Vec::new(),
    }
}
