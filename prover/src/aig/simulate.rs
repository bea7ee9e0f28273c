// SPDX-License-Identifier: GPL-2.0-or-later
//! Values of gates: 64 assignments at once, one a bit.

use super::{Aig, Gate, Wire};

/// The values of all gates of a graph under 64 assignments of its inputs.
#[derive(Clone, Debug)]
pub struct Simulation(Vec<u64>);

impl Simulation {
    /// Simulates `aig`, where `input` says the values of the input that is the gate of this number.
    pub fn new(aig: &Aig, mut input: impl FnMut(u32) -> u64) -> Self {
        let mut simulation = Simulation(Vec::with_capacity(aig.gates().len()));
        for (number, gate) in aig.gates().iter().enumerate() {
            let value = match *gate {
                Gate::False => 0,
                Gate::Input => input(number as u32),
                Gate::And(a, b) => simulation.value(a) & simulation.value(b),
            };
            simulation.0.push(value);
        }
        simulation
    }

    /// The values of a wire.
    pub fn value(&self, wire: Wire) -> u64 {
        let value = self.0[wire.gate() as usize];
        if wire.is_complement() { !value } else { value }
    }
}
