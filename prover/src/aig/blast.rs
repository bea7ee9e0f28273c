// SPDX-License-Identifier: GPL-2.0-or-later
//! From terms to circuits: every bit of a term becomes a wire.

use rustc_hash::FxHashMap;

use super::{Aig, Wire};
use crate::term::{Node, Op, Term, Terms};

/// Builds the circuits of terms in one graph.
#[derive(Clone, Debug, Default)]
pub struct Blaster {
    /// The graph.
    pub aig: Aig,
    /// The bits of a term, the lowest first.
    bits: FxHashMap<Term, Vec<Wire>>,
}

impl Blaster {
    /// A blaster with an empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// The wires of a term's bits, the lowest first; variables become inputs.
    pub fn bits(&mut self, terms: &Terms, term: Term) -> Vec<Wire> {
        let mut pending = vec![term];
        while let Some(&next) = pending.last() {
            if self.bits.contains_key(&next) {
                pending.pop();
                continue;
            }
            let before = pending.len();
            let node = terms.node(next);
            pending.extend(node.operands().filter(|operand| !self.bits.contains_key(operand)));
            if pending.len() == before {
                let bits = self.circuit(terms, next, node);
                debug_assert_eq!(bits.len(), terms.width(next) as usize);
                self.bits.insert(next, bits);
                pending.pop();
            }
        }
        self.bits[&term].clone()
    }

    /// The variables that occur, by number, with their wires.
    pub fn variables(&self, terms: &Terms) -> impl Iterator<Item = (u32, &[Wire])> {
        self.bits.iter().filter_map(|(term, bits)| match terms.node(*term) {
            Node::Variable(number) => Some((number, bits.as_slice())),
            _ => None,
        })
    }

    fn circuit(&mut self, terms: &Terms, term: Term, node: Node) -> Vec<Wire> {
        let width = terms.width(term) as usize;
        match node {
            Node::Constant(value) => (0..width).map(|bit| Wire::constant(value >> bit & 1 == 1)).collect(),
            Node::Variable(_) => (0..width).map(|_| self.aig.input()).collect(),
            Node::Extract(low, a) => self.bits[&a][low as usize..low as usize + width].to_vec(),
            Node::SignExtend(a) => {
                let mut bits = self.bits[&a].clone();
                let sign = bits[bits.len() - 1];
                bits.resize(width, sign);
                bits
            }
            Node::Ite(c, a, b) => {
                let (c, a, b) = (self.bits[&c][0], self.bits[&a].clone(), self.bits[&b].clone());
                self.aig.mux_all(c, &a, &b)
            }
            Node::Binary(op, a, b) => {
                let (a, b) = (self.bits[&a].clone(), self.bits[&b].clone());
                self.operation(op, a, b)
            }
        }
    }

    fn operation(&mut self, op: Op, a: Vec<Wire>, b: Vec<Wire>) -> Vec<Wire> {
        let aig = &mut self.aig;
        match op {
            Op::Add => aig.sum(&a, &b, Wire::FALSE),
            Op::Mul => aig.product(&a, &b),
            Op::Umulh => aig.high_product(&a, &b),
            Op::Udiv => aig.divided(&a, &b).0,
            Op::Urem => aig.divided(&a, &b).1,
            Op::Sdiv => aig.signed_quotient(&a, &b),
            Op::Srem => aig.signed_remainder(&a, &b),
            Op::And => pairwise(&a, &b, |x, y| aig.and(x, y)),
            Op::Or => pairwise(&a, &b, |x, y| aig.or(x, y)),
            Op::Xor => pairwise(&a, &b, |x, y| aig.xor(x, y)),
            Op::Shl => {
                let reversed: Vec<Wire> = a.into_iter().rev().collect();
                let mut bits = aig.shifted(&reversed, &b, Wire::FALSE);
                bits.reverse();
                bits
            }
            Op::Lshr => aig.shifted(&a, &b, Wire::FALSE),
            Op::Ashr => aig.shifted(&a, &b, a[a.len() - 1]),
            Op::Concat => [b, a].concat(),
            Op::Eq => vec![aig.equal(&a, &b)],
            Op::Ult => vec![aig.less(&a, &b)],
            Op::Slt => {
                // Signed numbers are in the order of unsigned ones once their signs are flipped.
                let (mut a, mut b) = (a, b);
                let top = a.len() - 1;
                (a[top], b[top]) = (!a[top], !b[top]);
                vec![aig.less(&a, &b)]
            }
        }
    }
}

/// An operation bit by bit.
fn pairwise(a: &[Wire], b: &[Wire], mut of: impl FnMut(Wire, Wire) -> Wire) -> Vec<Wire> {
    a.iter().zip(b).map(|(x, y)| of(*x, *y)).collect()
}
