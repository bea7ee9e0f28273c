// SPDX-License-Identifier: GPL-2.0-or-later
//! What registers and slots hold while a block is translated. Each has a variable for all of it and one for its lower half, so that
//! a loop carries what it needs.

use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{InstBuilder, Value};
use cranelift_frontend::{FunctionBuilder, Variable};

use super::{Known, Translator, integer};
use crate::flat::REGISTERS;
use crate::planted::Planted;

/// What a place holds, as far as the block has asked for it.
#[derive(Clone, Copy, Debug, Default)]
struct Value64 {
    wide: Option<Value>,
    narrow: Option<Value>,
    /// Whether the block has set it.
    is_new: bool,
}

/// What places hold.
pub(super) struct Held {
    values: Vec<Value64>,
    /// For all of a place, and for its lower half where it has eight bytes.
    variables: Vec<(Variable, Option<Variable>)>,
}

impl Held {
    /// Variables for all places.
    pub fn new(known: &Known, builder: &mut FunctionBuilder) -> Self {
        let mut variables = Vec::with_capacity(REGISTERS + known.slots.slots.len());
        for _ in 0..REGISTERS {
            variables.push((builder.declare_var(I64), Some(builder.declare_var(I32))));
        }
        for slot in &known.slots.slots {
            let whole = builder.declare_var(integer(slot.bytes));
            let low = (slot.bytes == 8).then(|| builder.declare_var(I32));
            variables.push((whole, low));
        }
        Self { values: vec![Value64::default(); variables.len()], variables }
    }

    /// A block starts.
    pub fn forget(&mut self) {
        self.values.fill(Value64::default());
    }
}

impl Translator<'_> {
    /// Sets what a place holds when the program starts.
    pub(super) fn start_place(&mut self, place: usize, value: Value) {
        let (whole, low) = self.places.variables[place];
        self.builder.def_var(whole, value);
        if let Some(low) = low {
            let narrow = self.builder.ins().ireduce(I32, value);
            self.builder.def_var(low, narrow);
        }
    }

    /// All of what a place holds.
    pub(super) fn wide(&mut self, place: usize) -> Value {
        let held = self.places.values[place];
        let value = match (held.wide, held.narrow) {
            (Some(value), _) => value,
            (None, Some(narrow)) => self.builder.ins().uextend(I64, narrow),
            (None, None) => {
                let (whole, low) = self.places.variables[place];
                // The planted mistake reads what nothing asked for.
                debug_assert!(
                    low.is_none()
                        || self.known.demand.before[self.current].has(place)
                        || self.planted(Planted::CompareWidth),
                    "place {place} is read whole, and only its lower half is there"
                );
                self.builder.use_var(whole)
            }
        };
        self.places.values[place].wide = Some(value);
        value
    }

    /// The lower half of what a place of eight bytes holds.
    pub(super) fn narrow(&mut self, place: usize) -> Value {
        let held = self.places.values[place];
        let is_wide = held.wide.is_some() || self.known.demand.before[self.current].has(place);
        let value = match held.narrow {
            Some(value) => value,
            None if is_wide => {
                let wide = self.wide(place);
                self.builder.ins().ireduce(I32, wide)
            }
            None => {
                let low = self.places.variables[place].1;
                self.builder.use_var(low.expect("the place has eight bytes"))
            }
        };
        self.places.values[place].narrow = Some(value);
        value
    }

    /// Sets all of a place.
    pub(super) fn put_wide(&mut self, place: usize, value: Value) {
        self.places.values[place] = Value64 { wide: Some(value), narrow: None, is_new: true };
    }

    /// Sets the lower half of a place; the upper half is zero, or does not matter.
    pub(super) fn put_narrow(&mut self, place: usize, value: Value) {
        self.places.values[place] = Value64 { wide: None, narrow: Some(value), is_new: true };
    }

    /// Copies a place to another, all of it or as much as matters.
    pub(super) fn copy(&mut self, to: usize, from: usize, upper: bool) {
        if upper {
            let value = self.wide(from);
            self.put_wide(to, value);
        } else {
            let value = self.narrow(from);
            self.put_narrow(to, value);
        }
    }

    /// Copies a place to another, as it is known.
    pub(super) fn inherit(&mut self, to: usize, from: usize) {
        let held = self.places.values[from];
        let upper = match (held.wide, held.narrow) {
            (None, None) => self.known.demand.before[self.current].has(from),
            (wide, _) => wide.is_some(),
        };
        self.copy(to, from, upper);
    }

    /// Makes what the block has set known to the blocks behind it.
    pub(super) fn flush(&mut self) {
        for place in 0..self.places.values.len() {
            if !self.places.values[place].is_new {
                continue;
            }
            let (whole, low) = self.places.variables[place];
            let Some(low) = low else {
                let value = self.wide(place);
                self.builder.def_var(whole, value);
                continue;
            };
            if self.known.demand.after[self.current].has(place) {
                let value = self.wide(place);
                self.builder.def_var(whole, value);
            }
            let value = self.narrow(place);
            self.builder.def_var(low, value);
        }
    }

    /// Whether the upper half of what an operation makes matters.
    pub(super) fn upper(&self, index: usize) -> bool {
        self.known.demand.upper[index] && !self.planted(Planted::UpperHalf)
    }
}
