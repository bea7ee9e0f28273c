// SPDX-License-Identifier: GPL-2.0-or-later
//! The value of terms where the variables are numbers.

use kop_semantics::{Domain, Integers};
use rustc_hash::FxHashMap;

use super::{Node, Op, Term, Terms};

/// Evaluates terms under one assignment; what was computed is kept.
#[derive(Clone, Debug)]
pub struct Evaluator<'a> {
    terms: &'a Terms,
    /// By the variable's number; those that are missing are zero.
    assignment: &'a FxHashMap<u32, u64>,
    known: FxHashMap<Term, u64>,
}

impl<'a> Evaluator<'a> {
    /// An evaluator of `terms` where the variables, by number, have the values of `assignment`; others are zero.
    pub fn new(terms: &'a Terms, assignment: &'a FxHashMap<u32, u64>) -> Self {
        Self { terms, assignment, known: FxHashMap::default() }
    }

    /// The value of `term`.
    pub fn value(&mut self, term: Term) -> u64 {
        let mut pending = vec![term];
        while let Some(&next) = pending.last() {
            if self.known.contains_key(&next) {
                pending.pop();
                continue;
            }
            let before = pending.len();
            let node = self.terms.node(next);
            pending.extend(node.operands().filter(|operand| !self.known.contains_key(operand)));
            if pending.len() == before {
                let value = self.compute(next, node);
                self.known.insert(next, value);
                pending.pop();
            }
        }
        self.known[&term]
    }

    fn compute(&self, term: Term, node: Node) -> u64 {
        let width = self.terms.width(term);
        let of = |operand: Term| (self.terms.width(operand), self.known[&operand]);
        match node {
            Node::Constant(value) => value,
            Node::Variable(number) => {
                Integers.constant(width, self.assignment.get(&number).copied().unwrap_or_default())
            }
            Node::Binary(Op::Concat, a, b) => {
                let (low_width, low) = of(b);
                Op::Concat.of_integers(low_width, of(a).1, low)
            }
            Node::Binary(op, a, b) => {
                let (operand_width, a) = of(a);
                op.of_integers(operand_width, a, of(b).1)
            }
            Node::Extract(low, a) => {
                let (from, a) = of(a);
                Integers.extract(from, low, width, a)
            }
            Node::SignExtend(a) => {
                let (from, a) = of(a);
                Integers.sign_extend(from, width, a)
            }
            Node::Ite(c, a, b) => {
                if of(c).1 == 1 {
                    of(a).1
                } else {
                    of(b).1
                }
            }
        }
    }
}
