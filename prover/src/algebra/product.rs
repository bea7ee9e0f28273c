// SPDX-License-Identifier: GPL-2.0-or-later
//! Products of wide numbers by those of their halves: with `a = a1 h + a0` and `b = b1 h + b0`, where `h` is two to half the width,
//! `a b = a1 b1 h^2 + (a1 b0 + a0 b1) h + a0 b0`, an identity of integer polynomials. What is left to decide are sums of the four
//! partial products, whatever these are; all that is kept of them is how large they can be.

use kop_semantics::Domain;
use rustc_hash::FxHashMap;

use crate::term::{Node, Op, Term, Terms};

/// A partial product's factors, the number that stands for it, and the rest that a claim needs.
struct Partial<'a> {
    terms: &'a mut Terms,
    /// What terms become.
    known: FxHashMap<Term, Term>,
    /// What partial products become.
    free: FxHashMap<Term, Term>,
    bounds: FxHashMap<Term, u64>,
}

/// Terms in which products of variable factors are expanded to free partial products, with the largest values of these; none where no
/// high product occurs.
pub(crate) fn by_halves(terms: &mut Terms, roots: &[Term]) -> Option<(Vec<Term>, FxHashMap<Term, u64>)> {
    if !has_high_product(terms, roots) {
        return None;
    }
    let mut partial = Partial {
        terms,
        known: FxHashMap::default(),
        free: FxHashMap::default(),
        bounds: FxHashMap::default(),
    };
    let expanded = roots.iter().map(|root| partial.expanded(*root)).collect();
    Some((expanded, partial.bounds))
}

fn has_high_product(terms: &Terms, roots: &[Term]) -> bool {
    let mut seen = rustc_hash::FxHashSet::default();
    let mut pending = roots.to_vec();
    while let Some(term) = pending.pop() {
        if seen.insert(term) {
            let node = terms.node(term);
            if matches!(node, Node::Binary(Op::Umulh, ..)) {
                return true;
            }
            pending.extend(node.operands());
        }
    }
    false
}

/// The low and the high half of the product of `a` and `b`, by the products of their halves, which `times` says; the width is even.
pub(super) fn halves<D: Domain>(
    d: &mut D,
    width: u32,
    a: D::Value,
    b: D::Value,
    mut times: impl FnMut(&mut D, D::Value, D::Value) -> D::Value,
) -> [D::Value; 2] {
    let half = width / 2;
    let [a0, a1, b0, b1] = [(0, a), (half, a), (0, b), (half, b)].map(|(low, value)| {
        let part = d.extract(width, low, half, value);
        d.zero_extend(half, width, part)
    });
    let (low, high) = (times(d, a0, b0), times(d, a1, b1));
    let (one, other) = (times(d, a0, b1), times(d, a1, b0));
    let distance = d.constant(width, u64::from(half));
    let [one_low, other_low] = [one, other].map(|product| {
        let low = d.extract(width, 0, half, product);
        d.zero_extend(half, width, low)
    });
    let [low_high, one_high, other_high] = [low, one, other].map(|product| d.lshr(width, product, distance));
    let middle = d.add(width, low_high, one_low);
    let middle = d.add(width, middle, other_low);
    let carry = d.lshr(width, middle, distance);
    let sum = [one_high, other_high, carry].into_iter().fold(high, |sum, part| d.add(width, sum, part));
    let both = d.add(width, one, other);
    let shifted = d.shl(width, both, distance);
    [d.add(width, low, shifted), sum]
}

impl Partial<'_> {
    fn expanded(&mut self, term: Term) -> Term {
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
                let made = self.made(next, node);
                self.known.insert(next, made);
                pending.pop();
            }
        }
        self.known[&term]
    }

    fn made(&mut self, term: Term, node: Node) -> Term {
        if let Node::Binary(op @ (Op::Mul | Op::Umulh), a, b) = node {
            let width = self.terms.width(term);
            return self.product(op, width, self.known[&a], self.known[&b]);
        }
        let known = &self.known;
        self.terms.with_operands(term, |operand| known[&operand])
    }

    fn product(&mut self, op: Op, width: u32, a: Term, b: Term) -> Term {
        let is_constant = self.terms.as_constant(a).is_some() || self.terms.as_constant(b).is_some();
        if is_constant && op == Op::Mul {
            return self.terms.binary(op, a, b);
        }
        if width <= 32 {
            // Both halves of one product of twice the width.
            let [x, y] = [a, b].map(|value| self.terms.zero_extend(width, 2 * width, value));
            let whole = self.free(2 * width, x, y);
            return self.terms.extract(2 * width, if op == Op::Mul { 0 } else { width }, width, whole);
        }
        if width % 2 == 1 {
            return self.terms.binary(op, a, b);
        }
        let is_small = |term| self.terms.leading_zeros(term) >= width / 2;
        if op == Op::Mul && is_small(a) && is_small(b) {
            return self.free(width, a, b);
        }
        let (mut free, mut bounds) = (std::mem::take(&mut self.free), std::mem::take(&mut self.bounds));
        let [low, high] = halves(self.terms, width, a, b, |terms, x, y| {
            partial(terms, &mut free, &mut bounds, width, x, y)
        });
        (self.free, self.bounds) = (free, bounds);
        if op == Op::Mul { low } else { high }
    }

    fn free(&mut self, width: u32, a: Term, b: Term) -> Term {
        partial(self.terms, &mut self.free, &mut self.bounds, width, a, b)
    }
}

/// The number that stands for the product of two numbers of half the width, and that it is no larger than one of them can be. What is
/// constant stays.
fn partial(
    terms: &mut Terms,
    free: &mut FxHashMap<Term, Term>,
    bounds: &mut FxHashMap<Term, u64>,
    width: u32,
    a: Term,
    b: Term,
) -> Term {
    let product = terms.mul(width, a, b);
    if !matches!(terms.node(product), Node::Binary(Op::Mul, x, _) if terms.as_constant(x).is_none()) {
        return product;
    }
    if let Some(&number) = free.get(&product) {
        return number;
    }
    let number = terms.fresh("product", width);
    let largest = (1u64 << (width / 2)) - 1;
    bounds.insert(number, largest * largest);
    free.insert(product, number);
    number
}
