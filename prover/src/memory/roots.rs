// SPDX-License-Identifier: GPL-2.0-or-later
//! Addresses as distances from roots, and roots that are taken to be distances from others.

use kop_semantics::Domain;
use rustc_hash::FxHashMap;

use crate::term::{Term, Terms};

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

    /// Where an address of 64 bits is.
    pub fn place(&self, terms: &mut Terms, address: Term) -> Place {
        let (root, offset) = terms.base_and_offset(address);
        match self.0.get(&root) {
            Some(place) => place.plus(offset),
            None => Place { root, offset },
        }
    }
}
