// SPDX-License-Identifier: GPL-2.0-or-later
//! Rewriting, validated: [`Proved`] is the prover as the rewriter asks it, [`Trial`] compares a program with what it was rewritten to.

mod generate;

use kop_jit::lower;
use kop_jit::rewrite::{Claim, Options, Rewritten, Validator, rewrite};
use kop_ops::ebpf::RegSet;
use kop_ops::{Catalog, Fault, Slot};
use kop_prover::statement::{self, Evidence, Prover, Verdict};

pub use generate::case;

use crate::program::{CaseProblem, ProgramCase, ProgramRig, Terms};
use std::time::Duration;

/// How long one claim may take. What is right takes milliseconds, but for a few; a program can have hundreds.
const LIMIT: Duration = Duration::from_secs(1);

/// Proves claims for all inputs.
pub struct Proved {
    prover: Prover,
}

impl Default for Proved {
    fn default() -> Self {
        Self { prover: Prover::new(statement::Options { limit: LIMIT, ..statement::Options::default() }) }
    }
}

impl Validator for Proved {
    fn validate(&mut self, claim: &Claim) -> Result<String, String> {
        match self.prover.equal(&claim.fragment, &claim.replacement, claim.live) {
            Verdict::Proved(evidence) => Ok(how(&evidence)),
            Verdict::Refuted(found) => Err(format!(
                "it is not the same: {}, where {}",
                found.what,
                registers(claim)
                    .iter()
                    .map(|register| format!("{register} = {:#x}", found.register(register)))
                    .collect::<Vec<_>>()
                    .join(", ")
            )),
            Verdict::Unsupported(reason) => Err(format!("no formula can be made of it: {reason}")),
            Verdict::Timeout => Err(format!("it was not proved in {} s", LIMIT.as_secs())),
        }
    }
}

/// The registers that decide what the original does.
fn registers(claim: &Claim) -> RegSet {
    let mut written = RegSet::EMPTY;
    let mut taken = RegSet::EMPTY;
    for insn in &claim.fragment {
        taken = taken.union(insn.reads().minus(written));
        written = written.union(insn.writes());
    }
    taken
}

fn how(evidence: &Evidence) -> String {
    let mut ways = Vec::new();
    for (count, way) in [
        (evidence.by_terms, "equal terms"),
        (evidence.by_circuits, "equal circuits"),
        (evidence.by_algebra, "algebra"),
        (evidence.by_solver, "a solver, whose proof was checked"),
    ] {
        if count > 0 {
            ways.push(way);
        }
    }
    format!("for all inputs, by {}", ways.join(", "))
}

/// What became of a program that was rewritten and compared.
#[derive(Debug)]
pub struct Trial {
    /// The rewritten object with its sites and near misses.
    pub rewritten: Rewritten,
    /// What is different, in one line; nothing where both do the same on every engine.
    pub difference: Option<String>,
    /// How many runs of engines were compared.
    pub runs: usize,
}

/// Where cases run.
const SLOT: Slot = Slot::of_batch(0);

/// The fuel of a rewritten program for each of the original: a proof sequence may be longer than what it stands for.
const MORE: u64 = 32;

/// Rewrites the programs of a case and compares both: the originals with the rewritten on `spec`, those with all engines of `rig`.
///
/// # Errors
/// [`CaseProblem`] when the case is none.
pub fn compare(
    rig: &mut ProgramRig,
    case: &ProgramCase,
    catalog: &Catalog,
    (options, validator): (&Options, &mut dyn Validator),
) -> Result<Trial, CaseProblem> {
    // What reads undefined registers says nothing.
    rig.judge(case, catalog)?;
    let rewritten = rewrite(&case.object, options, validator);
    let mut trial = Trial { rewritten, difference: None, runs: 0 };
    if trial.rewritten.found.is_empty() {
        return Ok(trial);
    }
    let fuel = case.fuel.saturating_mul(MORE);
    let after = ProgramCase { object: trial.rewritten.object.clone(), fuel, ..case.clone() };
    trial.difference = on_spec(case, &after, catalog)?;
    trial.runs = 1;
    if trial.difference.is_none() {
        let judged = rig.judge(&after, catalog)?;
        trial.runs += judged.ran.len();
        trial.difference = judged.findings.first().map(ToString::to_string);
    }
    Ok(trial)
}

fn on_spec(
    before: &ProgramCase,
    after: &ProgramCase,
    catalog: &Catalog,
) -> Result<Option<String>, CaseProblem> {
    let lowered = [lower(&before.object, catalog)?, lower(&after.object, catalog)?];
    let mut expected = before.spec(&lowered[0].object)?;
    let mut actual = after.spec(&lowered[1].object)?;
    if matches!(&expected.end, Err(trap) if trap.fault == Fault::RunAway) {
        return Ok(None);
    }
    for outcome in [&mut expected, &mut actual] {
        // Instructions have other places.
        if let Err(trap) = &mut outcome.end {
            trap.at = None;
        }
    }
    let terms = Terms {
        precision: kop_emulators::program::Precision::Exact,
        defined: RegSet::EMPTY,
        lowered: &lowered[0],
        is_lowered: [true, true],
        slot: SLOT,
    };
    Ok(terms.compare(&expected, &actual).map(|difference| format!("rewritten, on spec: {difference}")))
}
