// SPDX-License-Identifier: GPL-2.0-or-later
//! Deciding a claim in one case: by its terms, by its circuit, by algebra, by the solver; whichever comes first.

use std::time::{Duration, Instant};

use kop_semantics::Domain;
use rustc_hash::FxHashMap;

use super::counterexample::{Counterexample, clashes};
use super::obligation::{Claim, Obligation};
use super::{Evidence, Reason, Verdict};
use crate::aig::{Blaster, Wire};
use crate::algebra;
use crate::sat::{self, Answer, Refutation};
use crate::term::{Term, Terms};

/// How a case was proved.
pub(super) enum Step {
    Terms,
    Circuits,
    Solver(Option<Box<Refutation>>),
    Algebra(&'static str),
}

impl Step {
    pub fn count(self, evidence: &mut Evidence) {
        match self {
            Step::Terms => evidence.by_terms += 1,
            Step::Circuits => evidence.by_circuits += 1,
            Step::Solver(kept) => {
                evidence.by_solver += 1;
                evidence.refutations.extend(kept.map(|refutation| *refutation));
            }
            Step::Algebra(name) => evidence.by_algebra.push(name),
        }
    }
}

/// What a case comes to.
pub(super) enum Decided {
    Proved(Step),
    Other(Verdict),
}

/// Decides a claim whose hypotheses are complete.
pub(super) fn decide_claim(
    terms: &mut Terms,
    claim: &Claim,
    initial: &[Term; 11],
    deadline: Instant,
    keep: bool,
) -> Decided {
    let open: Vec<&Obligation> = claim.obligations.iter().filter(|o| o.proof != o.native).collect();
    if open.is_empty() {
        return Decided::Proved(Step::Terms);
    }
    let mut hypotheses = claim.hypotheses.clone();
    let (mut blaster, mut wire) = circuit(terms, &hypotheses, &open);
    if wire == Wire::FALSE && !keep {
        return Decided::Proved(Step::Circuits);
    }
    if let Some(name) =
        algebra::all_equal(terms, &open.iter().map(|o| (o.proof, o.native)).collect::<Vec<_>>())
    {
        return Decided::Proved(Step::Algebra(name));
    }
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let model = match sat::decide(&blaster.aig, wire, left.max(Duration::from_millis(1))) {
            Err(flaw) => return Decided::Other(Verdict::Unsupported(flaw.into())),
            Ok(Answer::Timeout) => return Decided::Other(Verdict::Timeout),
            Ok(Answer::Never(refutation)) => {
                return Decided::Proved(Step::Solver(keep.then_some(refutation)));
            }
            Ok(Answer::Can(model)) => assignment(terms, &blaster, &model),
        };
        // Bytes that are at one address in this model are one byte.
        let same = clashes(terms, &claim.memories, &model);
        if same.is_empty() {
            let found = Counterexample::new(terms, claim, initial, &model);
            return Decided::Other(
                found.map_or(Verdict::Unsupported(Reason::Model), |c| Verdict::Refuted(Box::new(c))),
            );
        }
        hypotheses.extend(same);
        (blaster, wire) = circuit(terms, &hypotheses, &open);
    }
}

/// The circuit that is 1 where the hypotheses hold and an obligation does not.
fn circuit(terms: &mut Terms, hypotheses: &[Term], open: &[&Obligation]) -> (Blaster, Wire) {
    let mut blaster = Blaster::new();
    let mut bad = Wire::FALSE;
    for obligation in open {
        let (x, y) = (blaster.bits(terms, obligation.proof), blaster.bits(terms, obligation.native));
        for (x, y) in x.into_iter().zip(y) {
            let differ = blaster.aig.xor(x, y);
            bad = blaster.aig.or(bad, differ);
        }
    }
    for hypothesis in hypotheses {
        let bit = blaster.bits(terms, *hypothesis)[0];
        bad = blaster.aig.and(bad, bit);
    }
    (blaster, bad)
}

/// The values of variables, by number, in a model of the circuit.
fn assignment(terms: &Terms, blaster: &Blaster, model: &FxHashMap<u32, bool>) -> FxHashMap<u32, u64> {
    blaster
        .variables(terms)
        .map(|(number, bits)| {
            let value = bits.iter().rev().fold(0, |value, bit| {
                value << 1 | u64::from(model.get(&bit.gate()).copied().unwrap_or_default())
            });
            (number, value)
        })
        .collect()
}

/// The bit that is 1 where two values are equal.
pub(super) fn equal(terms: &mut Terms, a: Term, b: Term) -> Term {
    let width = terms.width(a);
    terms.eq(width, a, b)
}
