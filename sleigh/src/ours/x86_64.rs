// SPDX-License-Identifier: GPL-2.0-or-later
//! x86-64: where the locations are that its semantics ask for.

use kop_ops::x86_64::{Gpr, Xmm};
use kop_prover::term::{Term, Terms};
use kop_semantics::Domain;
use kop_semantics::x86_64::{Flag, Machine};

use super::{Cpu, UNDEFINED, Undecided};
use crate::location::X86_64_FLAGS;

const VECTORS: usize = 16 + X86_64_FLAGS.len();

fn gpr(register: Gpr) -> usize {
    usize::from(register.code())
}

fn xmm(register: Xmm) -> usize {
    VECTORS + 2 * usize::from(register.code())
}

/// The location of a flag, and which bit of it the flag is.
fn flag(flag: Flag) -> (usize, u32) {
    let found = X86_64_FLAGS.iter().enumerate().find_map(|(number, (_, flags))| {
        let bit = flags.iter().position(|other| *other == flag)?;
        Some((16 + number, bit as u32))
    });
    found.expect("all flags are there")
}

impl Machine for Cpu<'_> {
    type Domain = Terms;
    type Stop = Undecided;

    fn domain(&mut self) -> &mut Terms {
        self.side.terms
    }

    fn get(&mut self, register: Gpr) -> Term {
        self.values[gpr(register)]
    }

    fn set(&mut self, register: Gpr, value: Term) {
        self.values[gpr(register)] = value;
    }

    fn flag(&mut self, of: Flag) -> Term {
        let (place, bit) = flag(of);
        let value = self.values[place];
        let width = self.side.terms.width(value);
        self.side.terms.extract(width, bit, 1, value)
    }

    fn set_flag(&mut self, of: Flag, value: Term) {
        let (place, bit) = flag(of);
        let before = self.values[place];
        let terms = &mut *self.side.terms;
        self.values[place] = match (terms.width(before), bit) {
            (1, _) => value,
            (_, 0) => {
                let high = terms.extract(2, 1, 1, before);
                terms.concat(2, 1, high, value)
            }
            _ => {
                let low = terms.extract(2, 0, 1, before);
                terms.concat(2, 1, value, low)
            }
        };
    }

    fn vector(&mut self, register: Xmm) -> [Term; 2] {
        [self.values[xmm(register)], self.values[xmm(register) + 1]]
    }

    fn set_vector(&mut self, register: Xmm, value: [Term; 2]) {
        self.values[xmm(register)..][..2].copy_from_slice(&value);
    }

    fn load(&mut self, bytes: u32, address: Term) -> Result<Term, Undecided> {
        Ok(self.side.load(bytes, address))
    }

    fn store(&mut self, bytes: u32, address: Term, value: Term) -> Result<(), Undecided> {
        self.side.store(bytes, address, value);
        Ok(())
    }

    /// SLEIGH knows of no alignment.
    fn begin_wide(&mut self, _address: Term, _store: bool, _aligned: bool) -> Result<(), Undecided> {
        Ok(())
    }

    fn undefined(&mut self, width: u32) -> Term {
        self.side.terms.fresh(UNDEFINED, width)
    }

    fn decide(&mut self, bit: Term) -> Result<bool, Undecided> {
        Cpu::decide(self, bit)
    }

    fn code_address(&mut self, offset: i64) -> Term {
        Cpu::code_address(self, offset)
    }
}
