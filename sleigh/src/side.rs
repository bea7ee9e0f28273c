// SPDX-License-Identifier: GPL-2.0-or-later
//! What both sides of a comparison have: memory that they access on a path, and ends that paths come to.

use kop_prover::memory::{Access, Memory, Place, Roots};
use kop_prover::term::{Term, Terms};
use kop_semantics::Domain;

use crate::compare::always_equal;

/// What an instruction has come to, on all paths.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// The locations, in their order.
    pub values: Vec<Term>,
    /// The address of the next instruction: 64 bits.
    pub next: Term,
    /// The bytes written, and what was accessed.
    pub memory: Memory,
    /// One bit: whether an exception was raised instead.
    pub trapped: Term,
}

/// Addresses of both sides, those that are equal for all inputs known for it.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    roots: Roots,
    seen: Vec<Term>,
}

impl Addresses {
    /// Where an address is. A root that is at a constant distance from one that was there before, though no equal term, is
    /// that one: each side has its own way to compute addresses.
    pub fn place(&mut self, terms: &mut Terms, address: Term) -> Place {
        let (root, _) = terms.base_and_offset(address);
        if !self.seen.contains(&root) {
            for other in self.seen.clone() {
                if let Some(distance) = constant_distance(terms, root, other) {
                    self.roots.identify(root, Place { root: other, offset: distance });
                    return self.roots.place(terms, address);
                }
            }
            self.seen.push(root);
        }
        self.roots.place(terms, address)
    }
}

/// What has to be added to `other` to get `root`, if it is always the same.
fn constant_distance(terms: &mut Terms, root: Term, other: Term) -> Option<u64> {
    let difference = terms.sub(64, root, other);
    if let Some(distance) = terms.as_constant(difference) {
        return Some(distance);
    }
    let nothing = rustc_hash::FxHashMap::default();
    let distance = kop_prover::term::Evaluator::new(terms, &nothing).value(difference);
    let constant = terms.constant(64, distance);
    always_equal(terms, difference, constant).then_some(distance)
}

/// The memory of a side, and the path it is on.
pub(crate) struct Side<'a> {
    pub terms: &'a mut Terms,
    pub addresses: &'a mut Addresses,
    pub memory: Memory,
    /// One bit: whether what is done now is done.
    pub path: Term,
}

impl<'a> Side<'a> {
    pub fn new(terms: &'a mut Terms, addresses: &'a mut Addresses) -> Self {
        let path = terms.constant(1, 1);
        Side { terms, addresses, memory: Memory::new(), path }
    }

    /// A number of `8 * bytes` bits, of 1 to 8 bytes.
    pub fn load(&mut self, bytes: u32, address: Term) -> Term {
        let place = self.addresses.place(self.terms, address);
        self.memory.load(self.terms, self.path, place, bytes)
    }

    pub fn store(&mut self, bytes: u32, address: Term, value: Term) {
        let place = self.addresses.place(self.terms, address);
        self.memory.store(self.terms, self.path, place, bytes, value);
    }
}

/// Whether an access follows a write at an address that may or may not overlap: the bytes of [`Memory`] say nothing then.
pub(crate) fn may_overlap(memory: &Memory) -> bool {
    let accesses: &[Access] = memory.accesses();
    accesses.iter().enumerate().any(|(number, access)| {
        accesses[..number].iter().any(|before| before.write && before.place.root != access.place.root)
    })
}

/// The ends of paths, put together.
pub(crate) struct Exits {
    merged: Option<(Vec<Term>, Term)>,
    trapped: Term,
}

impl Exits {
    pub fn new(terms: &mut Terms) -> Self {
        Exits { merged: None, trapped: terms.constant(1, 0) }
    }

    /// A path that goes on at `next`, if `condition`.
    pub fn leave(&mut self, terms: &mut Terms, condition: Term, values: Vec<Term>, next: Term) {
        self.merged = Some(match self.merged.take() {
            None => (values, next),
            Some((before, goes)) => {
                let values =
                    values.iter().zip(&before).map(|(a, b)| choose(terms, condition, *a, *b)).collect();
                (values, choose(terms, condition, next, goes))
            }
        });
    }

    /// A path that raises an exception, if `condition`.
    pub fn trap(&mut self, terms: &mut Terms, condition: Term) {
        self.trapped = terms.or(1, self.trapped, condition);
    }

    /// All of them; what holds where no path comes to an end is as at the start.
    pub fn ended(self, start: Vec<Term>, here: Term, memory: Memory) -> Ended {
        let (values, next) = self.merged.unwrap_or((start, here));
        Ended { values, next, memory, trapped: self.trapped }
    }
}

/// `a` if the condition holds, else `b`.
pub(crate) fn choose(terms: &mut Terms, condition: Term, a: Term, b: Term) -> Term {
    let width = terms.width(a);
    terms.ite(width, condition, a, b)
}
