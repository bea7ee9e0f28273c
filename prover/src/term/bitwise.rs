// SPDX-License-Identifier: GPL-2.0-or-later
//! And, or, exclusive or: taken apart where an operand is a concatenation with known pieces or a mask of few runs, otherwise
//! flat, ordered, without repetition, a constant in front.

use kop_semantics::Domain;

use super::{Node, Op, Term, Terms};

/// A flat operation has at most so many operands.
const MOST_OPERANDS: usize = 24;

/// A mask with more runs of equal bits than this is left whole.
const MOST_RUNS: usize = 8;

impl Terms {
    pub(super) fn bitwise(&mut self, op: Op, width: u32, a: Term, b: Term) -> Term {
        if let Some(term) = self.by_pieces(op, width, a, b) {
            return term;
        }
        let mut operands = self.flat(op, a);
        operands.extend(self.flat(op, b));
        if operands.len() > MOST_OPERANDS {
            return self.simple_pair(op, width, a, b);
        }
        self.chain(op, width, operands)
    }

    /// The operands of a chain of one operation.
    fn flat(&self, op: Op, term: Term) -> Vec<Term> {
        let mut operands = Vec::new();
        let mut rest = term;
        loop {
            match self.node(rest) {
                Node::Binary(other, a, b) if other == op => {
                    operands.push(a);
                    rest = b;
                }
                _ => break operands.push(rest),
            }
        }
        operands
    }

    /// Two operands, of which one is a long chain.
    fn simple_pair(&mut self, op: Op, width: u32, a: Term, b: Term) -> Term {
        if a == b {
            return if op == Op::Xor { self.constant(width, 0) } else { a };
        }
        let (a, b) = if self.as_constant(b).is_some() { (b, a) } else { (a, b) };
        match (op, self.as_constant(a)) {
            (Op::And, Some(0)) => a,
            (Op::Or, Some(_)) if self.is_ones(a) => a,
            (Op::Or | Op::Xor, Some(0)) => b,
            (Op::And, Some(_)) if self.is_ones(a) => b,
            _ => self.insert(Node::Binary(op, a, b), width),
        }
    }

    fn chain(&mut self, op: Op, width: u32, operands: Vec<Term>) -> Term {
        let ones = u64::MAX >> (64 - width);
        let neutral = if op == Op::And { ones } else { 0 };
        let (mut constant, mut terms) = (neutral, Vec::with_capacity(operands.len()));
        for operand in operands {
            match self.as_constant(operand) {
                Some(value) => constant = op.of_integers(width, constant, value),
                None => terms.push(operand),
            }
        }
        if op == Op::Xor {
            self.join_masks(width, &mut terms);
        }
        terms.sort_unstable();
        if op == Op::Xor {
            cancel_pairs(&mut terms);
        } else {
            terms.dedup();
            let absorbing = ones - neutral;
            if constant == absorbing || self.has_complements(&terms) {
                return self.constant(width, absorbing);
            }
        }
        let mut chain = None;
        for &term in &terms {
            chain = Some(match chain {
                None => term,
                Some(rest) => self.insert(Node::Binary(op, term, rest), width),
            });
        }
        let front = self.constant(width, constant);
        match chain {
            None => front,
            Some(chain) if constant == neutral => chain,
            Some(chain) => self.insert(Node::Binary(op, front, chain), width),
        }
    }

    /// `x ^ (x & mask)` is `x & !mask`: both become one operand.
    fn join_masks(&mut self, width: u32, terms: &mut Vec<Term>) {
        for i in 0..terms.len() {
            let Node::Binary(Op::And, mask, rest) = self.node(terms[i]) else { continue };
            if self.as_constant(mask).is_some()
                && let Some(j) = terms.iter().position(|term| *term == rest)
            {
                let others = self.not(width, mask);
                terms[i] = self.and(width, others, rest);
                terms.swap_remove(j);
                return;
            }
        }
    }

    /// Whether one of the terms, which are sorted, is the complement of another.
    fn has_complements(&self, terms: &[Term]) -> bool {
        terms.iter().any(|term| match self.node(*term) {
            Node::Binary(Op::Xor, a, b) if self.is_ones(a) => terms.binary_search(&b).is_ok(),
            _ => false,
        })
    }

    /// The operation by pieces, where a piece of an operand is known.
    fn by_pieces(&mut self, op: Op, width: u32, a: Term, b: Term) -> Option<Term> {
        let mut bounds = self.bounds(a);
        bounds.extend(self.bounds(b));
        let (a_constant, b_constant) = (self.as_constant(a), self.as_constant(b));
        if a_constant.is_some() && b_constant.is_some() {
            return None;
        }
        if let Some(mask) = a_constant.or(b_constant) {
            if op != Op::Xor {
                bounds.extend(runs(width, mask).filter(|runs| runs.len() <= MOST_RUNS).unwrap_or_default());
            }
        } else if !self.has_known_piece(a) && !self.has_known_piece(b) {
            return None;
        }
        bounds.sort_unstable();
        bounds.dedup();
        if bounds.is_empty() {
            return None;
        }
        bounds.push(width);
        let (mut low, mut parts) = (0, Vec::with_capacity(bounds.len()));
        for end in bounds {
            let to = end - low;
            let (x, y) = (self.extract(width, low, to, a), self.extract(width, low, to, b));
            parts.push(match op {
                Op::And => self.and(to, x, y),
                Op::Or => self.or(to, x, y),
                _ => self.xor(to, x, y),
            });
            low = end;
        }
        Some(self.joined(&parts))
    }

    /// Where the pieces of a term above the lowest begin.
    pub(super) fn bounds(&self, term: Term) -> Vec<u32> {
        let mut at = 0;
        let mut bounds: Vec<u32> = self
            .pieces(term)
            .into_iter()
            .map(|piece| {
                at += self.width(piece);
                at
            })
            .collect();
        bounds.pop();
        bounds
    }

    fn has_known_piece(&self, term: Term) -> bool {
        self.pieces(term).into_iter().any(|piece| self.as_constant(piece).is_some())
    }
}

/// Where runs of equal bits begin, except the lowest; none if there is one run only.
pub(super) fn runs(width: u32, mask: u64) -> Option<Vec<u32>> {
    let changes = mask ^ mask >> 1;
    let starts: Vec<u32> = (1..width).filter(|bit| changes >> (bit - 1) & 1 == 1).collect();
    (!starts.is_empty()).then_some(starts)
}

/// Removes equal neighbours two by two.
fn cancel_pairs(terms: &mut Vec<Term>) {
    let mut kept: Vec<Term> = Vec::with_capacity(terms.len());
    for &term in terms.iter() {
        if kept.last() == Some(&term) {
            kept.pop();
        } else {
            kept.push(term);
        }
    }
    *terms = kept;
}
