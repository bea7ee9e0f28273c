// SPDX-License-Identifier: GPL-2.0-or-later
//! Circuits compute what integers do, and clauses say what circuits compute.

use kop_ops::choices::{Choices, Seeded};
use kop_semantics::{Domain, Integers};

use super::*;
use crate::term::{Term, Terms};

type Operation =
    (&'static str, fn(&mut Terms, u32, Term, Term) -> Term, fn(&mut Integers, u32, u64, u64) -> u64);

macro_rules! operations {
    ($($name:ident),*) => { [$((stringify!($name), <Terms as Domain>::$name, <Integers as Domain>::$name)),*] };
}

/// Every operation on two operands.
const OPERATIONS: [Operation; 17] =
    operations!(add, sub, mul, umulh, udiv, urem, sdiv, srem, and, or, xor, shl, lshr, ashr, eq, ult, slt);

/// The value of wires in one of the simulated assignments.
fn number(simulation: &Simulation, bits: &[Wire], assignment: u32) -> u64 {
    bits.iter().rev().fold(0, |number, bit| number << 1 | simulation.value(*bit) >> assignment & 1)
}

/// The circuit of an operation on two variables, with the wires of the variables and of the result.
fn circuit(width: u32, operation: Operation) -> (Aig, Vec<Wire>, Vec<Wire>, Vec<Wire>) {
    let (mut terms, mut blaster) = (Terms::new(), Blaster::new());
    let (a, b) = (terms.variable("a", width), terms.variable("b", width));
    let result = operation.1(&mut terms, width, a, b);
    let [a, b, result] = [a, b, result].map(|term| blaster.bits(&terms, term));
    (blaster.aig, a, b, result)
}

/// The circuit of an operation agrees with integers for 64 pairs of operands.
fn agrees(width: u32, operation: Operation, pairs: &[(u64, u64)]) {
    let (aig, a, b, result) = circuit(width, operation);
    let place = |wires: &[Wire], gate: u32| wires.iter().position(|wire| wire.gate() == gate);
    let simulation = Simulation::new(&aig, |gate| {
        let mut values = 0;
        for (i, (x, y)) in pairs.iter().enumerate() {
            let bit = match place(&a, gate) {
                Some(bit) => x >> bit & 1,
                None => y >> place(&b, gate).expect("an input is a bit of a or b") & 1,
            };
            values |= bit << i;
        }
        values
    });
    for (i, &(x, y)) in pairs.iter().enumerate() {
        let expected = operation.2(&mut Integers, width, x, y);
        let got = number(&simulation, &result, i as u32);
        assert_eq!(got, expected, "{} {x:#x} {y:#x} at {width}", operation.0);
    }
}

#[test]
fn circuits_agree_with_integers_exhaustively_at_small_widths() {
    for width in 1..=5 {
        let pairs: Vec<(u64, u64)> =
            (0..1 << width).flat_map(|x| (0..1 << width).map(move |y| (x, y))).collect();
        for operation in OPERATIONS {
            pairs.chunks(64).for_each(|pairs| agrees(width, operation, pairs));
        }
    }
}

#[test]
fn circuits_agree_with_integers_at_full_widths() {
    let mut choices = Seeded::new(3);
    for width in [32, 64] {
        let mut value = |shift: u64| {
            let bits = choices.bits() >> choices.below(shift);
            let edges = [0, 1, u64::MAX, 1 << (width - 1), 63, 64, 32];
            (if choices.one_in(4) { *choices.pick(&edges) } else { bits }) & (u64::MAX >> (64 - width))
        };
        for operation in OPERATIONS {
            for _ in 0..8 {
                let pairs: Vec<(u64, u64)> = (0..64).map(|_| (value(64), value(64))).collect();
                agrees(width, operation, &pairs);
            }
        }
    }
}

/// Random graphs over few inputs: every gate has the value of its unsimplified form, and an assignment satisfies the clauses
/// exactly if it gives every gate its value.
#[test]
fn simplified_gates_and_their_clauses_keep_the_truth_table() {
    let mut choices = Seeded::new(4);
    for _ in 0..300 {
        let mut aig = Aig::new();
        let inputs: Vec<Wire> = (0..5).map(|_| aig.input()).collect();
        // The truth table over five inputs, by an arithmetic that knows nothing of gates.
        let column =
            |i: usize| (0..32).filter(|row| row >> i & 1 == 1).fold(0u32, |column, row| column | 1 << row);
        let mut wires: Vec<(Wire, u32)> = inputs.iter().enumerate().map(|(i, w)| (*w, column(i))).collect();
        for _ in 0..60 {
            let mut pick = || {
                let (wire, table) = *choices.pick(&wires[wires.len().saturating_sub(9)..]);
                if choices.one_in(2) { (!wire, !table) } else { (wire, table) }
            };
            let ((a, x), (b, y), (c, z)) = (pick(), pick(), pick());
            wires.push(match choices.below(5) {
                0 => (aig.xor(a, b), x ^ y),
                1 => (aig.mux(c, a, b), z & x | !z & y),
                2 => (aig.or(a, b), x | y),
                _ => (aig.and(a, b), x & y),
            });
        }
        let simulation = Simulation::new(&aig, |gate| {
            u64::from(column(inputs.iter().position(|input| input.gate() == gate).expect("an input")))
        });
        for (wire, table) in &wires {
            assert_eq!(simulation.value(*wire) as u32, *table);
        }
        clauses_say_what_gates_are(&aig, &simulation, &wires);
    }
}

fn clauses_say_what_gates_are(aig: &Aig, simulation: &Simulation, wires: &[(Wire, u32)]) {
    let mut encoder = Encoder::new();
    let roots: Vec<Wire> = wires.iter().map(|(wire, _)| *wire).collect();
    encoder.encode(aig, &roots);
    let gates: Vec<(u32, i32)> =
        (0..aig.gates().len() as u32).filter_map(|gate| Some((gate, encoder.variable(gate)?))).collect();
    for row in 0..32 {
        let mut values = vec![false; encoder.formula.variables as usize + 1];
        for (gate, variable) in &gates {
            values[*variable as usize] = simulation.value(Wire::new(*gate, false)) >> row & 1 == 1;
        }
        let holds = |values: &[bool]| {
            encoder.formula.clauses.iter().all(|clause| {
                clause.iter().any(|literal| values[literal.unsigned_abs() as usize] == (*literal > 0))
            })
        };
        assert!(holds(&values));
        // With any gate that is no input changed, some clause fails.
        for (gate, variable) in &gates {
            if aig.gates()[*gate as usize] != Gate::Input {
                let mut changed = values.clone();
                changed[*variable as usize] ^= true;
                assert!(!holds(&changed), "gate {gate}");
            }
        }
    }
}
