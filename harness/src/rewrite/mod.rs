// SPDX-License-Identifier: GPL-2.0-or-later
//! Rewriting, validated: [`Proved`] is the prover as the rewriter asks it, [`Sampled`] tries claims on numbers, and [`compare`] runs a
//! program and what it was rewritten to.

mod generate;
#[cfg(feature = "prover")]
pub mod profile;
#[cfg(feature = "prover")]
mod proved;
mod sample;

use kop_jit::lower;
use kop_jit::rewrite::{Options, Rewritten, Validator, rewrite};
use kop_ops::ebpf::RegSet;
use kop_ops::{Catalog, Fault, Slot};

pub use generate::case;
#[cfg(feature = "prover")]
pub use proved::Proved;
pub use sample::{Difference, Sampled, refute};

use crate::program::{CaseProblem, ProgramCase, ProgramRig, Terms};

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
        compares_stack: true,
        slot: SLOT,
    };
    Ok(terms.compare(&expected, &actual).map(|difference| format!("rewritten, on spec: {difference}")))
}
