// SPDX-License-Identifier: GPL-2.0-or-later
//! What registers have to hold.

use kop_ops::ebpf::{Reg, RegSet};

use super::plan::Reason;
use super::value::{Registers, Value};

/// What registers have to hold, while a region is gone through from its end.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted([Option<Value>; 11]);

impl Wanted {
    /// What a register has to hold, if that matters.
    pub fn of(&self, register: Reg) -> Option<Value> {
        self.0[register.index()]
    }

    /// The registers that matter.
    pub fn registers(&self) -> RegSet {
        Reg::ALL.into_iter().filter(|register| self.0[register.index()].is_some()).collect()
    }

    /// A register has to hold a value.
    pub fn one(&mut self, register: Reg, value: Value) -> Result<(), Reason> {
        match self.0[register.index()].replace(value) {
            Some(other) if other != value => Err("what it starts from is in no register any more".to_owned()),
            _ => Ok(()),
        }
    }

    /// Registers have to hold what they do in `registers`.
    pub fn all(&mut self, set: RegSet, registers: &Registers) -> Result<(), Reason> {
        set.iter().try_for_each(|register| self.one(register, registers[register.index()]))
    }

    /// A register holds a value from here on; before, it may hold anything.
    pub fn made(&mut self, register: Reg, value: Value) -> Result<(), Reason> {
        match self.0[register.index()].take() {
            Some(other) if other != value => Err("what it starts from is in no register any more".to_owned()),
            _ => Ok(()),
        }
    }
}
