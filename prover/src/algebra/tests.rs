// SPDX-License-Identifier: GPL-2.0-or-later
//! Normal forms are equal exactly where truth tables are.

use kop_ops::choices::{Choices, Seeded};
use kop_semantics::{Domain, circuits};
use rustc_hash::FxHashMap;

use super::*;
use crate::term::Evaluator;

/// The values of a term for all values of two variables of `width` bits.
fn table(terms: &Terms, width: u32, term: Term) -> Vec<u64> {
    (0..1u64 << (2 * width))
        .map(|both| {
            let values = FxHashMap::from_iter([(0, both & ((1 << width) - 1)), (1, both >> width)]);
            Evaluator::new(terms, &values).value(term)
        })
        .collect()
}

/// Random bitwise terms over two numbers of two bits: the degree is at most four, so that all of them have normal forms.
#[test]
fn normal_forms_are_equal_exactly_if_all_values_are() {
    let mut choices = Seeded::new(8);
    let (mut same, mut different) = (0, 0);
    for _ in 0..2000 {
        let mut terms = Terms::new();
        let mut pool = vec![terms.variable("a", 2), terms.variable("b", 2)];
        for _ in 0..8 {
            let (a, b) = (*choices.pick(&pool), *choices.pick(&pool));
            pool.push(match choices.below(4) {
                0 => terms.and(2, a, b),
                1 => terms.or(2, a, b),
                2 => {
                    let bit = terms.extract(2, choices.below(2) as u32, 1, a);
                    terms.ite(2, bit, b, a)
                }
                _ => terms.xor(2, a, b),
            });
        }
        let (a, b) = (pool[pool.len() - 1], pool[pool.len() - 2]);
        let equal = table(&terms, 2, a) == table(&terms, 2, b);
        assert_eq!(all_equal(&terms, &[(a, b)]).is_some(), equal, "{} {}", terms.show(a), terms.show(b));
        (same, different) = (same + usize::from(equal), different + usize::from(!equal));
    }
    assert!(same > 20 && different > 20, "{same} {different}");
}

/// Horner's rule from the highest bit down against the sum of shifted rows, exhaustively at small widths, and wrong by one term.
fn horner(terms: &mut Terms, width: u32, a: Term, b: Term, wrong: bool) -> Term {
    let (mut sum, one) = (terms.constant(width, 0), terms.constant(width, 1));
    for bit in (u32::from(wrong)..width).rev() {
        sum = terms.shl(width, sum, one);
        let bit = terms.extract(width, bit, 1, a);
        let more = terms.xor(width, sum, b);
        sum = terms.ite(width, bit, more, sum);
    }
    sum
}

#[test]
fn carryless_products_by_rows_and_by_horners_rule_are_equal() {
    for width in [2, 3, 4, 5, 64] {
        let mut terms = Terms::new();
        let (a, b) = (terms.variable("a", width), terms.variable("b", width));
        let [low, _] = circuits::carryless_product(&mut terms, width, a, b);
        let (right, wrong) = (horner(&mut terms, width, a, b, false), horner(&mut terms, width, a, b, true));
        assert!(all_equal(&terms, &[(low, right)]).is_some(), "{width}");
        assert!(all_equal(&terms, &[(low, wrong)]).is_none(), "{width}");
        if width < 6 {
            assert_eq!(table(&terms, width, low), table(&terms, width, right));
            assert_ne!(table(&terms, width, low), table(&terms, width, wrong));
        }
    }
}

#[test]
fn what_is_not_bitwise_is_a_variable() {
    let mut terms = Terms::new();
    let (a, b) = (terms.variable("a", 8), terms.variable("b", 8));
    let (sum, product) = (terms.add(8, a, b), terms.mul(8, a, b));
    let one = terms.xor(8, sum, product);
    let other = terms.xor(8, one, sum);
    assert!(all_equal(&terms, &[(other, product)]).is_some());
    assert!(all_equal(&terms, &[(sum, product)]).is_none());
}
