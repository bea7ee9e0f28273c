// SPDX-License-Identifier: GPL-2.0-or-later
//! Slices and concatenations: a concatenation is a list of pieces, none of which is one itself; neighbours that are constants, or
//! slices of one term that touch, are one piece.

use kop_semantics::Domain;

use super::{Node, Op, Term, Terms};

impl Terms {
    /// The pieces of a term, the lowest first.
    pub(super) fn pieces(&self, term: Term) -> Vec<Term> {
        let mut pieces = Vec::new();
        let mut rest = term;
        // The chain goes from the lowest piece up: Concat(rest above, piece).
        while let Node::Binary(Op::Concat, high, low) = self.node(rest) {
            pieces.push(low);
            rest = high;
        }
        pieces.push(rest);
        pieces
    }

    /// The concatenation of terms, the lowest first.
    pub(super) fn joined(&mut self, parts: &[Term]) -> Term {
        let mut pieces: Vec<Term> = Vec::with_capacity(parts.len());
        for &part in parts {
            for piece in self.pieces(part) {
                match pieces.last().copied().and_then(|last| self.merged(piece, last)) {
                    Some(merged) => *pieces.last_mut().expect("there is a last one") = merged,
                    None => pieces.push(piece),
                }
            }
        }
        let mut term = pieces.pop().expect("there is a piece");
        while let Some(low) = pieces.pop() {
            let width = self.width(term) + self.width(low);
            term = self.insert(Node::Binary(Op::Concat, term, low), width);
        }
        term
    }

    /// `high` above `low` as one piece, if they are one.
    fn merged(&mut self, high: Term, low: Term) -> Option<Term> {
        let (high_width, low_width) = (self.width(high), self.width(low));
        let width = high_width + low_width;
        if let (Some(h), Some(l)) = (self.as_constant(high), self.as_constant(low)) {
            return Some(self.constant(width, h << low_width | l));
        }
        if let Node::Extract(from, term) = self.node(high) {
            return match self.node(low) {
                Node::Extract(low_from, low_term) if term == low_term && from == low_from + low_width => {
                    Some(self.whole_or_slice(term, low_from, width))
                }
                // The low bits of a sum or a product do not look like a slice of it.
                _ if from == low_width && self.extract(self.width(term), 0, low_width, term) == low => {
                    Some(self.extract(self.width(term), 0, width, term))
                }
                _ => None,
            };
            // Copies of a sign above the piece that ends with it.
        } else if let Node::SignExtend(sign) = self.node(high)
            && self.width(sign) == 1
            && self.top_bit(low) == sign
        {
            return Some(self.sign_extend(low_width, width, low));
        }
        None
    }

    fn whole_or_slice(&mut self, term: Term, low: u32, width: u32) -> Term {
        if width == self.width(term) { term } else { self.insert(Node::Extract(low, term), width) }
    }

    /// The sign.
    pub(super) fn top_bit(&mut self, term: Term) -> Term {
        let width = self.width(term);
        self.extract(width, width - 1, 1, term)
    }

    /// `to` bits of `a` from `low` on, fewer than it has.
    pub(super) fn slice(&mut self, low: u32, to: u32, a: Term) -> Term {
        let from = self.width(a);
        match self.node(a) {
            Node::Constant(value) => self.constant(to, value >> low),
            Node::Extract(inner, term) => {
                let width = self.width(term);
                self.extract(width, inner + low, to, term)
            }
            Node::SignExtend(term) => self.slice_of_sign_extended(low, to, term),
            Node::Binary(Op::Concat, ..) => self.slice_of_pieces(low, to, a),
            Node::Binary(op @ (Op::And | Op::Or | Op::Xor), x, y) => {
                let (x, y) = (self.extract(from, low, to, x), self.extract(from, low, to, y));
                match op {
                    Op::And => self.and(to, x, y),
                    Op::Or => self.or(to, x, y),
                    _ => self.xor(to, x, y),
                }
            }
            // Low bits of sums and products depend on low bits alone.
            Node::Binary(op @ (Op::Add | Op::Mul), x, y) if low == 0 => {
                let (x, y) = (self.extract(from, 0, to, x), self.extract(from, 0, to, y));
                if op == Op::Add { self.add(to, x, y) } else { self.mul(to, x, y) }
            }
            Node::Ite(c, x, y) => {
                let (x, y) = (self.extract(from, low, to, x), self.extract(from, low, to, y));
                self.ite(to, c, x, y)
            }
            _ => self.insert(Node::Extract(low, a), to),
        }
    }

    fn slice_of_sign_extended(&mut self, low: u32, to: u32, term: Term) -> Term {
        let width = self.width(term);
        if low + to <= width {
            return self.extract(width, low, to, term);
        }
        let low = low.min(width - 1);
        let part = self.extract(width, low, width - low, term);
        self.sign_extend(width - low, to, part)
    }

    fn slice_of_pieces(&mut self, low: u32, to: u32, a: Term) -> Term {
        let (mut at, mut parts) = (0, Vec::new());
        for piece in self.pieces(a) {
            let width = self.width(piece);
            let (begin, end) = (low.max(at), (low + to).min(at + width));
            if begin < end {
                parts.push(self.extract(width, begin - at, end - begin, piece));
            }
            at += width;
        }
        self.joined(&parts)
    }

    /// `a` of `from` bits with copies of its sign above.
    pub(super) fn sign_extended(&mut self, from: u32, to: u32, a: Term) -> Term {
        match self.node(a) {
            Node::Constant(_) => {
                let value = self.as_constant(a).expect("it is a constant");
                let extended = kop_semantics::Integers.sign_extend(from, to, value);
                self.constant(to, extended)
            }
            Node::SignExtend(term) => {
                let width = self.width(term);
                self.sign_extend(width, to, term)
            }
            Node::Binary(Op::Concat, ..) => {
                let mut parts = self.pieces(a);
                let top = parts.pop().expect("there is a piece");
                let width = self.width(top);
                parts.push(self.sign_extend(width, width + to - from, top));
                self.joined(&parts)
            }
            _ => self.insert(Node::SignExtend(a), to),
        }
    }
}
