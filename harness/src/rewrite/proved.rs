// SPDX-License-Identifier: GPL-2.0-or-later
//! The prover as the rewriter asks it.

use std::collections::HashMap;
use std::time::Duration;

use kop_jit::rewrite::{Claim, Validator};
use kop_ops::ebpf::Reg;
use kop_prover::statement::{self, Evidence, Prover, Verdict};

use super::sample::{Difference, refute};

/// How long one claim may take. What is right takes milliseconds, but for a few; a program can have hundreds.
const LIMIT: Duration = Duration::from_secs(1);

/// How many states a claim is tried on before it is proved: what is wrong would keep a solver busy.
const STATES: u64 = 300;

/// Proves claims for all inputs. Each is decided once.
pub struct Proved {
    prover: Prover,
    decided: HashMap<Claim, Result<String, String>>,
}

impl Default for Proved {
    fn default() -> Self {
        let options = statement::Options { limit: LIMIT, ..statement::Options::default() };
        Self { prover: Prover::new(options), decided: HashMap::new() }
    }
}

impl Validator for Proved {
    fn validate(&mut self, claim: &Claim) -> Result<String, String> {
        if let Some(known) = self.decided.get(claim) {
            return known.clone();
        }
        let decided = match refute(claim, STATES) {
            Some(found) => Err(found.reason(claim)),
            None => self.prove(claim),
        };
        self.decided.insert(claim.clone(), decided.clone());
        decided
    }
}

impl Proved {
    fn prove(&mut self, claim: &Claim) -> Result<String, String> {
        match self.prover.equal(&claim.fragment, &claim.replacement, claim.live) {
            Verdict::Proved(evidence) => Ok(how(&evidence)),
            Verdict::Refuted(found) => {
                let before = Reg::ALL.map(|register| found.register(register));
                Err(Difference { what: found.what.to_string(), before }.reason(claim))
            }
            Verdict::Unsupported(reason) => Err(format!("no formula can be made of it: {reason}")),
            Verdict::Timeout => Err(format!("it was not proved in {} s", LIMIT.as_secs())),
        }
    }
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
