// SPDX-License-Identifier: GPL-2.0-or-later
//! Comparisons, whose results have one bit.

use kop_semantics::Domain;

use super::{Node, Op, Term, Terms};

impl Terms {
    fn bit(&mut self, value: bool) -> Term {
        self.constant(1, u64::from(value))
    }

    pub(super) fn equal(&mut self, width: u32, a: Term, b: Term) -> Term {
        if a == b {
            return self.bit(true);
        }
        if width == 1 {
            let differ = self.xor(1, a, b);
            return self.not(1, differ);
        }
        let (a, b) = if self.as_constant(b).is_some() { (b, a) } else { (a, b) };
        if let Some(term) = self.equal_by_pieces(width, a, b) {
            return term;
        }
        if let Some(value) = self.as_constant(a) {
            if let Some(other) = self.as_constant(b) {
                return self.bit(value == other);
            }
            if let Some(term) = self.equal_to_constant(width, value, b) {
                return term;
            }
        } else {
            let difference = self.sub(width, a, b);
            if let Some(value) = self.as_constant(difference) {
                return self.bit(value == 0);
            }
        }
        self.insert(Node::Binary(Op::Eq, a, b), 1)
    }

    /// Whether `b`, which is no constant, is `value`; none if that is no simpler.
    fn equal_to_constant(&mut self, width: u32, value: u64, b: Term) -> Option<Term> {
        match self.node(b) {
            Node::Binary(Op::Add, ..) => {
                let sum = self.linear(width, b);
                if let [(x, f), (y, g)] = sum.terms[..]
                    && sum.constant == value
                    && f.wrapping_add(g) & (u64::MAX >> (64 - width)) == 0
                    && (f == 1 || g == 1)
                {
                    return Some(self.eq(width, x, y));
                }
                let (rest, added) = self.base_and_offset(b);
                if added == 0 {
                    return None;
                }
                let value = self.constant(width, value.wrapping_sub(added));
                Some(self.eq(width, value, rest))
            }
            Node::Binary(Op::Xor, x, rest) if self.as_constant(x).is_some() => {
                let flipped = value ^ self.as_constant(x).expect("it is a constant");
                let flipped = self.constant(width, flipped);
                Some(self.eq(width, flipped, rest))
            }
            Node::Binary(Op::Xor, x, y) if value == 0 => Some(self.eq(width, x, y)),
            Node::Ite(c, x, y) if self.as_constant(x).is_some() || self.as_constant(y).is_some() => {
                let value = self.constant(width, value);
                let (x, y) = (self.eq(width, value, x), self.eq(width, value, y));
                Some(self.ite(1, c, x, y))
            }
            Node::SignExtend(inner) => {
                let from = self.width(inner);
                let low = self.constant(from, value);
                let extended = self.sign_extend(from, width, low);
                if self.as_constant(extended) != Some(value) {
                    return Some(self.bit(false));
                }
                Some(self.eq(from, low, inner))
            }
            _ => None,
        }
    }

    /// By pieces: where one is a constant, or where a piece is decided.
    fn equal_by_pieces(&mut self, width: u32, a: Term, b: Term) -> Option<Term> {
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
            let (x, y) = (self.extract(width, low, to, a), self.extract(width, low, to, b));
            parts.push(self.eq(to, x, y));
            low = end;
        }
        let decided = parts.iter().any(|part| self.as_constant(*part).is_some());
        if !decided && self.as_constant(a).is_none() {
            return None;
        }
        let mut all = self.bit(true);
        for part in parts {
            all = self.and(1, all, part);
        }
        Some(all)
    }

    pub(super) fn below(&mut self, width: u32, a: Term, b: Term) -> Term {
        if a == b || self.as_constant(b) == Some(0) || self.is_ones(a) {
            return self.bit(false);
        }
        if width == 1 {
            let not = self.not(1, a);
            return self.and(1, not, b);
        }
        match (self.as_constant(a), self.as_constant(b)) {
            (Some(x), Some(y)) => return self.bit(x < y),
            // Below a power of two: the bits from there on are zero.
            (None, Some(y)) if y.is_power_of_two() => return self.zero_from(width, y.trailing_zeros(), a),
            (Some(x), None) if (x + 1).is_power_of_two() => {
                let within = self.zero_from(width, (x + 1).trailing_zeros(), b);
                return self.not(1, within);
            }
            _ => {}
        }
        match self.without_equal_top(width, a, b) {
            Some((width, a, b)) => self.ult(width, a, b),
            None => self.insert(Node::Binary(Op::Ult, a, b), 1),
        }
    }

    /// Whether the bits of `a` from `low` on are zero.
    fn zero_from(&mut self, width: u32, low: u32, a: Term) -> Term {
        let high = self.extract(width, low, width - low, a);
        let zero = self.constant(width - low, 0);
        self.eq(width - low, high, zero)
    }

    /// Both without the top bits that are the same in both, if there are any.
    fn without_equal_top(&mut self, width: u32, a: Term, b: Term) -> Option<(u32, Term, Term)> {
        let low = self.bounds(a).into_iter().chain(self.bounds(b)).max()?;
        let (x, y) = (self.extract(width, low, width - low, a), self.extract(width, low, width - low, b));
        if x != y {
            return None;
        }
        Some((low, self.extract(width, 0, low, a), self.extract(width, 0, low, b)))
    }

    pub(super) fn below_signed(&mut self, width: u32, a: Term, b: Term) -> Term {
        if a == b {
            return self.bit(false);
        }
        if width == 1 {
            let not = self.not(1, b);
            return self.and(1, a, not);
        }
        match (self.as_constant(a), self.as_constant(b)) {
            (Some(x), Some(y)) => return self.bit(Op::Slt.of_integers(width, x, y) == 1),
            (None, Some(0)) => return self.top_bit(a),
            (Some(_), None) if self.is_ones(a) => {
                let sign = self.top_bit(b);
                return self.not(1, sign);
            }
            _ => {}
        }
        let (x, y) = (self.top_bit(a), self.top_bit(b));
        match (self.as_constant(x), self.as_constant(y)) {
            (Some(x), Some(y)) if x == y => self.ult(width, a, b),
            _ => self.insert(Node::Binary(Op::Slt, a, b), 1),
        }
    }
}
