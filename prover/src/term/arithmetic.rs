// SPDX-License-Identifier: GPL-2.0-or-later
//! Sums, as linear combinations of terms that are none; a constant stands in front.

use kop_semantics::Domain;
use rustc_hash::FxHashMap;

use super::{Node, Op, Term, Terms};

/// A linear combination with more terms than this is not taken apart.
const MOST_TERMS: usize = 24;

/// A sum of multiples of terms, and a constant; numbers count modulo two to the width.
#[derive(Clone, Debug, Default)]
pub(crate) struct Linear {
    /// Distinct terms with their factors.
    pub terms: Vec<(Term, u64)>,
    /// What is added.
    pub constant: u64,
}

impl Terms {
    /// The sum of multiples of terms.
    pub(super) fn sum(&mut self, width: u32, summands: &[(Term, u64)]) -> Term {
        let mut all = Linear::default();
        for &(term, factor) in summands {
            let part = self.linear(width, term);
            all.constant = all.constant.wrapping_add(part.constant.wrapping_mul(factor));
            all.terms.extend(part.terms.into_iter().map(|(t, f)| (t, f.wrapping_mul(factor))));
        }
        let all = collected(width, all);
        self.sum_term(width, &all)
    }

    /// A term as a linear combination; at worst itself, once.
    pub(crate) fn linear(&mut self, width: u32, term: Term) -> Linear {
        let mut all = Linear::default();
        let mut pending = vec![(term, 1u64)];
        while let Some((term, factor)) = pending.pop() {
            if all.terms.len() + pending.len() > MOST_TERMS {
                all.terms.push((term, factor));
                continue;
            }
            match self.node(term) {
                Node::Constant(value) => all.constant = all.constant.wrapping_add(value.wrapping_mul(factor)),
                Node::Binary(Op::Add, a, b) => pending.extend([(b, factor), (a, factor)]),
                Node::Binary(Op::Mul, a, b) if self.as_constant(a).is_some() => {
                    let times = self.as_constant(a).expect("it is a constant");
                    pending.push((b, factor.wrapping_mul(times)));
                }
                // The complement is the negative less one.
                Node::Binary(Op::Xor, a, b) if self.is_ones(a) => {
                    all.constant = all.constant.wrapping_sub(factor);
                    pending.push((b, factor.wrapping_neg()));
                }
                Node::Binary(Op::Concat, high, low) => match self.shifted_left(width, high, low) {
                    Some((inner, times)) => pending.push((inner, factor.wrapping_mul(times))),
                    None => all.terms.push((term, factor)),
                },
                _ => all.terms.push((term, factor)),
            }
        }
        collected(width, all)
    }

    /// The term and the power of two of which `high` above `low` is the product: zeros below a term's low bits.
    fn shifted_left(&self, width: u32, high: Term, low: Term) -> Option<(Term, u64)> {
        let amount = self.width(low);
        match self.node(high) {
            Node::Extract(0, inner) if self.as_constant(low) == Some(0) && self.width(inner) == width => {
                Some((inner, 1 << amount))
            }
            _ => None,
        }
    }

    fn sum_term(&mut self, width: u32, linear: &Linear) -> Term {
        let constant = self.constant(width, linear.constant);
        if let [(term, factor)] = linear.terms[..]
            && factor == linear.constant
            && self.is_ones(constant)
        {
            return self.xor(width, constant, term);
        }
        let mut sum = None;
        for &(term, factor) in &linear.terms {
            let multiple = self.multiple(width, term, factor);
            sum = Some(match sum {
                None => multiple,
                Some(rest) => self.insert(Node::Binary(Op::Add, multiple, rest), width),
            });
        }
        match sum {
            None => constant,
            Some(sum) if linear.constant == 0 => sum,
            Some(sum) => self.insert(Node::Binary(Op::Add, constant, sum), width),
        }
    }

    /// A multiple of a term that is no sum.
    fn multiple(&mut self, width: u32, term: Term, factor: u64) -> Term {
        if factor == 1 {
            return term;
        }
        if factor.is_power_of_two() {
            let amount = self.constant(width, u64::from(factor.trailing_zeros()));
            return self.shl(width, term, amount);
        }
        let factor = self.constant(width, factor);
        self.insert(Node::Binary(Op::Mul, factor, term), width)
    }

    /// A term without the constant that is added to it, and that constant: what an address is relative to, and how far from it.
    pub fn base_and_offset(&mut self, term: Term) -> (Term, u64) {
        match self.node(term) {
            Node::Binary(Op::Add, a, b) if self.as_constant(a).is_some() => {
                (b, self.as_constant(a).expect("it is a constant"))
            }
            Node::Constant(value) => {
                let width = self.width(term);
                (self.constant(width, 0), value)
            }
            _ => (term, 0),
        }
    }
}

/// The same with each term once, none times zero, in the order of the terms.
fn collected(width: u32, linear: Linear) -> Linear {
    let mask = u64::MAX >> (64 - width);
    let mut factors: FxHashMap<Term, u64> = FxHashMap::default();
    for (term, factor) in linear.terms {
        let sum = factors.entry(term).or_default();
        *sum = sum.wrapping_add(factor) & mask;
    }
    let mut terms: Vec<_> = factors.into_iter().filter(|(_, factor)| *factor != 0).collect();
    terms.sort_unstable();
    Linear { terms, constant: linear.constant & mask }
}

#[cfg(test)]
impl Terms {
    /// A sum that is left as it is written: for tests of what normalising would do.
    pub(crate) fn insert_add(&mut self, a: Term, b: Term) -> Term {
        let width = self.width(a);
        self.insert(Node::Binary(Op::Add, a, b), width)
    }
}
