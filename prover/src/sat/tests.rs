// SPDX-License-Identifier: GPL-2.0-or-later
//! Answers are right where the truth table is known, proofs are checked, and wrong proofs are rejected.

use std::time::Duration;

use kop_ops::choices::{Choices, Seeded};
use kop_semantics::Domain;

use super::*;
use crate::aig::{Blaster, Simulation};
use crate::term::{Term, Terms};

const LIMIT: Duration = Duration::from_secs(60);

/// The circuit of a bit.
fn circuit(terms: &Terms, bit: Term) -> (Aig, Wire) {
    let mut blaster = Blaster::new();
    let wire = blaster.bits(terms, bit)[0];
    (blaster.aig, wire)
}

/// Whether two functions of two numbers differ somewhere.
fn differ(width: u32, of: impl FnOnce(&mut Terms, Term, Term) -> (Term, Term)) -> (Aig, Wire) {
    let mut terms = Terms::new();
    let (a, b) = (terms.variable("a", width), terms.variable("b", width));
    let (x, y) = of(&mut terms, a, b);
    let equal = terms.eq(terms.width(x), x, y);
    let differ = terms.not(1, equal);
    circuit(&terms, differ)
}

fn refutation((aig, wire): (Aig, Wire)) -> Refutation {
    match decide(&aig, wire, LIMIT).expect("the proof is right") {
        Answer::Never(refutation) => *refutation,
        other => panic!("{other:?}"),
    }
}

/// a * b and b * a as circuits that add other rows.
fn products_in_both_orders(width: u32) -> (Aig, Wire) {
    let mut terms = Terms::new();
    let (a, b) = (terms.variable("a", width), terms.variable("b", width));
    let mut blaster = Blaster::new();
    let (x, y) = (blaster.bits(&terms, a), blaster.bits(&terms, b));
    let (one_way, other_way) = (blaster.aig.product(&x, &y), blaster.aig.product(&y, &x));
    let same: Vec<Wire> = one_way.iter().zip(&other_way).map(|(x, y)| !blaster.aig.xor(*x, *y)).collect();
    let equal = blaster.aig.all(&same);
    (blaster.aig, !equal)
}

#[test]
fn answers_are_those_of_the_truth_table() {
    let mut choices = Seeded::new(5);
    for _ in 0..200 {
        let mut aig = Aig::new();
        let mut wires: Vec<Wire> = (0..6).map(|_| aig.input()).collect();
        let inputs = wires.clone();
        for _ in 0..40 {
            let (a, b) = (*choices.pick(&wires), *choices.pick(&wires));
            wires.push(if choices.one_in(2) { aig.xor(a, !b) } else { aig.and(!a, b) });
        }
        // The conjunction of several gates is often never one.
        let root = aig.all(&wires[wires.len() - 4..]);
        let table = Simulation::new(&aig, |gate| {
            let place = inputs.iter().position(|input| input.gate() == gate).expect("an input");
            (0..64).filter(|row| row >> place & 1 == 1).fold(0, |column, row| column | 1 << row)
        });
        match decide(&aig, root, LIMIT).expect("the proof is right") {
            Answer::Never(_) => assert_eq!(table.value(root), 0),
            Answer::Can(model) => {
                let simulation = Simulation::new(&aig, |gate| {
                    if model.get(&gate).copied().unwrap_or_default() { u64::MAX } else { 0 }
                });
                assert_eq!(simulation.value(root), u64::MAX);
            }
            Answer::Timeout => panic!("six inputs take no time"),
        }
    }
}

#[test]
fn a_false_claim_has_a_counterexample() {
    // a * 2 is a + a, but not a | a << 1.
    let (aig, wire) = differ(64, |t, a, _| {
        let one = t.constant(64, 1);
        let twice = t.shl(64, a, one);
        let sum = t.add(64, a, a);
        (t.or(64, a, twice), sum)
    });
    let Answer::Can(_) = decide(&aig, wire, LIMIT).expect("there is no proof") else { panic!("it is false") };
}

#[test]
fn sweeping_decides_what_the_search_alone_does_not_in_time() {
    // Two ways to add eight bytes, as a product does and by halves.
    let bytes = |t: &mut Terms, a: Term| -> Vec<Term> {
        (0..8)
            .map(|i| {
                let byte = t.extract(64, 8 * i, 4, a);
                t.zero_extend(4, 8, byte)
            })
            .collect()
    };
    let (aig, wire) = differ(64, |t, a, _| {
        let row =
            bytes(t, a).into_iter().reduce(|sum, byte| t.insert_add(sum, byte)).expect("there are bytes");
        let mut level = bytes(t, a);
        while level.len() > 1 {
            level = level.chunks(2).map(|pair| t.insert_add(pair[1], pair[0])).collect();
        }
        (row, level[0])
    });
    let mut encoder = Encoder::new();
    encoder.encode(&aig, &[wire]);
    let mut formula = encoder.formula.clone();
    formula.clauses.push(vec![encoder.literal(wire)]);
    let answer = by_sweeping(&aig, wire, &encoder, formula, Instant::now() + LIMIT);
    assert!(matches!(answer, Ok(Answer::Never(_))), "{answer:?}");
}

#[test]
fn a_time_limit_is_no_proof() {
    // This takes a solver much longer.
    let (aig, differ) = products_in_both_orders(64);
    let answer = decide(&aig, differ, Duration::from_millis(200));
    assert!(matches!(answer, Ok(Answer::Timeout)), "{answer:?}");
}

/// Every hint that is left out, every literal that is left out, and every wrong number is noticed, unless the step still follows.
#[test]
fn corrupted_proofs_are_rejected() {
    let Refutation { formula, proof } = refutation(products_in_both_orders(5));
    assert_eq!(check(&formula, &proof), Ok(()));
    let mut choices = Seeded::new(6);
    let mut rejected = [0; 4];
    for _ in 0..400 {
        let mut steps = proof.steps.clone();
        let place = choices.below(steps.len() as u64) as usize;
        let Step::Add { id, clause, hints } = &mut steps[place] else { continue };
        if hints.is_empty() {
            continue;
        }
        let hint = choices.below(hints.len() as u64) as usize;
        let kind = choices.below(4) as usize;
        match kind {
            0 => drop(hints.remove(hint)),
            1 => hints[hint] = *id + 1 + choices.below(1000),
            2 if !clause.is_empty() => drop(clause.remove(choices.below(clause.len() as u64) as usize)),
            2 => continue,
            _ => *id = 1 + choices.below(formula.clauses.len() as u64),
        }
        let verdict = check(&formula, &Proof { steps: steps.clone() });
        rejected[kind] += usize::from(verdict.is_err());
        // What is accepted in spite of it follows all the same: the clauses of the formula are few enough to see.
        if verdict.is_ok() {
            assert!(kind == 2 || kind == 0, "a number that is wrong was accepted");
        }
    }
    assert!(rejected.iter().all(|count| *count > 20), "{rejected:?}");
}

#[test]
fn a_satisfiable_formula_has_no_proof() {
    let Refutation { mut formula, proof } = refutation(products_in_both_orders(4));
    // Without the clause that says the wire is one.
    let last = formula.clauses.len() - 1;
    formula.clauses[last] = vec![1, -1];
    assert!(check(&formula, &proof).is_err());
    let claim =
        Proof { steps: vec![Step::Add { id: last as u64 + 2, clause: vec![], hints: vec![1, 2, 3] }] };
    assert!(check(&formula, &claim).is_err());
    let cut = Proof { steps: proof.steps[..proof.steps.len() - 1].to_vec() };
    assert_eq!(check(&formula, &Proof::default()), Err(Flaw::Unfinished));
    assert!(check(&formula, &cut).is_err());
}
