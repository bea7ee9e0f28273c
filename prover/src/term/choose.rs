// SPDX-License-Identifier: GPL-2.0-or-later
//! One of two values by a condition.

use kop_semantics::Domain;

use super::{Node, Op, Term, Terms};

impl Terms {
    pub(super) fn choice(&mut self, width: u32, c: Term, a: Term, b: Term) -> Term {
        if a == b {
            return a;
        }
        match self.node(c) {
            Node::Constant(value) => return if value == 1 { a } else { b },
            Node::Binary(Op::Xor, one, inner) if self.is_ones(one) => return self.ite(width, inner, b, a),
            _ => {}
        }
        let (a, b) = (self.under(c, true, a), self.under(c, false, b));
        if a == b {
            return a;
        }
        if let Some(term) = self.choice_of_constants(width, c, a, b) {
            return term;
        }
        if width == 1 {
            return self.choice_of_bits(c, a, b);
        }
        match self.choice_by_pieces(width, c, a, b) {
            Some(term) => term,
            None => self.insert(Node::Ite(c, a, b), width),
        }
    }

    /// What a choice by the same condition comes to where the condition is known.
    fn under(&self, c: Term, holds: bool, term: Term) -> Term {
        match self.node(term) {
            Node::Ite(inner, a, b) if inner == c => {
                if holds {
                    a
                } else {
                    b
                }
            }
            _ => term,
        }
    }

    /// Two numbers: equal bits are known, the others are the condition or its complement.
    fn choice_of_constants(&mut self, width: u32, c: Term, a: Term, b: Term) -> Option<Term> {
        let (x, y) = (self.as_constant(a)?, self.as_constant(b)?);
        let mut parts = Vec::new();
        let mut low = 0;
        while low < width {
            let (one, other) = (x >> low & 1, y >> low & 1);
            let same = |bit: &u32| x >> bit & 1 == one && y >> bit & 1 == other;
            let end = (low..width).take_while(same).count() as u32 + low;
            parts.push(if one == other {
                self.constant(end - low, if one == 1 { u64::MAX } else { 0 })
            } else {
                let bit = if one == 1 { c } else { self.not(1, c) };
                self.sign_extend(1, end - low, bit)
            });
            low = end;
        }
        Some(self.joined(&parts))
    }

    /// One bit: an operation if one of both is known.
    fn choice_of_bits(&mut self, c: Term, a: Term, b: Term) -> Term {
        match (self.as_constant(a), self.as_constant(b)) {
            (_, Some(0)) => self.and(1, c, a),
            (_, Some(_)) => {
                let not = self.not(1, c);
                self.or(1, not, a)
            }
            (Some(0), _) => {
                let not = self.not(1, c);
                self.and(1, not, b)
            }
            (Some(_), _) => self.or(1, c, b),
            _ => self.insert(Node::Ite(c, a, b), 1),
        }
    }

    /// By pieces, where one piece is the same in both, or known in both.
    fn choice_by_pieces(&mut self, width: u32, c: Term, a: Term, b: Term) -> Option<Term> {
        let mut bounds = self.bounds(a);
        bounds.extend(self.bounds(b));
        if bounds.is_empty() {
            return None;
        }
        bounds.push(width);
        bounds.sort_unstable();
        bounds.dedup();
        let (mut low, mut parts) = (0, Vec::with_capacity(bounds.len()));
        for end in bounds {
            let to = end - low;
            parts.push((to, self.extract(width, low, to, a), self.extract(width, low, to, b)));
            low = end;
        }
        let both_known = |x, y| self.as_constant(x).is_some() && self.as_constant(y).is_some();
        if !parts.iter().any(|&(_, x, y)| x == y || both_known(x, y)) {
            return None;
        }
        let chosen: Vec<Term> = parts.into_iter().map(|(to, x, y)| self.ite(to, c, x, y)).collect();
        Some(self.joined(&chosen))
    }
}
