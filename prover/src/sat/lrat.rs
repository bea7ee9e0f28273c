// SPDX-License-Identifier: GPL-2.0-or-later
//! LRAT proofs (Cruz-Filipe, Heule, Hunt, Kaufmann, Schneider-Kamp, "Efficient certified RAT verification", 2017), as far as they are
//! needed: clauses that follow by unit propagation through named clauses, and deletions.

use std::fmt::{self, Write as _};

/// A step of a proof. Clauses have numbers; those of the formula are numbered from 1 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A clause that follows.
    Add {
        /// Its number, which no clause has had.
        id: u64,
        /// Its literals, as in DIMACS.
        clause: Vec<i32>,
        /// The clauses through which its negation propagates to a contradiction, in order.
        hints: Vec<u64>,
    },
    /// Clauses that are not used any more.
    Delete(Vec<u64>),
}

/// A proof that a formula cannot be satisfied, in the text format of `lrat-check`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// The steps, in order.
    pub steps: Vec<Step>,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = 0;
        for step in &self.steps {
            match step {
                Step::Add { id, clause, hints } => {
                    last = *id;
                    write!(f, "{id} ")?;
                    clause.iter().try_for_each(|literal| write!(f, "{literal} "))?;
                    f.write_str("0 ")?;
                    hints.iter().try_for_each(|hint| write!(f, "{hint} "))?;
                }
                Step::Delete(ids) => {
                    write!(f, "{last} d ")?;
                    ids.iter().try_for_each(|id| write!(f, "{id} "))?;
                }
            }
            f.write_str("0\n")?;
        }
        Ok(())
    }
}

impl Proof {
    /// The same steps as a DRAT proof of `formula`, whose checkers find the hints themselves.
    pub fn to_drat(&self, formula: &[Vec<i32>]) -> String {
        let mut clauses: rustc_hash::FxHashMap<u64, &[i32]> =
            (1..).zip(formula.iter().map(Vec::as_slice)).collect();
        let mut text = String::new();
        let mut line = |prefix: &str, clause: &[i32]| {
            text.push_str(prefix);
            for literal in clause {
                write!(text, "{literal} ").expect("a string takes everything");
            }
            text.push_str("0\n");
        };
        for step in &self.steps {
            match step {
                Step::Add { id, clause, .. } => {
                    line("", clause);
                    clauses.insert(*id, clause);
                }
                Step::Delete(ids) => {
                    ids.iter().filter_map(|id| clauses.remove(id)).for_each(|c| line("d ", c))
                }
            }
        }
        text
    }
}
