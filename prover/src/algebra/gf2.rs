// SPDX-License-Identifier: GPL-2.0-or-later
//! Bits as polynomials over GF(2): exclusive or is their sum, and is their product, and a bit's square is the bit itself. The normal
//! form, a set of monomials, is unique (Zhegalkin), so that bits are equal exactly if their polynomials are. Bits of other operations
//! are variables here.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use crate::term::{Node, Op, Term, Terms};

/// Monomials that a bit may have.
const MOST_MONOMIALS: usize = 1 << 10;
/// Monomials that may be written altogether.
const MOST_WORK: usize = 1 << 22;

/// Up to four variables by number from 1 on, the highest first, 32 bits each; zero is the empty product, one.
type Monomial = u128;

/// A sum of distinct monomials, in order.
type Polynomial = Vec<Monomial>;

const ONE: Monomial = 0;

/// Polynomials of terms, bit by bit.
pub(super) struct Polynomials<'a> {
    terms: &'a Terms,
    /// The polynomials of a term's bits, the lowest first; none where they are too large.
    known: FxHashMap<Term, Option<Rc<Vec<Polynomial>>>>,
    variables: u32,
    work: usize,
}

impl<'a> Polynomials<'a> {
    pub fn new(terms: &'a Terms) -> Self {
        Polynomials { terms, known: FxHashMap::default(), variables: 0, work: 0 }
    }

    /// Whether both have the same polynomials, and they are small enough to be known.
    pub fn equal(&mut self, a: Term, b: Term) -> bool {
        matches!((self.bits(a), self.bits(b)), (Some(x), Some(y)) if x == y)
    }

    fn bits(&mut self, term: Term) -> Option<Rc<Vec<Polynomial>>> {
        let mut pending = vec![term];
        while let Some(&next) = pending.last() {
            if self.known.contains_key(&next) {
                pending.pop();
                continue;
            }
            let before = pending.len();
            let node = self.terms.node(next);
            if is_bitwise(self.terms, next) {
                pending.extend(node.operands().filter(|operand| !self.known.contains_key(operand)));
            }
            if pending.len() == before {
                let bits = self.compute(next, node).map(Rc::new);
                self.known.insert(next, bits);
                pending.pop();
            }
        }
        self.known[&term].clone()
    }

    fn compute(&mut self, term: Term, node: Node) -> Option<Vec<Polynomial>> {
        let width = self.terms.width(term) as usize;
        if !is_bitwise(self.terms, term) {
            return match node {
                Node::Constant(value) => Some(
                    (0..width).map(|bit| if value >> bit & 1 == 1 { vec![ONE] } else { vec![] }).collect(),
                ),
                _ => Some((0..width).map(|_| vec![self.variable()]).collect()),
            };
        }
        let mut operands = Vec::with_capacity(3);
        for operand in node.operands() {
            operands.push(self.known[&operand].clone()?);
        }
        match node {
            Node::Extract(low, _) => Some(operands[0][low as usize..low as usize + width].to_vec()),
            Node::SignExtend(_) => {
                let mut bits = operands[0].to_vec();
                let sign = bits[bits.len() - 1].clone();
                bits.resize(width, sign);
                Some(bits)
            }
            Node::Binary(Op::Concat, ..) => Some([&operands[1][..], &operands[0][..]].concat()),
            Node::Binary(op, ..) => {
                (0..width).map(|bit| self.operation(op, &operands[0][bit], &operands[1][bit])).collect()
            }
            Node::Ite(..) => (0..width)
                .map(|bit| self.choice(&operands[0][0], &operands[1][bit], &operands[2][bit]))
                .collect(),
            Node::Constant(_) | Node::Variable(_) => None,
        }
    }

    fn variable(&mut self) -> Monomial {
        self.variables += 1;
        Monomial::from(self.variables)
    }

    fn operation(&mut self, op: Op, a: &Polynomial, b: &Polynomial) -> Option<Polynomial> {
        match op {
            Op::And => self.product(a, b),
            Op::Or => {
                let product = self.product(a, b)?;
                let sum = self.sum(a, b)?;
                self.sum(&sum, &product)
            }
            _ => self.sum(a, b),
        }
    }

    /// `b + c (a + b)`.
    fn choice(&mut self, c: &Polynomial, a: &Polynomial, b: &Polynomial) -> Option<Polynomial> {
        let sum = self.sum(a, b)?;
        let product = self.product(c, &sum)?;
        self.sum(b, &product)
    }

    fn sum(&mut self, a: &Polynomial, b: &Polynomial) -> Option<Polynomial> {
        let (mut i, mut j, mut sum) = (0, 0, Vec::with_capacity(a.len() + b.len()));
        while i < a.len() && j < b.len() {
            match a[i].cmp(&b[j]) {
                std::cmp::Ordering::Less => {
                    sum.push(a[i]);
                    i += 1;
                }
                std::cmp::Ordering::Greater => {
                    sum.push(b[j]);
                    j += 1;
                }
                std::cmp::Ordering::Equal => (i, j) = (i + 1, j + 1),
            }
        }
        sum.extend_from_slice(&a[i..]);
        sum.extend_from_slice(&b[j..]);
        self.spent(a.len() + b.len())?;
        (sum.len() <= MOST_MONOMIALS).then_some(sum)
    }

    fn product(&mut self, a: &Polynomial, b: &Polynomial) -> Option<Polynomial> {
        self.spent(a.len() * b.len())?;
        let mut all = Vec::with_capacity(a.len() * b.len());
        for x in a {
            for y in b {
                all.push(times(*x, *y)?);
            }
        }
        all.sort_unstable();
        let mut product: Polynomial = Vec::with_capacity(all.len());
        for monomial in all {
            if product.last() == Some(&monomial) {
                product.pop();
            } else {
                product.push(monomial);
            }
        }
        (product.len() <= MOST_MONOMIALS).then_some(product)
    }

    fn spent(&mut self, work: usize) -> Option<()> {
        self.work += work;
        (self.work <= MOST_WORK).then_some(())
    }
}

/// Whether each bit of a term is a sum, a product or a choice of its operands' bits.
fn is_bitwise(terms: &Terms, term: Term) -> bool {
    match terms.node(term) {
        Node::Binary(Op::And | Op::Or | Op::Xor | Op::Concat, ..)
        | Node::Extract(..)
        | Node::SignExtend(_)
        | Node::Ite(..) => true,
        Node::Binary(..) | Node::Constant(_) | Node::Variable(_) => false,
    }
}

/// The product of two monomials; none if it has more than four variables.
fn times(a: Monomial, b: Monomial) -> Option<Monomial> {
    let variables =
        |monomial: Monomial| (0..4).rev().map(move |i| (monomial >> (32 * i)) as u32).filter(|v| *v != 0);
    let (mut x, mut y) = (variables(a).peekable(), variables(b).peekable());
    let (mut product, mut count): (Monomial, u32) = (0, 0);
    while let Some(next) = x.peek().copied().max(y.peek().copied()) {
        x.next_if_eq(&next);
        y.next_if_eq(&next);
        count += 1;
        if count > 4 {
            return None;
        }
        product = product << 32 | Monomial::from(next);
    }
    Some(product)
}
