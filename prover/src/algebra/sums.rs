// SPDX-License-Identifier: GPL-2.0-or-later
//! Numbers as sums of bits: a term's value as `c + sum of c_i b_i` over bits `b_i`, modulo two to its width. Slices of such a sum are sums
//! again where its lower part cannot carry into the slice, and what is put below other bits has to be a sum that does not wrap. So counts
//! of ones that are added or subtracted in any order, by halves or by a product, come to the same sum.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use crate::term::{Node, Op, Term, Terms};

/// An integer modulo two to the width of the term: a constant, and bits by number with their weights, which are not zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sum {
    constant: u64,
    weights: Vec<(u32, u64)>,
}

impl Sum {
    /// The sum where all bits are one.
    fn highest(&self) -> u128 {
        self.weights.iter().fold(u128::from(self.constant), |sum, (_, weight)| sum + u128::from(*weight))
    }

    /// The same, if it is below two to the width.
    fn within(self, width: u32) -> Option<Self> {
        (self.highest() >> width == 0).then_some(self)
    }

    /// Each number made another, zeros left out.
    fn map(&self, of: impl Fn(u64) -> u64) -> Self {
        let weights = self.weights.iter().map(|(bit, weight)| (*bit, of(*weight)));
        Sum { constant: of(self.constant), weights: weights.filter(|(_, weight)| *weight != 0).collect() }
    }

    /// What remains modulo two to `bits`, and the rest divided by that; none where the former may be that large.
    fn split(&self, bits: u32) -> Option<(Self, Self)> {
        if bits == 64 {
            return Some((self.clone(), Sum::default()));
        }
        let low = self.map(|number| number & ((1 << bits) - 1)).within(bits)?;
        Some((low, self.map(|number| number >> bits)))
    }

    fn plus(&self, other: &Self, width: u32) -> Self {
        let mask = u64::MAX >> (64 - width);
        let add = |a: u64, b: u64| a.wrapping_add(b) & mask;
        let (mut a, mut b) = (self.weights.iter().peekable(), other.weights.iter().peekable());
        let mut weights = Vec::with_capacity(self.weights.len() + other.weights.len());
        loop {
            let bit = match (a.peek(), b.peek()) {
                (Some(x), Some(y)) => x.0.min(y.0),
                (Some(x), None) | (None, Some(x)) => x.0,
                (None, None) => break,
            };
            let [x, y] =
                [&mut a, &mut b].map(|side| side.next_if(|next| next.0 == bit).map_or(0, |next| next.1));
            weights.push((bit, add(x, y)));
        }
        weights.retain(|(_, weight)| *weight != 0);
        Sum { constant: add(self.constant, other.constant), weights }
    }
}

/// Sums of terms.
pub(super) struct Sums<'a> {
    terms: &'a Terms,
    known: FxHashMap<Term, Rc<Sum>>,
    /// Bits of their own for terms whose sums are of no use to what is made of them.
    opaque: FxHashMap<Term, Rc<Sum>>,
    bits: u32,
}

impl<'a> Sums<'a> {
    pub fn new(terms: &'a Terms) -> Self {
        Sums { terms, known: FxHashMap::default(), opaque: FxHashMap::default(), bits: 0 }
    }

    /// Whether both are the same sum.
    pub fn equal(&mut self, a: Term, b: Term) -> bool {
        self.sum(a) == self.sum(b)
    }

    fn sum(&mut self, term: Term) -> Rc<Sum> {
        let mut pending = vec![term];
        while let Some(&next) = pending.last() {
            if self.known.contains_key(&next) {
                pending.pop();
                continue;
            }
            let before = pending.len();
            let node = self.terms.node(next);
            if is_linear(self.terms, node) {
                pending.extend(node.operands().filter(|operand| !self.known.contains_key(operand)));
            }
            if pending.len() == before {
                let width = self.terms.width(next);
                let sum = self.compute(width, node, false).or_else(|| self.compute_of_bits(width, node));
                let sum = sum.unwrap_or_else(|| self.bits_of(width));
                self.known.insert(next, Rc::new(sum));
                pending.pop();
            }
        }
        self.known[&term].clone()
    }

    /// Bits of their own: what no sum is known for.
    fn bits_of(&mut self, width: u32) -> Sum {
        let first = self.bits;
        self.bits += width;
        Sum { constant: 0, weights: (0..width).map(|bit| (first + bit, 1 << bit)).collect() }
    }

    /// The sum where nothing is known of the operands: of their bits.
    fn compute_of_bits(&mut self, width: u32, node: Node) -> Option<Sum> {
        if !is_linear(self.terms, node) {
            return None;
        }
        for operand in node.operands() {
            // A constant's bits are known.
            if !self.opaque.contains_key(&operand) {
                let sum = match self.terms.as_constant(operand) {
                    Some(_) => self.known[&operand].clone(),
                    None => Rc::new(self.bits_of(self.terms.width(operand))),
                };
                self.opaque.insert(operand, sum);
            }
        }
        self.compute(width, node, true)
    }

    fn compute(&self, width: u32, node: Node, of_bits: bool) -> Option<Sum> {
        let known = |term: Term| if of_bits { &self.opaque[&term] } else { &self.known[&term] };
        match node {
            Node::Constant(value) => Some(Sum { constant: value, weights: Vec::new() }),
            _ if !is_linear(self.terms, node) => None,
            Node::Extract(low, a) => slice(known(a), low, width),
            Node::SignExtend(a) => {
                let sum = known(a).as_ref().clone();
                sum.within(self.terms.width(a) - 1)
            }
            Node::Binary(Op::Concat, high, low) => {
                let bits = self.terms.width(low);
                let low = known(low).as_ref().clone().within(bits)?;
                Some(known(high).map(|number| number << bits).plus(&low, width))
            }
            Node::Binary(Op::Add, a, b) => Some(known(a).plus(known(b), width)),
            Node::Binary(Op::Mul, a, b) => {
                let factor = self.terms.as_constant(a)?;
                let mask = u64::MAX >> (64 - width);
                Some(known(b).map(|number| number.wrapping_mul(factor) & mask))
            }
            Node::Binary(Op::And, a, b) => masked(known(b), self.terms.as_constant(a)?, width),
            _ => None,
        }
    }
}

/// Whether a sum may be made of the operands' sums.
fn is_linear(terms: &Terms, node: Node) -> bool {
    match node {
        Node::Binary(Op::Concat | Op::Add, ..) | Node::Extract(..) | Node::SignExtend(_) => true,
        Node::Binary(Op::Mul | Op::And, a, _) => terms.as_constant(a).is_some(),
        _ => false,
    }
}

/// The `width` bits from `low` on.
fn slice(sum: &Sum, low: u32, width: u32) -> Option<Sum> {
    let (_, above) = sum.split(low)?;
    Some(above.split(width)?.0)
}

/// The bits where `mask` is one: the slices of its runs of ones, in their places.
fn masked(sum: &Sum, mask: u64, width: u32) -> Option<Sum> {
    let (mut all, mut low) = (Sum::default(), 0);
    while low < width && mask >> low != 0 {
        low += (mask >> low).trailing_zeros();
        let run = (mask >> low).trailing_ones();
        let field = slice(sum, low, run)?;
        all = all.plus(&field.map(|number| number << low), width);
        low += run;
        if low == 64 {
            break;
        }
    }
    Some(all)
}
