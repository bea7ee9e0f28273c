// SPDX-License-Identifier: GPL-2.0-or-later
//! Shifts; those by constants are slices.

use kop_semantics::Domain;

use super::{Node, Op, Term, Terms};

impl Terms {
    /// The amount, if it is constant, no more than the width.
    fn amount(&self, width: u32, b: Term) -> Option<u32> {
        self.as_constant(b).map(|amount| amount.min(u64::from(width)) as u32)
    }

    pub(super) fn shift_left(&mut self, width: u32, a: Term, b: Term) -> Term {
        match self.amount(width, b) {
            Some(0) => a,
            Some(amount) if amount == width => self.constant(width, 0),
            Some(amount) => {
                let zero = self.constant(amount, 0);
                let kept = self.extract(width, 0, width - amount, a);
                self.concat(width, amount, kept, zero)
            }
            None => self.unless_zero(Op::Shl, width, a, b),
        }
    }

    pub(super) fn shift_right(&mut self, width: u32, a: Term, b: Term) -> Term {
        match self.amount(width, b) {
            Some(0) => a,
            Some(amount) if amount == width => self.constant(width, 0),
            Some(amount) => {
                let kept = self.extract(width, amount, width - amount, a);
                self.zero_extend(width - amount, width, kept)
            }
            None => self.unless_zero(Op::Lshr, width, a, b),
        }
    }

    pub(super) fn shift_right_signed(&mut self, width: u32, a: Term, b: Term) -> Term {
        match self.amount(width, b) {
            Some(0) => a,
            Some(amount) => {
                let amount = amount.min(width - 1);
                if amount == 0 {
                    return a;
                }
                let kept = self.extract(width, amount, width - amount, a);
                self.sign_extend(width - amount, width, kept)
            }
            None => self.unless_zero(Op::Ashr, width, a, b),
        }
    }

    fn unless_zero(&mut self, op: Op, width: u32, a: Term, b: Term) -> Term {
        if self.as_constant(a) == Some(0) { a } else { self.insert(Node::Binary(op, a, b), width) }
    }
}
