// SPDX-License-Identifier: GPL-2.0-or-later
//! What CaDiCaL tells of its proof while it solves, as LRAT steps.

use rustc_hash::{FxHashMap, FxHashSet};
use rustsat_cadical::{CaDiCaLClause, ClauseId, TraceProof};

use super::lrat::{Proof, Step};

/// Collects a proof. The formula's clauses come first and get the numbers from 1 on; clauses that are added later are lemmas, which
/// follow from a clause that has been derived.
#[derive(Debug)]
pub(super) struct Trace {
    /// The solver's numbers to ours.
    ids: FxHashMap<ClauseId, u64>,
    /// The number of the next clause of the formula, and the number of clauses it has.
    next_original: u64,
    originals: u64,
    next: u64,
    /// Where the next clause that is added follows from, if it is a lemma.
    pub lemma_of: Option<u64>,
    /// Clauses that were put aside and may come back; for a proof they stay.
    aside: FxHashSet<ClauseId>,
    pub proof: Proof,
    /// The clause that the last query with assumptions ended in, or the empty one: its number and literals.
    pub conclusion: Option<(u64, Vec<i32>)>,
}

impl Trace {
    /// For a formula of `originals` clauses.
    pub fn new(originals: usize) -> Self {
        let originals = originals as u64;
        Trace {
            ids: FxHashMap::default(),
            next_original: 1,
            originals,
            next: originals + 1,
            lemma_of: None,
            aside: FxHashSet::default(),
            proof: Proof::default(),
            conclusion: None,
        }
    }

    fn add(&mut self, clause: Vec<i32>, hints: Vec<u64>) -> u64 {
        let id = self.next;
        self.next += 1;
        self.proof.steps.push(Step::Add { id, clause, hints });
        id
    }

    /// Ends the proof with the empty clause, which follows from the clauses of these numbers.
    pub fn conclude(&mut self, hints: Vec<u64>) {
        self.add(Vec::new(), hints);
    }

    fn derive(&mut self, id: ClauseId, clause: &CaDiCaLClause, antecedents: &[ClauseId]) -> (u64, Vec<i32>) {
        let clause = literals(clause);
        let hints = antecedents.iter().map(|id| self.ids.get(id).copied().unwrap_or_default()).collect();
        let ours = self.add(clause.clone(), hints);
        self.ids.insert(id, ours);
        (ours, clause)
    }
}

fn literals(clause: &CaDiCaLClause) -> Vec<i32> {
    clause.iter().map(|literal| literal.to_ipasir()).collect()
}

impl TraceProof for Trace {
    fn add_original_clause(
        &mut self,
        id: ClauseId,
        _redundant: bool,
        clause: &CaDiCaLClause,
        restored: bool,
    ) {
        if restored {
            self.aside.remove(&id);
            return;
        }
        let ours = match self.lemma_of {
            Some(lemma) => self.add(literals(clause), vec![lemma]),
            None => {
                debug_assert!(self.next_original <= self.originals);
                self.next_original += 1;
                self.next_original - 1
            }
        };
        self.ids.insert(id, ours);
    }

    fn add_derived_clause(
        &mut self,
        id: ClauseId,
        _redundant: bool,
        clause: &CaDiCaLClause,
        antecedents: &[ClauseId],
    ) {
        let derived = self.derive(id, clause, antecedents);
        if derived.1.is_empty() {
            self.conclusion = Some(derived);
        }
    }

    fn delete_clause(&mut self, id: ClauseId, _redundant: bool, _clause: &CaDiCaLClause) {
        if !self.aside.contains(&id)
            && let Some(ours) = self.ids.remove(&id)
        {
            self.proof.steps.push(Step::Delete(vec![ours]));
        }
    }

    fn weaken_minus(&mut self, id: ClauseId, _clause: &CaDiCaLClause) {
        self.aside.insert(id);
    }

    fn add_assumption_clause(&mut self, id: ClauseId, clause: &CaDiCaLClause, antecedents: &[ClauseId]) {
        self.conclusion = Some(self.derive(id, clause, antecedents));
    }
}
