// SPDX-License-Identifier: GPL-2.0-or-later
//! AArch64: where the locations are that its semantics ask for.

use kop_ops::aarch64::{Gpr, V};
use kop_prover::term::{Term, Terms};
use kop_semantics::aarch64::{Flag, Machine, Monitor};

use super::{Cpu, UNDEFINED, Undecided};
use crate::location::AARCH64_FLAGS;

const VECTORS: usize = 32 + AARCH64_FLAGS.len();

/// sp has the number 31; xzr is never asked for.
fn gpr(register: Gpr) -> usize {
    register.number() as usize
}

fn v(register: V) -> usize {
    VECTORS + 2 * register.number() as usize
}

fn flag(flag: Flag) -> usize {
    32 + AARCH64_FLAGS.iter().position(|(_, other)| *other == flag).expect("all flags are there")
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
        self.values[flag(of)]
    }

    fn set_flag(&mut self, of: Flag, value: Term) {
        self.values[flag(of)] = value;
    }

    fn vector(&mut self, register: V) -> [Term; 2] {
        [self.values[v(register)], self.values[v(register) + 1]]
    }

    fn set_vector(&mut self, register: V, value: [Term; 2]) {
        self.values[v(register)..][..2].copy_from_slice(&value);
    }

    fn load(&mut self, bytes: u32, address: Term) -> Result<Term, Undecided> {
        Ok(self.side.load(bytes, address))
    }

    fn store(&mut self, bytes: u32, address: Term, value: Term) -> Result<(), Undecided> {
        self.side.store(bytes, address, value);
        Ok(())
    }

    /// SLEIGH knows of no alignment.
    fn begin_atomic(&mut self, _bytes: u32, _address: Term) -> Result<(), Undecided> {
        Ok(())
    }

    /// What SLEIGH has instead of marks is a user operation.
    fn monitor(&mut self) -> Option<Monitor<Term>> {
        None
    }

    fn set_monitor(&mut self, _monitor: Option<Monitor<Term>>) {}

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
