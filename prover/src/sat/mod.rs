// SPDX-License-Identifier: GPL-2.0-or-later
//! Deciding whether a wire of a circuit can be one: by CaDiCaL, in this process. When it says no, the LRAT proof that it gives while
//! it solves is checked by a small checker of ours before the answer counts.

mod checker;
mod lrat;
mod solver;
mod sweep;
#[cfg(test)]
mod tests;
mod trace;

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

pub use checker::{Flaw, check};
pub use lrat::{Proof, Step};

use crate::aig::{Aig, Clauses, Encoder, Wire};
pub use solver::name as solver_name;

use solver::{Outcome, Solver};
use trace::Trace;

/// Conflicts before gates are compared one by one.
const CONFLICTS_AT_FIRST: i32 = 3000;

/// Whether a wire can be one.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It is zero for all inputs, by a proof that has been checked.
    Never(Box<Refutation>),
    /// It is one for these inputs: values by gate; inputs that are missing do not matter.
    Can(FxHashMap<u32, bool>),
    /// The time was up.
    Timeout,
}

/// A formula with the proof that nothing satisfies it.
#[derive(Clone, Debug, Default)]
pub struct Refutation {
    /// The circuit as clauses; the last one says that the wire is one.
    pub formula: Clauses,
    /// The proof.
    pub proof: Proof,
}

/// Decides whether `wire` is one for any values of the inputs.
///
/// # Errors
/// A [`Flaw`] when the solver's proof is wrong: a bug in the solver or here, and never an answer.
pub fn decide(aig: &Aig, wire: Wire, limit: Duration) -> Result<Answer, Flaw> {
    let deadline = Instant::now() + limit;
    let mut encoder = Encoder::new();
    encoder.encode(aig, &[wire]);
    let mut formula = encoder.formula.clone();
    formula.clauses.push(vec![encoder.literal(wire)]);
    let mut solver = Solver::new(&formula, formula.clauses.len(), deadline);
    match solver.solve(&[], Some(CONFLICTS_AT_FIRST)) {
        Outcome::Sat => Ok(model(aig, wire, &encoder, &solver)),
        Outcome::Unsat => never(formula, solver.into_trace()),
        Outcome::Unknown => by_sweeping(aig, wire, &encoder, formula, deadline),
    }
}

/// The same with equalities between gates first. The claim itself is an assumption here, so that each equality stands without it.
fn by_sweeping(
    aig: &Aig,
    wire: Wire,
    encoder: &Encoder,
    formula: Clauses,
    deadline: Instant,
) -> Result<Answer, Flaw> {
    let mut solver = Solver::new(&encoder.formula, formula.clauses.len(), deadline);
    sweep::sweep(&mut solver, aig, encoder, &aig.cone(&[wire]), deadline);
    match solver.solve(&[encoder.literal(wire)], None) {
        Outcome::Sat => Ok(model(aig, wire, encoder, &solver)),
        Outcome::Unknown => Ok(Answer::Timeout),
        Outcome::Unsat => {
            let mut trace = solver.into_trace();
            if let Some((id, clause)) = trace.conclusion.clone()
                && !clause.is_empty()
            {
                trace.conclude(vec![formula.clauses.len() as u64, id]);
            }
            never(formula, trace)
        }
    }
}

fn never(formula: Clauses, trace: Trace) -> Result<Answer, Flaw> {
    check(&formula, &trace.proof)?;
    Ok(Answer::Never(Box::new(Refutation { formula, proof: trace.proof })))
}

fn model(aig: &Aig, wire: Wire, encoder: &Encoder, solver: &Solver) -> Answer {
    let gates = aig.cone(&[wire]);
    Answer::Can(
        gates.into_iter().filter_map(|gate| Some((gate, solver.is_true(encoder.variable(gate)?)))).collect(),
    )
}
