// SPDX-License-Identifier: GPL-2.0-or-later
//! Addresses as distances from roots, and roots that are taken to be distances from others.

use kop_semantics::Domain;
use rustc_hash::FxHashMap;

use crate::term::{Node, Op, Term, Terms};

/// A byte of memory: a root and a distance from it, modulo two to the 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// An address without its constant; zero for a constant address.
    pub root: Term,
    /// What is added to it.
    pub offset: u64,
}

impl Place {
    /// The place `bytes` further on.
    #[must_use]
    pub const fn plus(self, bytes: u64) -> Self {
        Place { root: self.root, offset: self.offset.wrapping_add(bytes) }
    }

    /// The address.
    pub fn address(self, terms: &mut Terms) -> Term {
        let offset = terms.constant(64, self.offset);
        terms.add(64, self.root, offset)
    }
}

/// Roots that are other roots plus a distance, in the case that is looked at.
#[derive(Clone, Debug, Default)]
pub struct Roots(FxHashMap<Term, Place>);

impl Roots {
    /// Every root stands for itself.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on `root` is `place`, whose root stands for itself.
    pub fn identify(&mut self, root: Term, place: Place) {
        for other in self.0.values_mut().filter(|other| other.root == root) {
            *other = place.plus(other.offset);
        }
        self.0.insert(root, place);
    }

    /// Where an address of 64 bits is, as far as conditions decide: places, and the bits of which the one is 1 whose place it is. A choice of
    /// two addresses is in two places, so that a pointer that is selected is either of those that somebody else branches to.
    pub fn places(&self, terms: &mut Terms, address: Term) -> Vec<(Term, Place)> {
        let always = terms.constant(1, 1);
        let mut places = Vec::new();
        let mut pending = vec![(always, address, MOST_CHOICES)];
        while let Some((bit, address, choices)) = pending.pop() {
            let place = self.place(terms, address);
            let condition = if choices == 0 { None } else { choice(terms, place.root) };
            let Some(condition) = condition else {
                places.push((bit, place));
                continue;
            };
            for holds in [false, true] {
                let known = terms.constant(1, u64::from(holds));
                let address = place.address(terms);
                let address = terms.substitute(address, &mut FxHashMap::from_iter([(condition, known)]));
                let taken = if holds { condition } else { terms.not(1, condition) };
                let bit = terms.and(1, bit, taken);
                if terms.as_constant(bit) != Some(0) {
                    pending.push((bit, address, choices - 1));
                }
            }
        }
        places
    }

    /// Where an address of 64 bits is.
    pub fn place(&self, terms: &mut Terms, address: Term) -> Place {
        let (root, offset) = terms.base_and_offset(address);
        match self.0.get(&root) {
            Some(place) => place.plus(offset),
            None => Place { root, offset },
        }
    }
}

/// An address is taken apart by so many conditions, one inside the other.
const MOST_CHOICES: u32 = 3;

/// So many terms below an address are looked at.
const MOST_LOOKED_AT: usize = 64;

/// A condition that an address depends on as a choice: of one of two terms, or of one bit or many that are the condition.
fn choice(terms: &Terms, address: Term) -> Option<Term> {
    let mut pending = vec![address];
    let mut place = 0;
    while let Some(&term) = pending.get(place).filter(|_| place < MOST_LOOKED_AT) {
        match terms.node(term) {
            Node::Ite(condition, ..) => return Some(condition),
            Node::Binary(Op::Eq | Op::Ult | Op::Slt, ..) => return Some(term),
            Node::Binary(Op::Add | Op::And | Op::Or | Op::Xor | Op::Concat, ..)
            | Node::Extract(..)
            | Node::SignExtend(_) => pending.extend(terms.node(term).operands()),
            Node::Binary(Op::Mul, factor, _) if terms.as_constant(factor).is_some() => {
                pending.extend(terms.node(term).operands());
            }
            _ => {}
        }
        place += 1;
    }
    None
}
