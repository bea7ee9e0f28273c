// SPDX-License-Identifier: GPL-2.0-or-later
//! Terms: bit vectors over free variables, as a [`Domain`] for the semantics of instructions.
//!
//! A term is an index into [`Terms`]; equal terms are one (hash consing). They are normalised as they are built, so that many
//! equal values become one term and need no solver: constants are folded, sums are linear combinations with their constant in
//! front, bitwise operations are ordered and flat, shifts by constants, masks and extensions are concatenations of slices. What
//! normalising misses, the solver finds; it is never needed for soundness, and every rule is tested against integers.

mod arithmetic;
mod bitwise;
mod choose;
mod compare;
mod display;
mod eval;
mod node;
mod product;
mod shift;
mod slice;
mod substitute;
#[cfg(test)]
mod tests;

use kop_semantics::Domain;
use rustc_hash::FxHashMap;

pub use eval::Evaluator;
pub use node::{Node, Op, Term};

/// The terms there are.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    nodes: Vec<(Node, u8)>,
    /// Where a node is, and what a node that was asked for is normalised to.
    index: FxHashMap<(Node, u8), Term>,
    variables: Vec<(String, u32)>,
    names: FxHashMap<String, Term>,
}

impl Terms {
    /// No terms.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many terms there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// What a term is made of.
    pub fn node(&self, term: Term) -> Node {
        self.nodes[term.index()].0
    }

    /// The width in bits, 1 to 64.
    pub fn width(&self, term: Term) -> u32 {
        u32::from(self.nodes[term.index()].1)
    }

    /// The free variable called `name`.
    ///
    /// # Panics
    /// When there is one of this name with another width.
    pub fn variable(&mut self, name: &str, width: u32) -> Term {
        if let Some(&term) = self.names.get(name) {
            assert_eq!(self.width(term), width, "{name} has one width");
            return term;
        }
        let number = u32::try_from(self.variables.len()).expect("fewer than 2^32 variables");
        self.variables.push((name.to_owned(), width));
        let term = self.insert(Node::Variable(number), width);
        self.names.insert(name.to_owned(), term);
        term
    }

    /// A variable that has not been there before; its name begins with `prefix`.
    pub fn fresh(&mut self, prefix: &str, width: u32) -> Term {
        let name = format!("{prefix}#{}", self.variables.len());
        self.variable(&name, width)
    }

    /// The variables, by number: name and width in bits.
    pub fn variables(&self) -> &[(String, u32)] {
        &self.variables
    }

    /// The variable called `name`, if there is one.
    pub fn named(&self, name: &str) -> Option<Term> {
        self.names.get(name).copied()
    }

    /// The value of a constant.
    pub fn as_constant(&self, term: Term) -> Option<u64> {
        match self.node(term) {
            Node::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// The term of a node that needs no normalising.
    fn insert(&mut self, node: Node, width: u32) -> Term {
        debug_assert!((1..=64).contains(&width));
        let key = (node, width as u8);
        if let Some(&term) = self.index.get(&key) {
            return term;
        }
        let term = Term::new(self.nodes.len());
        self.nodes.push(key);
        self.index.insert(key, term);
        term
    }

    /// What `node` is normalised to by `rule`, which is asked once.
    fn normal(&mut self, node: Node, width: u32, rule: impl FnOnce(&mut Self) -> Term) -> Term {
        let key = (node, width as u8);
        if let Some(&term) = self.index.get(&key) {
            return term;
        }
        let term = rule(self);
        debug_assert_eq!(self.width(term), width, "a rule keeps the width");
        self.index.insert(key, term);
        term
    }

    /// As [`Terms::normal`] for an operation whose operands may be swapped.
    fn commutative(
        &mut self,
        op: Op,
        width: u32,
        a: Term,
        b: Term,
        rule: impl FnOnce(&mut Self, Term, Term) -> Term,
    ) -> Term {
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        self.normal(Node::Binary(op, a, b), width, |terms| rule(terms, a, b))
    }

    /// An operation on two terms by its name; concatenations have the high term first.
    pub(crate) fn binary(&mut self, op: Op, a: Term, b: Term) -> Term {
        let width = self.width(a);
        match op {
            Op::Add => self.add(width, a, b),
            Op::Mul => self.mul(width, a, b),
            Op::Umulh => self.umulh(width, a, b),
            Op::Udiv => self.udiv(width, a, b),
            Op::Urem => self.urem(width, a, b),
            Op::Sdiv => self.sdiv(width, a, b),
            Op::Srem => self.srem(width, a, b),
            Op::And => self.and(width, a, b),
            Op::Or => self.or(width, a, b),
            Op::Xor => self.xor(width, a, b),
            Op::Shl => self.shl(width, a, b),
            Op::Lshr => self.lshr(width, a, b),
            Op::Ashr => self.ashr(width, a, b),
            Op::Concat => {
                let low = self.width(b);
                self.concat(width + low, low, a, b)
            }
            Op::Eq => self.eq(width, a, b),
            Op::Ult => self.ult(width, a, b),
            Op::Slt => self.slt(width, a, b),
        }
    }

    /// At least so many high bits of a term are zero in every assignment.
    pub(crate) fn leading_zeros(&self, term: Term) -> u32 {
        let top = *self.pieces(term).last().expect("there is a piece");
        match self.as_constant(top) {
            Some(value) => value.leading_zeros() - (64 - self.width(top)),
            None => 0,
        }
    }

    /// Whether all bits of the constant are one.
    fn is_ones(&self, term: Term) -> bool {
        self.as_constant(term) == Some(u64::MAX >> (64 - self.width(term)))
    }
}

impl Domain for Terms {
    type Value = Term;

    fn constant(&mut self, width: u32, bits: u64) -> Term {
        self.insert(Node::Constant(bits & (u64::MAX >> (64 - width))), width)
    }

    fn add(&mut self, width: u32, a: Term, b: Term) -> Term {
        self.commutative(Op::Add, width, a, b, |terms, a, b| terms.sum(width, &[(a, 1), (b, 1)]))
    }

    fn sub(&mut self, width: u32, a: Term, b: Term) -> Term {
        self.sum(width, &[(a, 1), (b, u64::MAX)])
    }

    fn mul(&mut self, width: u32, a: Term, b: Term) -> Term {
        self.commutative(Op::Mul, width, a, b, |terms, a, b| terms.product(width, a, b))
    }

    fn umulh(&mut self, width: u32, a: Term, b: Term) -> Term {
        self.commutative(Op::Umulh, width, a, b, |terms, a, b| terms.high_product(width, a, b))
    }

    fn udiv(&mut self, width: u32, a: Term, b: Term) -> Term {
        self.normal(Node::Binary(Op::Udiv, a, b), width, |terms| terms.quotient(width, a, b))
    }

    fn urem(&mut self, width: u32, a: Term, b: Term) -> Term {
        self.normal(Node::Binary(Op::Urem, a, b), width, |terms| terms.remainder(width, a, b))
    }

    fn sdiv(&mut self, width: u32, a: Term, b: Term) -> Term {
        self.normal(Node::Binary(Op::Sdiv, a, b), width, |terms| terms.signed_quotient(width, a, b))
    }

    fn srem(&mut self, width: u32, a: Term, b: Term) -> Term {
        self.normal(Node::Binary(Op::Srem, a, b), width, |terms| terms.rest(Op::Sdiv, Op::Srem, width, a, b))
    }

    fn and(&mut self, width: u32, a: Term, b: Term) -> Term {
        self.commutative(Op::And, width, a, b, |terms, a, b| terms.bitwise(Op::And, width, a, b))
    }

    fn or(&mut self, width: u32, a: Term, b: Term) -> Term {
        self.commutative(Op::Or, width, a, b, |terms, a, b| terms.bitwise(Op::Or, width, a, b))
    }

    fn xor(&mut self, width: u32, a: Term, b: Term) -> Term {
        self.commutative(Op::Xor, width, a, b, |terms, a, b| terms.bitwise(Op::Xor, width, a, b))
    }

    fn shl(&mut self, width: u32, a: Term, b: Term) -> Term {
        self.normal(Node::Binary(Op::Shl, a, b), width, |terms| terms.shift_left(width, a, b))
    }

    fn lshr(&mut self, width: u32, a: Term, b: Term) -> Term {
        self.normal(Node::Binary(Op::Lshr, a, b), width, |terms| terms.shift_right(width, a, b))
    }

    fn ashr(&mut self, width: u32, a: Term, b: Term) -> Term {
        self.normal(Node::Binary(Op::Ashr, a, b), width, |terms| terms.shift_right_signed(width, a, b))
    }

    fn zero_extend(&mut self, from: u32, to: u32, a: Term) -> Term {
        if from == to {
            return a;
        }
        let zero = self.constant(to - from, 0);
        self.concat(to, from, zero, a)
    }

    fn sign_extend(&mut self, from: u32, to: u32, a: Term) -> Term {
        if from == to {
            return a;
        }
        self.normal(Node::SignExtend(a), to, |terms| terms.sign_extended(from, to, a))
    }

    fn extract(&mut self, from: u32, low: u32, to: u32, a: Term) -> Term {
        if from == to {
            return a;
        }
        self.normal(Node::Extract(low, a), to, |terms| terms.slice(low, to, a))
    }

    fn concat(&mut self, width: u32, low_width: u32, high: Term, low: Term) -> Term {
        debug_assert_eq!(self.width(low), low_width);
        self.normal(Node::Binary(Op::Concat, high, low), width, |terms| terms.joined(&[low, high]))
    }

    fn eq(&mut self, width: u32, a: Term, b: Term) -> Term {
        self.commutative(Op::Eq, 1, a, b, |terms, a, b| terms.equal(width, a, b))
    }

    fn ult(&mut self, width: u32, a: Term, b: Term) -> Term {
        self.normal(Node::Binary(Op::Ult, a, b), 1, |terms| terms.below(width, a, b))
    }

    fn slt(&mut self, width: u32, a: Term, b: Term) -> Term {
        self.normal(Node::Binary(Op::Slt, a, b), 1, |terms| terms.below_signed(width, a, b))
    }

    fn ite(&mut self, width: u32, condition: Term, a: Term, b: Term) -> Term {
        self.normal(Node::Ite(condition, a, b), width, |terms| terms.choice(width, condition, a, b))
    }
}
