// SPDX-License-Identifier: GPL-2.0-or-later
//! CaDiCaL with its proof, behind what is needed here.

use std::time::Instant;

use rustsat::solvers::{ControlSignal, Solve, SolveIncremental, SolverResult, Terminate};
use rustsat::types::{Lit, TernaryVal};
use rustsat_cadical::{CaDiCaL, Limit, ProofTracerHandle};

use super::trace::Trace;
use crate::aig::Clauses;

/// What a query comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Sat,
    Unsat,
    /// A limit was reached.
    Unknown,
}

/// The solver's name and version.
pub fn name() -> String {
    CaDiCaL::default().signature().to_owned()
}

/// A solver with the clauses of one formula and lemmas of it.
pub(super) struct Solver {
    cadical: CaDiCaL<'static, 'static>,
    trace: ProofTracerHandle<Trace>,
}

fn lit(literal: i32) -> Lit {
    Lit::from_ipasir(literal).expect("literals are not zero")
}

impl Solver {
    /// A solver with `formula`; its proof counts `originals` clauses, some of which may be added later by nobody.
    pub fn new(formula: &Clauses, originals: usize, deadline: Instant) -> Self {
        let mut cadical = CaDiCaL::default();
        // Extension variables need a rule that the checker does not have.
        cadical.set_option("factor", 0).expect("the option is there");
        let trace = cadical.connect_proof_tracer(Trace::new(originals), true);
        cadical.attach_terminator(move || {
            if Instant::now() < deadline { ControlSignal::Continue } else { ControlSignal::Terminate }
        });
        let mut solver = Solver { cadical, trace };
        formula.clauses.iter().for_each(|clause| solver.add(clause));
        solver
    }

    fn add(&mut self, clause: &[i32]) {
        let clause: Vec<Lit> = clause.iter().map(|literal| lit(*literal)).collect();
        self.cadical.add_clause_ref(&clause[..]).expect("there is memory for a clause");
    }

    pub fn trace(&mut self) -> &mut Trace {
        self.cadical.proof_tracer_mut(&self.trace)
    }

    /// Adds a clause that contains the last conclusion.
    pub fn add_lemma(&mut self, clause: &[i32]) {
        let of = self.trace().conclusion.as_ref().expect("there is a conclusion").0;
        self.trace().lemma_of = Some(of);
        self.add(clause);
    }

    /// Solves under assumptions with at most so many conflicts.
    pub fn solve(&mut self, assumptions: &[i32], conflicts: Option<i32>) -> Outcome {
        self.trace().conclusion = None;
        if let Some(conflicts) = conflicts {
            self.cadical.set_limit(Limit::Conflicts(conflicts)).expect("the limit is there");
        }
        let result = if assumptions.is_empty() {
            self.cadical.solve()
        } else {
            let assumptions: Vec<Lit> = assumptions.iter().map(|literal| lit(*literal)).collect();
            self.cadical.solve_assumps(&assumptions)
        };
        match result {
            Ok(SolverResult::Sat) => Outcome::Sat,
            Ok(SolverResult::Unsat) => Outcome::Unsat,
            // Out of memory is a limit, too.
            Ok(SolverResult::Interrupted) | Err(_) => Outcome::Unknown,
        }
    }

    /// Whether a variable is true in the model; one that does not matter is false.
    pub fn is_true(&self, variable: i32) -> bool {
        matches!(self.cadical.lit_val(lit(variable)), Ok(TernaryVal::True))
    }

    /// The trace, at the end.
    pub fn into_trace(mut self) -> Trace {
        self.cadical.disconnect_proof_tracer(self.trace).expect("the tracer is connected")
    }
}
