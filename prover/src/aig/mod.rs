// SPDX-License-Identifier: GPL-2.0-or-later
//! And-inverter graphs: circuits of and-gates and complements that bits of terms become.
//!
//! Equal gates are one (structural hashing), and a gate is simplified by what its operands are made of (Brummayer and Biere,
//! "Local two-level and-inverter graph minimization without blowup", 2006).

mod arithmetic;
mod blast;
mod cnf;
mod division;
mod simulate;
#[cfg(test)]
mod tests;

use rustc_hash::FxHashMap;

pub use blast::Blaster;
pub use cnf::{Clauses, Encoder};
pub use simulate::Simulation;

/// A gate or its complement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wire(u32);

impl Wire {
    /// The constant zero.
    pub const FALSE: Wire = Wire(0);
    /// The constant one.
    pub const TRUE: Wire = Wire(1);

    /// The gate, or its complement.
    pub(crate) const fn new(gate: u32, complement: bool) -> Self {
        Wire(gate << 1 | complement as u32)
    }

    /// The number of the gate.
    pub const fn gate(self) -> u32 {
        self.0 >> 1
    }

    /// Whether it is the complement.
    pub const fn is_complement(self) -> bool {
        self.0 & 1 == 1
    }

    /// A constant.
    pub const fn constant(value: bool) -> Self {
        Wire(value as u32)
    }

    /// The value, if it is a constant.
    pub const fn as_constant(self) -> Option<bool> {
        match self {
            Wire::FALSE => Some(false),
            Wire::TRUE => Some(true),
            _ => None,
        }
    }

    /// The complement if `complement`, else the same.
    const fn flipped(self, complement: bool) -> Self {
        Wire(self.0 ^ complement as u32)
    }
}

impl std::ops::Not for Wire {
    type Output = Wire;

    fn not(self) -> Wire {
        Wire(self.0 ^ 1)
    }
}

/// What a gate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// The constant zero, which is gate 0.
    False,
    /// A free input.
    Input,
    /// The conjunction of two wires of gates before it, the lower first.
    And(Wire, Wire),
}

/// A graph. Operands of gates come before them.
#[derive(Clone, Debug)]
pub struct Aig {
    gates: Vec<Gate>,
    index: FxHashMap<(Wire, Wire), u32>,
}

impl Default for Aig {
    fn default() -> Self {
        Self { gates: vec![Gate::False], index: FxHashMap::default() }
    }
}

impl Aig {
    /// A graph without inputs.
    pub fn new() -> Self {
        Self::default()
    }

    /// The gates, by number.
    pub fn gates(&self) -> &[Gate] {
        &self.gates
    }

    /// A new free input.
    pub fn input(&mut self) -> Wire {
        self.push(Gate::Input)
    }

    fn push(&mut self, gate: Gate) -> Wire {
        let number = u32::try_from(self.gates.len()).expect("fewer than 2^31 gates");
        self.gates.push(gate);
        Wire::new(number, false)
    }

    fn operands(&self, wire: Wire) -> Option<(Wire, Wire)> {
        match self.gates[wire.gate() as usize] {
            Gate::And(a, b) => Some((a, b)),
            _ => None,
        }
    }

    /// The conjunction.
    pub fn and(&mut self, a: Wire, b: Wire) -> Wire {
        let (mut a, mut b) = (a, b);
        loop {
            if a > b {
                (a, b) = (b, a);
            }
            if a == Wire::FALSE || a == !b {
                return Wire::FALSE;
            }
            if a == Wire::TRUE || a == b {
                return b;
            }
            match self.simplified(a, b).or_else(|| self.simplified(b, a)) {
                None => break,
                Some(Simpler::Wire(wire)) => return wire,
                Some(Simpler::And(x, y)) => (a, b) = (x, y),
            }
        }
        if let Some(&gate) = self.index.get(&(a, b)) {
            return Wire::new(gate, false);
        }
        let wire = self.push(Gate::And(a, b));
        self.index.insert((a, b), wire.gate());
        wire
    }

    /// What `a & b` comes to by what `a` is made of.
    fn simplified(&self, a: Wire, b: Wire) -> Option<Simpler> {
        let (x, y) = self.operands(a)?;
        let inner = if a.is_complement() {
            match b {
                // Subsumption: !(x & y) & !x. Substitution: !(x & y) & x = x & !y.
                _ if b == !x || b == !y => Some(Simpler::Wire(b)),
                _ if b == x => Some(Simpler::And(b, !y)),
                _ if b == y => Some(Simpler::And(b, !x)),
                _ => None,
            }
        } else {
            match b {
                // Contradiction and idempotence.
                _ if b == !x || b == !y => Some(Simpler::Wire(Wire::FALSE)),
                _ if b == x || b == y => Some(Simpler::Wire(a)),
                _ => None,
            }
        };
        inner.or_else(|| self.simplified_by_both(a, (x, y), b))
    }

    /// What `a & b` comes to by what both are made of.
    fn simplified_by_both(&self, a: Wire, (x, y): (Wire, Wire), b: Wire) -> Option<Simpler> {
        let (z, w) = self.operands(b)?;
        let opposed = x == !z || x == !w || y == !z || y == !w;
        match (a.is_complement(), b.is_complement()) {
            (false, false) if opposed => Some(Simpler::Wire(Wire::FALSE)),
            // Idempotence: what is shared is written once.
            (false, false) if x == z || y == z => Some(Simpler::And(a, w)),
            (false, false) if x == w || y == w => Some(Simpler::And(a, z)),
            // !(x & y) & (z & w): subsumption where they contradict, substitution where they share.
            (true, false) if opposed => Some(Simpler::Wire(b)),
            (true, false) if x == z || x == w => Some(Simpler::And(b, !y)),
            (true, false) if y == z || y == w => Some(Simpler::And(b, !x)),
            // Resolution: !(x & y) & !(x & !y) = !x.
            (true, true) if x == z && y == !w || x == w && y == !z => Some(Simpler::Wire(!x)),
            (true, true) if y == z && x == !w || y == w && x == !z => Some(Simpler::Wire(!y)),
            _ => None,
        }
    }

    /// The disjunction.
    pub fn or(&mut self, a: Wire, b: Wire) -> Wire {
        !self.and(!a, !b)
    }

    /// The exclusive disjunction.
    pub fn xor(&mut self, a: Wire, b: Wire) -> Wire {
        // One form for both signs of the operands.
        let sign = a.is_complement() != b.is_complement();
        let (a, b) = (Wire::new(a.gate(), false), Wire::new(b.gate(), false));
        let (both, neither) = (self.and(a, b), self.and(!a, !b));
        self.and(!both, !neither).flipped(sign)
    }

    /// `a` where `c`, else `b`.
    pub fn mux(&mut self, c: Wire, a: Wire, b: Wire) -> Wire {
        if a == !b {
            return !self.xor(c, a);
        }
        let (taken, other) = (self.and(c, a), self.and(!c, b));
        self.or(taken, other)
    }

    /// The conjunction of all.
    pub fn all(&mut self, wires: &[Wire]) -> Wire {
        wires.iter().fold(Wire::TRUE, |all, wire| self.and(all, *wire))
    }

    /// The disjunction of all.
    pub fn any(&mut self, wires: &[Wire]) -> Wire {
        wires.iter().fold(Wire::FALSE, |any, wire| self.or(any, *wire))
    }

    /// The gates that `roots` depend on, operands first; among them inputs, but not the constant.
    pub fn cone(&self, roots: &[Wire]) -> Vec<u32> {
        let mut seen = vec![false; self.gates.len()];
        let mut pending: Vec<u32> = roots.iter().map(|root| root.gate()).collect();
        while let Some(gate) = pending.pop() {
            if !std::mem::replace(&mut seen[gate as usize], true)
                && let Gate::And(a, b) = self.gates[gate as usize]
            {
                pending.extend([a.gate(), b.gate()]);
            }
        }
        (1..self.gates.len() as u32).filter(|gate| seen[*gate as usize]).collect()
    }
}

/// A simpler form of a conjunction.
enum Simpler {
    Wire(Wire),
    And(Wire, Wire),
}
