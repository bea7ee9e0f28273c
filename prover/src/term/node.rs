// SPDX-License-Identifier: GPL-2.0-or-later
//! What terms are made of.

use kop_semantics::{Domain, Integers};

/// A term: its place in [`Terms`](super::Terms). Operands come before what they are operands of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term(u32);

impl Term {
    pub(super) fn new(index: usize) -> Self {
        Term(u32::try_from(index).expect("fewer than 2^32 terms"))
    }

    /// The place, counted from zero.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// An operation on two operands, as [`Domain`] defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are the operations of Domain by their names there")]
pub enum Op {
    Add,
    Mul,
    Umulh,
    Udiv,
    Urem,
    Sdiv,
    Srem,
    And,
    Or,
    Xor,
    Shl,
    Lshr,
    Ashr,
    /// The high operand comes first.
    Concat,
    Eq,
    Ult,
    Slt,
}

impl Op {
    /// The result for integers; `width` is that of the operands, for [`Op::Concat`] that of the low one.
    pub fn of_integers(self, width: u32, a: u64, b: u64) -> u64 {
        let d = &mut Integers;
        match self {
            Op::Add => d.add(width, a, b),
            Op::Mul => d.mul(width, a, b),
            Op::Umulh => d.umulh(width, a, b),
            Op::Udiv => d.udiv(width, a, b),
            Op::Urem => d.urem(width, a, b),
            Op::Sdiv => d.sdiv(width, a, b),
            Op::Srem => d.srem(width, a, b),
            Op::And => d.and(width, a, b),
            Op::Or => d.or(width, a, b),
            Op::Xor => d.xor(width, a, b),
            Op::Shl => d.shl(width, a, b),
            Op::Lshr => d.lshr(width, a, b),
            Op::Ashr => d.ashr(width, a, b),
            Op::Concat => a << width | b,
            Op::Eq => d.eq(width, a, b),
            Op::Ult => d.ult(width, a, b),
            Op::Slt => d.slt(width, a, b),
        }
    }
}

/// A term in terms of its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// A number.
    Constant(u64),
    /// A free variable, by number.
    Variable(u32),
    /// An operation on two terms.
    Binary(Op, Term, Term),
    /// The bits from the first number on; the width says how many.
    Extract(u32, Term),
    /// Copies of the sign above; the width says up to where.
    SignExtend(Term),
    /// The second if the first, of one bit, is 1, else the third.
    Ite(Term, Term, Term),
}

impl Node {
    /// The operands, in order.
    pub fn operands(self) -> impl Iterator<Item = Term> {
        let operands = match self {
            Node::Constant(_) | Node::Variable(_) => [None; 3],
            Node::Binary(_, a, b) => [Some(a), Some(b), None],
            Node::Extract(_, a) | Node::SignExtend(a) => [Some(a), None, None],
            Node::Ite(c, a, b) => [Some(c), Some(a), Some(b)],
        };
        operands.into_iter().flatten()
    }
}
