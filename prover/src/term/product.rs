// SPDX-License-Identifier: GPL-2.0-or-later
//! Products and quotients. A constant factor stands first.

use kop_semantics::Domain;

use super::{Node, Op, Term, Terms};

impl Terms {
    pub(super) fn product(&mut self, width: u32, a: Term, b: Term) -> Term {
        let (a, b) = if self.as_constant(b).is_some() { (b, a) } else { (a, b) };
        match self.as_constant(a) {
            Some(factor) => self.sum(width, &[(b, factor)]),
            None => self.insert(Node::Binary(Op::Mul, a, b), width),
        }
    }

    pub(super) fn high_product(&mut self, width: u32, a: Term, b: Term) -> Term {
        let (a, b) = if self.as_constant(b).is_some() { (b, a) } else { (a, b) };
        match (self.as_constant(a), self.as_constant(b)) {
            (Some(0 | 1), _) => self.constant(width, 0),
            (Some(x), Some(y)) => self.constant(width, Op::Umulh.of_integers(width, x, y)),
            _ => self.insert(Node::Binary(Op::Umulh, a, b), width),
        }
    }

    pub(super) fn quotient(&mut self, width: u32, a: Term, b: Term) -> Term {
        match self.as_constant(b) {
            Some(divisor) if divisor.is_power_of_two() => {
                let amount = self.constant(width, u64::from(divisor.trailing_zeros()));
                self.lshr(width, a, amount)
            }
            _ => self.folded(Op::Udiv, width, a, b),
        }
    }

    pub(super) fn remainder(&mut self, width: u32, a: Term, b: Term) -> Term {
        match self.as_constant(b) {
            Some(divisor) if divisor.is_power_of_two() => {
                let mask = self.constant(width, divisor - 1);
                self.and(width, a, mask)
            }
            _ => self.rest(Op::Udiv, Op::Urem, width, a, b),
        }
    }

    pub(super) fn signed_quotient(&mut self, width: u32, a: Term, b: Term) -> Term {
        match self.as_constant(b) {
            Some(_) if self.is_ones(b) => self.neg(width, a),
            Some(1) => a,
            _ => self.folded(Op::Sdiv, width, a, b),
        }
    }

    /// What is left of `a` after the multiple of `b` that the quotient says. By zero, too, where the product is zero.
    pub(super) fn rest(&mut self, quotient: Op, rest: Op, width: u32, a: Term, b: Term) -> Term {
        if let (Some(x), Some(y)) = (self.as_constant(a), self.as_constant(b)) {
            return self.constant(width, rest.of_integers(width, x, y));
        }
        let quotient = self.binary(quotient, a, b);
        let multiple = self.mul(width, quotient, b);
        self.sub(width, a, multiple)
    }

    /// An operation that is computed if both operands are known, and else left as it is.
    pub(super) fn folded(&mut self, op: Op, width: u32, a: Term, b: Term) -> Term {
        match (self.as_constant(a), self.as_constant(b)) {
            (Some(x), Some(y)) => self.constant(width, op.of_integers(width, x, y)),
            _ => self.insert(Node::Binary(op, a, b), width),
        }
    }
}
