// SPDX-License-Identifier: GPL-2.0-or-later
//! From circuits to clauses (Tseitin): a variable for each gate of a cone, and clauses that say what the gate is.

use rustc_hash::FxHashMap;

use super::{Aig, Gate, Wire};

/// A formula in conjunctive normal form. Literals are those of DIMACS: a variable's number, from 1 on, negative for its complement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clauses {
    /// The highest variable.
    pub variables: i32,
    /// The clauses.
    pub clauses: Vec<Vec<i32>>,
}

/// Encodes gates of one graph; each is encoded once.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    /// The clauses so far.
    pub formula: Clauses,
    variables: FxHashMap<u32, i32>,
}

impl Encoder {
    /// An encoder without clauses.
    pub fn new() -> Self {
        Self::default()
    }

    /// The literal of a wire whose cone has been encoded; the constant has a variable, too.
    pub fn literal(&self, wire: Wire) -> i32 {
        let variable = self.variables[&wire.gate()];
        if wire.is_complement() { -variable } else { variable }
    }

    /// The variable of a gate, if it is encoded.
    pub fn variable(&self, gate: u32) -> Option<i32> {
        self.variables.get(&gate).copied()
    }

    /// Encodes the cones of `roots`.
    pub fn encode(&mut self, aig: &Aig, roots: &[Wire]) {
        if !self.variables.contains_key(&0) {
            let zero = self.fresh(0);
            self.formula.clauses.push(vec![-zero]);
        }
        let mut pending: Vec<u32> = roots.iter().map(|root| root.gate()).collect();
        let mut cone = Vec::new();
        while let Some(gate) = pending.pop() {
            if self.variables.contains_key(&gate) {
                continue;
            }
            self.fresh(gate);
            cone.push(gate);
            pending.extend(form(aig, gate).operands().map(Wire::gate));
        }
        for gate in cone {
            self.define(gate, form(aig, gate));
        }
    }

    fn fresh(&mut self, gate: u32) -> i32 {
        self.formula.variables += 1;
        self.variables.insert(gate, self.formula.variables);
        self.formula.variables
    }

    fn define(&mut self, gate: u32, form: Form) {
        let g = self.variables[&gate];
        let clauses = &mut self.formula.clauses;
        let literal = |wire: Wire| {
            let variable = self.variables[&wire.gate()];
            if wire.is_complement() { -variable } else { variable }
        };
        match form {
            Form::Input => {}
            Form::And(a, b) => {
                let (a, b) = (literal(a), literal(b));
                clauses.extend([vec![-g, a], vec![-g, b], vec![g, -a, -b]]);
            }
            Form::Mux(c, a, b) => {
                let (c, a, b) = (literal(c), literal(a), literal(b));
                clauses.extend([vec![-g, -c, a], vec![g, -c, -a], vec![-g, c, b], vec![g, c, -b]]);
                if a != -b {
                    // Redundant, but they let the value through where the condition is not known.
                    clauses.extend([vec![-g, a, b], vec![g, -a, -b]]);
                }
            }
        }
    }
}

/// What a gate is, with choices recognised.
enum Form {
    Input,
    And(Wire, Wire),
    /// The second where the first, else the third.
    Mux(Wire, Wire, Wire),
}

impl Form {
    fn operands(&self) -> impl Iterator<Item = Wire> {
        let operands = match *self {
            Form::Input => [None; 3],
            Form::And(a, b) => [Some(a), Some(b), None],
            Form::Mux(c, a, b) => [Some(c), Some(a), Some(b)],
        };
        operands.into_iter().flatten()
    }
}

/// A gate `!(c & x) & !(!c & y)` chooses `!x` where `c`, else `!y`; with `x = !y` it is an exclusive or.
fn form(aig: &Aig, gate: u32) -> Form {
    let Gate::And(a, b) = aig.gates()[gate as usize] else { return Form::Input };
    let operands = |wire: Wire| match aig.gates()[wire.gate() as usize] {
        Gate::And(x, y) if wire.is_complement() => Some((x, y)),
        _ => None,
    };
    if let (Some((x, y)), Some((z, w))) = (operands(a), operands(b)) {
        for (c, taken) in [(x, y), (y, x)] {
            for (not, other) in [(z, w), (w, z)] {
                if c == !not {
                    return Form::Mux(c, !taken, !other);
                }
            }
        }
    }
    Form::And(a, b)
}
