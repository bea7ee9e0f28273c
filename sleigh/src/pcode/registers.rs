// SPDX-License-Identifier: GPL-2.0-or-later
//! The registers and temporaries of SLEIGH, byte by byte, and how they hold the locations that are compared.

use std::collections::{BTreeMap, BTreeSet};

use kop_prover::term::{Term, Terms};
use kop_semantics::Domain;

use super::number::{self, Number};
use crate::lift::{LiftError, Lifter, Space, Varnode};
use crate::location::Location;
use crate::side::choose;

/// A byte: a value that was written as a whole, and which of its bytes it is. So what is read as it was written is the same term.
type Cell = (Term, u32);

/// Bytes by their places; what is missing was never written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registers(BTreeMap<(Space, u64), Cell>);

impl Registers {
    /// The value of a varnode.
    pub fn read(&self, terms: &mut Terms, varnode: Varnode) -> Number {
        let limb = |(place, bytes): (u32, u32)| {
            let start = varnode.offset.wrapping_add(place.into());
            self.limb(terms, varnode.space, start, bytes)
        };
        Number::new(number::limbs(varnode.size).map(limb).collect())
    }

    /// At most 8 bytes, joined from the longest pieces of what was written.
    fn limb(&self, terms: &mut Terms, space: Space, start: u64, bytes: u32) -> Term {
        let mut value: Option<Term> = None;
        let mut have = 0;
        while have < bytes {
            let (term, first) = self.cell(terms, space, start.wrapping_add(have.into()));
            let follows = |more: &u32| {
                let next = self.0.get(&(space, start.wrapping_add((have + more).into())));
                next == Some(&(term, first + more))
            };
            let count = 1 + (1..bytes - have).take_while(follows).count() as u32;
            let piece = terms.extract(terms.width(term), 8 * first, 8 * count, term);
            value = Some(match value {
                None => piece,
                Some(value) => terms.concat(8 * (have + count), 8 * have, piece, value),
            });
            have += count;
        }
        value.expect("there is a byte")
    }

    /// Sets a varnode.
    pub fn write(&mut self, terms: &mut Terms, varnode: Varnode, value: &Number) {
        assert_eq!(value.bytes(terms), varnode.size, "results have the size of what they go to");
        let mut offset = varnode.offset;
        for limb in value.limbs() {
            for byte in 0..terms.width(*limb) / 8 {
                self.0.insert((varnode.space, offset), (*limb, byte));
                offset = offset.wrapping_add(1);
            }
        }
    }

    /// One byte; what no location holds is a variable of its own.
    fn cell(&self, terms: &mut Terms, space: Space, offset: u64) -> Cell {
        let known = self.0.get(&(space, offset)).copied();
        known.unwrap_or_else(|| (terms.variable(&format!("sleigh {space:?} {offset:#x}"), 8), 0))
    }

    /// These if `condition`, else the others.
    pub fn merged(&self, terms: &mut Terms, condition: Term, others: &Registers) -> Registers {
        let places: BTreeSet<_> = self.0.keys().chain(others.0.keys()).copied().collect();
        let merged = places.into_iter().map(|(space, offset)| {
            let cells = [self, others].map(|registers| registers.cell(terms, space, offset));
            ((space, offset), either(terms, condition, cells))
        });
        Registers(merged.collect())
    }
}

/// The first cell if the condition holds, else the second.
fn either(terms: &mut Terms, condition: Term, [one, other]: [Cell; 2]) -> Cell {
    if one.1 == other.1 && terms.width(one.0) == terms.width(other.0) {
        return (choose(terms, condition, one.0, other.0), one.1);
    }
    let [one, other] = [one, other].map(|(term, byte)| terms.extract(terms.width(term), 8 * byte, 8, term));
    (choose(terms, condition, one, other), 0)
}

/// Where the locations are in SLEIGH's registers.
pub(crate) struct Wiring {
    locations: Vec<(Location, Varnode)>,
    /// A register that reads as zero.
    zero: Option<Varnode>,
}

impl Wiring {
    /// Looks the registers up.
    ///
    /// # Errors
    /// One is missing.
    pub fn new(lifter: &Lifter, locations: &[Location], zero: Option<&str>) -> Result<Self, LiftError> {
        let wire = |location: &Location| {
            let (name, byte) = &location.register;
            let register = lifter.register(name)?;
            let varnode = Varnode { offset: register.offset + byte, size: location.bytes(), ..register };
            Ok((location.clone(), varnode))
        };
        let locations = locations.iter().map(wire).collect::<Result<_, LiftError>>()?;
        Ok(Wiring { locations, zero: zero.map(|name| lifter.register(name)).transpose()? })
    }

    /// Registers that hold these values of the locations. Flags are bytes, 0 or 1.
    pub fn start(&self, terms: &mut Terms, values: &[Term]) -> Registers {
        let mut registers = Registers::default();
        for ((location, varnode), value) in self.locations.iter().zip(values) {
            let bytes = terms.zero_extend(location.width, 8 * varnode.size, *value);
            registers.write(terms, *varnode, &Number::new(vec![bytes]));
        }
        if let Some(zero) = self.zero {
            let value = number::constant(terms, zero.size, 0);
            registers.write(terms, zero, &value);
        }
        registers
    }

    /// The locations' bytes.
    pub fn end(&self, terms: &mut Terms, registers: &Registers) -> Vec<Term> {
        self.locations.iter().map(|(_, varnode)| registers.read(terms, *varnode).limbs()[0]).collect()
    }
}
