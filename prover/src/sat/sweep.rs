// SPDX-License-Identifier: GPL-2.0-or-later
//! Sweeping: gates that look equal under simulation are proved equal one after another, inputs first, and each equality helps the
//! next. So two circuits for one function are compared step by step instead of at their outputs alone.

use std::time::Instant;

use kop_ops::choices::{Choices, Seeded};
use rustc_hash::FxHashMap;

use super::solver::{Outcome, Solver};
use crate::aig::{Aig, Encoder, Gate, Simulation, Wire};

/// Conflicts that the proof of one equality may take.
const CONFLICTS: i32 = 300;
/// Words of random values that gates are compared by at first.
const WORDS: usize = 16;

/// Proves equalities among the gates of `cone`, whose encoding `solver` has.
pub(super) fn sweep(solver: &mut Solver, aig: &Aig, encoder: &Encoder, cone: &[u32], deadline: Instant) {
    let mut sweep = Sweep::new(aig, cone);
    let mut place = 0;
    while place < cone.len() && Instant::now() < deadline {
        let gate = cone[place];
        let is_input = aig.gates()[gate as usize] == Gate::Input;
        if let Some(candidate) = sweep.candidate(gate).filter(|_| !is_input) {
            match equal(solver, encoder, gate, candidate) {
                Outcome::Sat => {
                    // The model tells them apart; look again.
                    let model = |gate| encoder.variable(gate).is_some_and(|v| solver.is_true(v));
                    sweep.refine(&model, place);
                    continue;
                }
                Outcome::Unsat => {
                    place += 1;
                    continue;
                }
                Outcome::Unknown => {}
            }
        }
        sweep.represent(gate);
        place += 1;
    }
}

/// Proves that a gate equals a wire, and adds that to the solver.
fn equal(solver: &mut Solver, encoder: &Encoder, gate: u32, wire: Wire) -> Outcome {
    let Some(a) = encoder.variable(gate) else { return Outcome::Unknown };
    if encoder.variable(wire.gate()).is_none() {
        return Outcome::Unknown;
    }
    let b = encoder.literal(wire);
    for (x, y) in [(a, -b), (-a, b)] {
        match solver.solve(&[x, y], Some(CONFLICTS)) {
            Outcome::Unsat => solver.add_lemma(&[-x, -y]),
            other => return other,
        }
    }
    Outcome::Unsat
}

struct Sweep<'a> {
    aig: &'a Aig,
    cone: &'a [u32],
    simulations: Vec<Simulation>,
    /// Gates that others may be equal to, by their values.
    representatives: FxHashMap<Vec<u64>, Wire>,
    random: Seeded,
}

impl<'a> Sweep<'a> {
    fn new(aig: &'a Aig, cone: &'a [u32]) -> Self {
        let mut random = Seeded::new(0);
        let simulations =
            (0..WORDS).map(|word| Simulation::new(aig, |_| sparse(&mut random, word))).collect();
        let mut sweep = Sweep { aig, cone, simulations, representatives: FxHashMap::default(), random };
        sweep.represent(0);
        sweep
    }

    /// The values of a gate, or of its complement: the one that is 0 in the first assignment.
    fn signature(&self, gate: u32) -> (Vec<u64>, bool) {
        let wire = Wire::new(gate, false);
        let complement = self.simulations[0].value(wire) & 1 == 1;
        let wire = Wire::new(gate, complement);
        (self.simulations.iter().map(|simulation| simulation.value(wire)).collect(), complement)
    }

    fn candidate(&self, gate: u32) -> Option<Wire> {
        let (signature, complement) = self.signature(gate);
        let wire = *self.representatives.get(&signature)?;
        Some(if complement { !wire } else { wire })
    }

    fn represent(&mut self, gate: u32) {
        let (signature, complement) = self.signature(gate);
        self.representatives.entry(signature).or_insert(Wire::new(gate, complement));
    }

    /// Adds the assignment of a model, and such that differ from it in few inputs.
    fn refine(&mut self, model: &dyn Fn(u32) -> bool, done: usize) {
        let random = &mut self.random;
        let simulation = Simulation::new(self.aig, |gate| {
            let value = if model(gate) { u64::MAX } else { 0 };
            // The first assignment is the model's own.
            let changes = random.bits() & random.bits() & random.bits() & random.bits() & !1;
            value ^ changes
        });
        self.simulations.push(simulation);
        self.representatives.clear();
        self.represent(0);
        for place in 0..done {
            self.represent(self.cone[place]);
        }
    }
}

/// Random values; in some words ones or zeros are rare, so that long conjunctions have both values.
fn sparse(random: &mut Seeded, word: usize) -> u64 {
    match word % 4 {
        1 => random.bits() & random.bits() & random.bits(),
        3 => random.bits() | random.bits() | random.bits(),
        _ => random.bits(),
    }
}
