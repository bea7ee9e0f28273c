// SPDX-License-Identifier: GPL-2.0-or-later
//! A checker of LRAT proofs: what the solver says is believed for what it can show.
//!
//! It accepts a proof if every clause follows by reverse unit propagation: its literals are assumed false, and each clause of the
//! hint either has one literal left, which is assumed true, or none, which is the contradiction that has to come. No clause follows
//! by any other rule.

use super::lrat::{Proof, Step};
use crate::aig::Clauses;

/// Why a proof is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A clause of a hint or a deletion is not there.
    #[error("step {step} names clause {id}, which is not there")]
    Missing {
        /// The step, counted from zero.
        step: usize,
        /// The clause.
        id: u64,
    },
    /// A clause of a hint is satisfied, or has more than one literal left.
    #[error("step {step}: clause {id} does not propagate")]
    NotUnit {
        /// The step.
        step: usize,
        /// The clause.
        id: u64,
    },
    /// The hints do not lead to a contradiction.
    #[error("step {step} does not follow from its hints")]
    NoConflict {
        /// The step.
        step: usize,
    },
    /// The number of a clause is not above those before it.
    #[error("step {step} reuses the number {id}")]
    Reused {
        /// The step.
        step: usize,
        /// The number.
        id: u64,
    },
    /// A literal is zero or of a variable that the formula does not have.
    #[error("step {step} has literal {literal}, which the formula does not have")]
    Literal {
        /// The step.
        step: usize,
        /// The literal.
        literal: i32,
    },
    /// The empty clause is not derived.
    #[error("the proof does not derive the empty clause")]
    Unfinished,
}

/// Checks that `proof` shows `formula` to be unsatisfiable.
///
/// # Errors
/// The first [`Flaw`].
pub fn check(formula: &Clauses, proof: &Proof) -> Result<(), Flaw> {
    let mut checker = Checker::new(formula);
    for (number, step) in proof.steps.iter().enumerate() {
        match step {
            Step::Add { id, clause, hints } => {
                checker.add(number, *id, clause, hints)?;
                if clause.is_empty() {
                    return Ok(());
                }
            }
            Step::Delete(ids) => {
                for id in ids {
                    checker.take(number, *id)?;
                }
            }
        }
    }
    Err(Flaw::Unfinished)
}

/// The clauses there are, and what is assumed.
struct Checker<'a> {
    /// By number, less one.
    clauses: Vec<Option<&'a [i32]>>,
    /// By variable: 1 true, -1 false, 0 unknown.
    values: Vec<i8>,
    assumed: Vec<i32>,
}

/// What the assumptions leave of a clause.
enum Left {
    Nothing,
    One(i32),
    More,
}

impl<'a> Checker<'a> {
    fn new(formula: &'a Clauses) -> Self {
        Checker {
            clauses: formula.clauses.iter().map(|clause| Some(clause.as_slice())).collect(),
            values: vec![0; formula.variables as usize + 1],
            assumed: Vec::new(),
        }
    }

    fn get(&self, step: usize, id: u64) -> Result<&'a [i32], Flaw> {
        let index = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        index.and_then(|index| *self.clauses.get(index)?).ok_or(Flaw::Missing { step, id })
    }

    fn take(&mut self, step: usize, id: u64) -> Result<(), Flaw> {
        self.get(step, id)?;
        self.clauses[id as usize - 1] = None;
        Ok(())
    }

    fn add(&mut self, step: usize, id: u64, clause: &'a [i32], hints: &[u64]) -> Result<(), Flaw> {
        if id <= self.clauses.len() as u64 {
            return Err(Flaw::Reused { step, id });
        }
        let known = |literal: &i32| *literal != 0 && (literal.unsigned_abs() as usize) < self.values.len();
        if let Some(&literal) = clause.iter().find(|literal| !known(literal)) {
            return Err(Flaw::Literal { step, literal });
        }
        let follows = self.follows(step, clause, hints);
        for literal in self.assumed.drain(..) {
            self.values[literal.unsigned_abs() as usize] = 0;
        }
        follows?;
        self.clauses.resize(id as usize - 1, None);
        self.clauses.push(Some(clause));
        Ok(())
    }

    fn follows(&mut self, step: usize, clause: &[i32], hints: &[u64]) -> Result<(), Flaw> {
        for literal in clause {
            if self.value(*literal) > 0 {
                // The clause has a literal and its complement.
                return Ok(());
            }
            self.assume(-*literal);
        }
        for &id in hints {
            match self.left(self.get(step, id)?) {
                Left::Nothing => return Ok(()),
                Left::One(literal) => self.assume(literal),
                Left::More => return Err(Flaw::NotUnit { step, id }),
            }
        }
        Err(Flaw::NoConflict { step })
    }

    fn value(&self, literal: i32) -> i8 {
        let value = self.values[literal.unsigned_abs() as usize];
        if literal < 0 { -value } else { value }
    }

    fn assume(&mut self, literal: i32) {
        if self.value(literal) == 0 {
            self.values[literal.unsigned_abs() as usize] = if literal < 0 { -1 } else { 1 };
            self.assumed.push(literal);
        }
    }

    fn left(&self, clause: &[i32]) -> Left {
        let mut one = None;
        for &literal in clause {
            match self.value(literal) {
                -1 => {}
                0 if one.is_none() || one == Some(literal) => one = Some(literal),
                _ => return Left::More,
            }
        }
        one.map_or(Left::Nothing, Left::One)
    }
}
