// SPDX-License-Identifier: GPL-2.0-or-later
//! Memory has the bytes that an array of bytes has.

use kop_ops::choices::{Choices, Seeded};
use rustc_hash::FxHashMap;

use super::*;
use crate::term::{Evaluator, Node};

/// Random accesses around one root, whose conditions are variables, against an array.
#[test]
fn loads_and_stores_are_those_of_an_array() {
    let mut choices = Seeded::new(7);
    for _ in 0..300 {
        let (mut terms, roots, mut memory) = (Terms::new(), Roots::new(), Memory::new());
        let root = terms.variable("p", 64);
        let mut values: FxHashMap<u32, u64> = FxHashMap::default();
        let mut array: [u8; 32] = std::array::from_fn(|_| choices.bits() as u8);
        for (i, byte) in array.iter().enumerate() {
            let variable = initial(&mut terms, Place { root, offset: (i as u64).wrapping_sub(16) });
            let Node::Variable(number) = terms.node(variable) else { panic!("it is a variable") };
            values.insert(number, u64::from(*byte));
        }
        for step in 0..12 {
            let bytes = 1u32 << choices.below(4);
            let start = choices.below(33 - u64::from(bytes)) as usize;
            let distance = terms.constant(64, (start as u64).wrapping_sub(16));
            let address = terms.add(64, root, distance);
            let place = roots.place(&mut terms, address);
            let condition = terms.variable(&format!("c{step}"), 1);
            let holds = choices.one_in(2);
            let Node::Variable(number) = terms.node(condition) else { panic!("it is a variable") };
            values.insert(number, u64::from(holds));
            let range = start..start + bytes as usize;
            if choices.one_in(2) {
                let stored = choices.bits() & (u64::MAX >> (64 - 8 * bytes));
                let value = terms.constant(8 * bytes, stored);
                memory.store(&mut terms, condition, place, bytes, value);
                if holds {
                    array[range].copy_from_slice(&stored.to_le_bytes()[..bytes as usize]);
                }
            } else {
                let loaded = memory.load(&mut terms, condition, place, bytes);
                let mut expected = [0; 8];
                expected[..bytes as usize].copy_from_slice(&array[range]);
                let got = Evaluator::new(&terms, &values).value(loaded);
                assert_eq!(got, u64::from_le_bytes(expected));
            }
        }
    }
}

#[test]
fn roots_are_followed_to_the_one_that_stands_for_itself() {
    let mut terms = Terms::new();
    let [p, q, r] = ["p", "q", "r"].map(|name| terms.variable(name, 64));
    let mut roots = Roots::new();
    roots.identify(r, Place { root: q, offset: 4 });
    roots.identify(q, Place { root: p, offset: u64::MAX });
    let eight = terms.constant(64, 8);
    let address = terms.add(64, r, eight);
    assert_eq!(roots.place(&mut terms, address), Place { root: p, offset: 11 });
}

#[test]
fn extents_are_what_both_sides_touch() {
    let mut terms = Terms::new();
    let (p, one) = (terms.variable("p", 64), terms.constant(1, 1));
    let (mut a, mut b) = (Memory::new(), Memory::new());
    a.load(&mut terms, one, Place { root: p, offset: 4 }, 8);
    let value = terms.constant(16, 0);
    b.store(&mut terms, one, Place { root: p, offset: (-2i64) as u64 }, 2, value);
    let extents = Memory::extents([&a, &b]);
    assert_eq!(extents, [Extent { root: p, low: -2, high: 12, written: true }]);
    let last = a.touches(&mut terms, Place { root: p, offset: 11 }, false);
    let behind = a.touches(&mut terms, Place { root: p, offset: 12 }, false);
    let written = a.touches(&mut terms, Place { root: p, offset: 11 }, true);
    assert_eq!([last, behind, written].map(|bit| terms.as_constant(bit)), [Some(1), Some(0), Some(0)]);
}
