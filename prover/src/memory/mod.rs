// SPDX-License-Identifier: GPL-2.0-or-later
//! Memory of code under symbolic addresses: bytes at a distance from a root, which is an address without its constant.
//!
//! Addresses with one root differ by a known distance. Different roots are taken to be apart here; whoever proves something
//! looks at what was accessed ([`Memory::extents`]) and tries the other cases, too, by making one root the other plus a distance
//! ([`Roots`]).

mod roots;
#[cfg(test)]
mod tests;

use kop_semantics::Domain;
use rustc_hash::FxHashMap;

pub use roots::{Place, Roots};

use crate::term::{Term, Terms};

/// One access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The first byte.
    pub place: Place,
    /// How many bytes.
    pub bytes: u32,
    /// Whether it writes.
    pub write: bool,
    /// One bit: whether it takes place.
    pub condition: Term,
}

/// The bytes that one side has written, and what it accessed.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    written: FxHashMap<Place, Term>,
    accesses: Vec<Access>,
}

/// What is touched around a root: from the lowest byte to behind the highest, as distances from the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The root.
    pub root: Term,
    /// The lowest byte.
    pub low: i64,
    /// Behind the highest byte.
    pub high: i64,
    /// Whether any of it is written.
    pub written: bool,
}

/// The byte at a place before anything is written: a variable, the same for both sides.
pub fn initial(terms: &mut Terms, place: Place) -> Term {
    terms.variable(&format!("byte {} {:+}", place.root.index(), place.offset as i64), 8)
}

impl Memory {
    /// Memory as it was at the start.
    pub fn new() -> Self {
        Self::default()
    }

    /// The byte at a place.
    pub fn byte(&self, terms: &mut Terms, place: Place) -> Term {
        self.written.get(&place).copied().unwrap_or_else(|| initial(terms, place))
    }

    /// The little-endian number of `bytes` bytes at a place, loaded if `condition`.
    pub fn load(&mut self, terms: &mut Terms, condition: Term, place: Place, bytes: u32) -> Term {
        self.accesses.push(Access { place, bytes, write: false, condition });
        let mut value = self.byte(terms, place);
        for i in 1..bytes {
            let byte = self.byte(terms, place.plus(u64::from(i)));
            value = terms.concat(8 * (i + 1), 8 * i, byte, value);
        }
        value
    }

    /// Stores a number of `8 * bytes` bits at a place if `condition`.
    pub fn store(&mut self, terms: &mut Terms, condition: Term, place: Place, bytes: u32, value: Term) {
        self.accesses.push(Access { place, bytes, write: true, condition });
        for i in 0..bytes {
            let place = place.plus(u64::from(i));
            let before = self.byte(terms, place);
            let byte = terms.extract(8 * bytes, 8 * i, 8, value);
            let byte = terms.ite(8, condition, byte, before);
            self.written.insert(place, byte);
        }
    }

    /// What was accessed around `root` below `end` holds anything from now on if `condition`.
    pub fn lose(&mut self, terms: &mut Terms, condition: Term, root: Term, end: i64) {
        let accesses = self.accesses.iter().filter(|access| access.place.root == root);
        let mut places: Vec<Place> =
            accesses.flat_map(|access| (0..u64::from(access.bytes)).map(|i| access.place.plus(i))).collect();
        places.retain(|place| (place.offset as i64) < end);
        places.sort_unstable_by_key(|place| place.offset);
        places.dedup();
        for place in places {
            let (before, anything) = (self.byte(terms, place), terms.fresh("lost", 8));
            let byte = terms.ite(8, condition, anything, before);
            self.written.insert(place, byte);
        }
    }

    /// The accesses, in order.
    pub fn accesses(&self) -> &[Access] {
        &self.accesses
    }

    /// The places that have been written, in no order.
    pub fn written(&self) -> impl Iterator<Item = Place> {
        self.written.keys().copied()
    }

    /// What is touched around each root, by this side and the other, in the order of first access.
    pub fn extents<'a>(sides: impl IntoIterator<Item = &'a Memory>) -> Vec<Extent> {
        let mut extents: Vec<Extent> = Vec::new();
        for access in sides.into_iter().flat_map(|side| &side.accesses) {
            let low = access.place.offset as i64;
            // What goes round the end of the numbers is taken to be everything.
            let (low, high) = match low.checked_add(i64::from(access.bytes)) {
                Some(high) => (low, high),
                None => (i64::MIN, i64::MAX),
            };
            let root = access.place.root;
            match extents.iter_mut().find(|extent| extent.root == root) {
                Some(extent) => {
                    extent.low = extent.low.min(low);
                    extent.high = extent.high.max(high);
                    extent.written |= access.write;
                }
                None => extents.push(Extent { root, low, high, written: access.write }),
            }
        }
        extents
    }

    /// One bit for a byte: whether any access with its root touches it, or writes it if `write`.
    pub fn touches(&self, terms: &mut Terms, place: Place, write: bool) -> Term {
        let mut touched = terms.constant(1, 0);
        for access in &self.accesses {
            let distance = place.offset.wrapping_sub(access.place.offset);
            let inside = access.place.root == place.root && distance < u64::from(access.bytes);
            if inside && (access.write || !write) {
                touched = terms.or(1, touched, access.condition);
            }
        }
        touched
    }

    /// The same of accesses with other roots, where the addresses are the same as numbers.
    pub fn touches_elsewhere(&self, terms: &mut Terms, place: Place, write: bool) -> Term {
        let mut touched = terms.constant(1, 0);
        let elsewhere = self.accesses.iter().filter(|access| access.place.root != place.root);
        for access in elsewhere.filter(|access| access.write || !write) {
            let (there, here) = (access.place.address(terms), place.address(terms));
            let (distance, bytes) = (terms.sub(64, here, there), terms.constant(64, u64::from(access.bytes)));
            let inside = terms.ult(64, distance, bytes);
            let both = terms.and(1, access.condition, inside);
            touched = terms.or(1, touched, both);
        }
        touched
    }
}
