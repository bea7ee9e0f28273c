// SPDX-License-Identifier: GPL-2.0-or-later
//! Deciding a claim in one case: by its terms, by its circuit, by algebra, by the solver; whichever comes first.

use std::time::{Duration, Instant};

use kop_semantics::Domain;
use rustc_hash::FxHashMap;

use super::counterexample::{Counterexample, clashes};
use super::obligation::{Claim, Obligation};
use super::{Evidence, Reason, Verdict};
use crate::aig::{Blaster, Wire};
use crate::algebra::{self, Algebra};
use crate::sat::{self, Answer, Refutation};
use crate::term::{Term, Terms};

/// How a case was proved.
pub(super) enum Step {
    Terms,
    Circuits,
    /// With the algebraic steps that came before.
    Solver(Option<Box<Refutation>>, Vec<&'static str>),
    Algebra(Vec<&'static str>),
}

impl Step {
    pub fn count(self, evidence: &mut Evidence) {
        match self {
            Step::Terms => evidence.by_terms += 1,
            Step::Circuits => evidence.by_circuits += 1,
            Step::Solver(kept, steps) => {
                evidence.by_solver += 1;
                evidence.algebra.extend(steps);
                evidence.refutations.extend(kept.map(|refutation| *refutation));
            }
            Step::Algebra(steps) => {
                evidence.by_algebra += 1;
                evidence.algebra.extend(steps);
            }
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
    let (blaster, wire) = circuit(terms, &hypotheses, &open);
    if wire == Wire::FALSE {
        return by_circuit(&blaster, wire, keep);
    }
    let mut steps = Vec::new();
    let open = by_algebra(terms, open, &mut steps);
    if open.is_empty() {
        return Decided::Proved(Step::Algebra(steps));
    }
    if let Some(step) = by_halves(terms, &hypotheses, &open, deadline, &mut steps, keep) {
        return Decided::Proved(step);
    }
    let (mut blaster, mut wire) = circuit(terms, &hypotheses, &open);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let model = match sat::decide(&blaster.aig, wire, left.max(Duration::from_millis(1))) {
            Err(flaw) => return Decided::Other(Verdict::Unsupported(flaw.into())),
            Ok(Answer::Timeout) => return Decided::Other(Verdict::Timeout),
            Ok(Answer::Never(refutation)) => {
                return Decided::Proved(Step::Solver(keep.then_some(refutation), steps));
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

/// What a circuit that is never 1 comes to; for a certificate it becomes clauses, too.
fn by_circuit(blaster: &Blaster, wire: Wire, keep: bool) -> Decided {
    if !keep {
        return Decided::Proved(Step::Circuits);
    }
    match sat::decide(&blaster.aig, wire, Duration::from_secs(60)) {
        Ok(Answer::Never(refutation)) => Decided::Proved(Step::Solver(Some(refutation), Vec::new())),
        Ok(_) => Decided::Proved(Step::Circuits),
        Err(flaw) => Decided::Other(Verdict::Unsupported(flaw.into())),
    }
}

/// The obligations that no normal form shows to hold.
fn by_algebra<'a>(
    terms: &mut Terms,
    open: Vec<&'a Obligation>,
    steps: &mut Vec<&'static str>,
) -> Vec<&'a Obligation> {
    let mut algebra = Algebra::new(terms);
    let shown: Vec<Option<algebra::Step>> =
        open.iter().map(|obligation| algebra.equal(obligation.proof, obligation.native)).collect();
    let mut left = Vec::new();
    for (obligation, step) in open.into_iter().zip(shown) {
        let (proof, native) = (obligation.proof, obligation.native);
        let by_conditions =
            || algebra::same_in_all_cases(terms, proof, native).then_some(algebra::Step::Conditions);
        match step.or_else(by_conditions) {
            Some(step) => steps.push(step.name()),
            None => left.push(obligation),
        }
    }
    left
}

/// The proof where high products are expanded, if there are any and that suffices.
fn by_halves(
    terms: &mut Terms,
    hypotheses: &[Term],
    open: &[&Obligation],
    deadline: Instant,
    steps: &mut Vec<&'static str>,
    keep: bool,
) -> Option<Step> {
    let roots: Vec<Term> =
        open.iter().flat_map(|o| [o.proof, o.native]).chain(hypotheses.iter().copied()).collect();
    let (expanded, bounds) = algebra::by_halves(terms, &roots)?;
    let (pairs, others) = expanded.split_at(2 * open.len());
    let pairs: Vec<[Term; 2]> = pairs.chunks(2).map(|pair| [pair[0], pair[1]]).collect();
    if algebra::same_integer(terms, &bounds, &pairs) {
        steps.push(algebra::Step::Halves.name());
        steps.push(algebra::Step::Integers.name());
        return Some(Step::Algebra(std::mem::take(steps)));
    }
    let obligations: Vec<Obligation> = pairs
        .iter()
        .zip(open)
        .map(|([proof, native], open)| Obligation { what: open.what.clone(), proof: *proof, native: *native })
        .collect();
    let mut hypotheses = others.to_vec();
    for (product, most) in bounds {
        let width = terms.width(product);
        let most = terms.constant(width, most);
        let above = terms.ult(width, most, product);
        hypotheses.push(terms.not(1, above));
    }
    let (blaster, wire) = circuit(terms, &hypotheses, &obligations.iter().collect::<Vec<_>>());
    let left = deadline.saturating_duration_since(Instant::now()) / 2;
    let Ok(Answer::Never(refutation)) = sat::decide(&blaster.aig, wire, left) else { return None };
    steps.push(algebra::Step::Halves.name());
    Some(Step::Solver(keep.then_some(refutation), std::mem::take(steps)))
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
