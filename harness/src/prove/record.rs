// SPDX-License-Identifier: GPL-2.0-or-later
//! What the prover says, as the record of a run.

use std::path::Path;
use std::time::Duration;

use kop_prover::sweep::FailureKind;
use kop_reports as reports;

use super::{Proved, Settings};
use crate::rig::Rig;
use crate::{describe, place};

/// The record, with every counterexample minimised; `save` is the directory for cases.
///
/// # Errors
/// Why an engine cannot be made or a case cannot be written, in one line.
pub fn record(
    proved: &[Proved],
    settings: &Settings,
    elapsed: Duration,
    save: Option<&Path>,
) -> Result<reports::Record, String> {
    let mut rig = None;
    let mut rows = Vec::new();
    for row in proved {
        rows.push(one(row, settings, save, &mut rig)?);
    }
    Ok(reports::Record {
        schema: reports::SCHEMA.to_owned(),
        verdict: reports::Record::verdict_of(&rows),
        seed: 0,
        engines: crate::selection::engines_of(&settings.engines),
        ops: rows,
        elapsed_s: seconds(elapsed),
        jobs: settings.jobs,
        timings: None,
        rates: Vec::new(),
        mutation: None,
    })
}

fn one(
    row: &Proved,
    settings: &Settings,
    save: Option<&Path>,
    rig: &mut Option<Rig>,
) -> Result<reports::Row, String> {
    let (kop, form, arch) = (row.kop, row.form, row.arch);
    let proof = proof(row);
    let mut divergences = Vec::new();
    if let Some(finding) = &row.finding {
        let rig = match rig {
            Some(rig) => rig,
            None => rig.insert(Rig::new(&settings.engines)?),
        };
        rig.take_breath();
        let scope = &settings.scope;
        divergences.push(describe::divergence(rig, kop, form, finding, 1, arch, scope, save)?);
    }
    let verdict = match proof.verdict {
        reports::ProofVerdict::Proved | reports::ProofVerdict::Partial => reports::RowVerdict::Equivalent,
        reports::ProofVerdict::Refuted => reports::RowVerdict::Divergent,
        reports::ProofVerdict::Unsupported | reports::ProofVerdict::Timeout => reports::RowVerdict::Untested,
    };
    Ok(reports::Row {
        payloads: row.tally.payloads,
        payloads_total: proof.payloads_total,
        states: 0,
        verdict,
        untested: proof.reason.clone(),
        contract: kop.declared_contract().to_vec(),
        unseen_purpose: kop.unseen_purpose().map(str::to_owned),
        divergences,
        proof: Some(proof),
        source: place::source(kop, Some(arch)),
        ..reports::Row::of_case(kop.name(), &form.name, arch.name())
    })
}

fn proof(row: &Proved) -> reports::Proof {
    let tally = &row.tally;
    let (verdict, reason) = match &tally.failure {
        None if row.whole && tally.is_proved() => (reports::ProofVerdict::Proved, None),
        None if tally.is_proved() => (reports::ProofVerdict::Partial, None),
        None => (
            reports::ProofVerdict::Unsupported,
            Some("no payload that was looked at has an emit: the proof sequence is compiled".to_owned()),
        ),
        Some(failure) => match &failure.kind {
            FailureKind::Refuted(_) | FailureKind::Callbacks(_) => (reports::ProofVerdict::Refuted, None),
            FailureKind::Unsupported(reason) => {
                let reason = format!("payload {:#x}: {reason}", failure.payload);
                (reports::ProofVerdict::Unsupported, Some(reason))
            }
            FailureKind::Timeout => {
                let reason = format!("payload {:#x} was not decided in time", failure.payload);
                (reports::ProofVerdict::Timeout, Some(reason))
            }
        },
    };
    let is_counted = verdict == reports::ProofVerdict::Proved;
    let total = if is_counted { tally.payloads_total } else { describe::payloads_total(row.kop, row.form) };
    reports::Proof {
        verdict,
        payloads: tally.payloads,
        payloads_total: total,
        formulas: tally.claims,
        solved: tally.formulas,
        recalled: tally.recalled,
        algebra: tally.algebra.iter().map(|&step| step.to_owned()).collect(),
        reason,
        seconds: seconds(row.elapsed),
    }
}

/// Seconds to the millisecond.
pub(super) fn seconds(spent: Duration) -> f64 {
    (spent.as_secs_f64() * 1000.0).round() / 1000.0
}
