// SPDX-License-Identifier: GPL-2.0-or-later
//! A state in which a claim is false.

use kop_ops::ebpf::Reg;
use kop_semantics::Domain;
use rustc_hash::FxHashMap;

use super::decide::equal;
use super::obligation::Claim;
use crate::memory::{Memory, Place, initial};
use crate::term::{Evaluator, Node, Term, Terms};

/// A state before the code, and what is wrong behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// r0 to r10.
    pub registers: [u64; 11],
    /// Bytes of memory, by address, in order: those that the code looks at.
    pub memory: Vec<(u64, u8)>,
    /// Other registers, flags and undefined results that are not zero.
    pub others: Vec<(String, u64)>,
    /// What is wrong.
    pub what: String,
    /// What the proof sequence makes of it; a bit where it is a condition.
    pub proof: u64,
    /// What native code makes of it.
    pub native: u64,
}

impl Counterexample {
    /// The state of `model`; none if the claim holds in it.
    pub(super) fn new(
        terms: &mut Terms,
        claim: &Claim,
        registers: &[Term; 11],
        model: &FxHashMap<u32, u64>,
    ) -> Option<Self> {
        let memory = bytes(terms, &claim.memories, model);
        let mut values = Evaluator::new(terms, model);
        if claim.hypotheses.iter().any(|hypothesis| values.value(*hypothesis) == 0) {
            return None;
        }
        let wrong = claim.obligations.iter().find(|o| values.value(o.proof) != values.value(o.native))?;
        let mut memory: Vec<(u64, u8)> = memory.into_iter().map(|byte| (byte.address, byte.value)).collect();
        memory.sort_unstable();
        memory.dedup();
        Some(Counterexample {
            registers: registers.map(|register| values.value(register)),
            memory,
            others: others(terms, model),
            what: wrong.what.to_string(),
            proof: values.value(wrong.proof),
            native: values.value(wrong.native),
        })
    }

    /// The value of an eBPF register.
    pub fn register(&self, register: Reg) -> u64 {
        self.registers[register.index()]
    }
}

/// Variables besides eBPF registers and memory that are not zero.
fn others(terms: &Terms, model: &FxHashMap<u32, u64>) -> Vec<(String, u64)> {
    let mut others: Vec<(String, u64)> = model
        .iter()
        .filter(|(_, value)| **value != 0)
        .map(|(number, value)| (terms.variables()[*number as usize].0.clone(), *value))
        .filter(|(name, _)| !name.starts_with("byte ") && !Reg::ALL.iter().any(|r| r.to_string() == *name))
        .collect();
    others.sort();
    others
}

/// A byte of memory in a model.
struct Byte {
    place: Place,
    variable: Term,
    address: u64,
    value: u8,
}

/// The bytes that code looks at, each place once.
fn bytes(terms: &mut Terms, memories: &[Memory; 2], model: &FxHashMap<u32, u64>) -> Vec<Byte> {
    let mut places: Vec<Place> = Vec::new();
    for access in memories.iter().flat_map(Memory::accesses) {
        places.extend((0..u64::from(access.bytes)).map(|distance| access.place.plus(distance)));
    }
    places.sort_unstable_by_key(|place| (place.root, place.offset));
    places.dedup();
    let variables: Vec<Term> = places.iter().map(|place| initial(terms, *place)).collect();
    let mut values = Evaluator::new(terms, model);
    places
        .into_iter()
        .zip(variables)
        .map(|(place, variable)| Byte {
            place,
            variable,
            address: values.value(place.root).wrapping_add(place.offset),
            value: values.value(variable) as u8,
        })
        .collect()
}

/// For bytes that have one address but two values in a model, that they have one value where they have one address.
pub(super) fn clashes(terms: &mut Terms, memories: &[Memory; 2], model: &FxHashMap<u32, u64>) -> Vec<Term> {
    let bytes = bytes(terms, memories, model);
    let mut clashes = Vec::new();
    for (i, a) in bytes.iter().enumerate() {
        for b in &bytes[i + 1..] {
            if a.address == b.address && a.value != b.value {
                let (x, y) = (a.place.address(terms), b.place.address(terms));
                let (apart, same) = (equal(terms, x, y), equal(terms, a.variable, b.variable));
                let apart = terms.not(1, apart);
                clashes.push(terms.or(1, apart, same));
            }
        }
    }
    clashes
}

impl Terms {
    /// Whether `variable` occurs in `term`.
    pub(crate) fn depends_on(&self, term: Term, variable: Term) -> bool {
        let mut seen: rustc_hash::FxHashSet<Term> = rustc_hash::FxHashSet::default();
        let mut pending = vec![term];
        while let Some(next) = pending.pop() {
            if next == variable {
                return true;
            }
            // Operands come before what they are operands of.
            if next > variable && seen.insert(next) && !matches!(self.node(next), Node::Variable(_)) {
                pending.extend(self.node(next).operands());
            }
        }
        false
    }
}
