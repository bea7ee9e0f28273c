// SPDX-License-Identifier: GPL-2.0-or-later
//! Normal forms are equal exactly where truth tables are.

use kop_ops::choices::{Choices, Seeded};
use kop_semantics::{Domain, Integers, circuits};
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

fn same_polynomials(terms: &Terms, a: Term, b: Term) -> bool {
    gf2::Polynomials::new(terms).equal(a, b)
}

fn same_sums(terms: &Terms, a: Term, b: Term) -> bool {
    sums::Sums::new(terms).equal(a, b)
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
        assert_eq!(same_polynomials(&terms, a, b), equal, "{} {}", terms.show(a), terms.show(b));
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
        assert!(same_polynomials(&terms, low, right), "{width}");
        assert!(!same_polynomials(&terms, low, wrong), "{width}");
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
    assert!(same_polynomials(&terms, other, product));
    assert!(!same_polynomials(&terms, sum, product));
}

/// The count of ones as a proof sequence writes it: halves two or three times, then a product that adds the fields.
fn by_product(terms: &mut Terms, width: u32, a: Term) -> Term {
    let masks = [0x5555_5555_5555_5555, 0x3333_3333_3333_3333, 0x0f0f_0f0f_0f0f_0f0f];
    let mut sums = a;
    for (stage, mask) in masks.into_iter().enumerate() {
        let (mask, distance) = (terms.constant(width, mask), terms.constant(width, 1 << stage));
        let even = terms.and(width, sums, mask);
        let odd = terms.xor(width, sums, even);
        let odd = terms.lshr(width, odd, distance);
        sums = terms.add(width, even, odd);
    }
    let (ones, top) =
        (terms.constant(width, 0x0101_0101_0101_0101), terms.constant(width, u64::from(width - 8)));
    let product = terms.mul(width, sums, ones);
    terms.lshr(width, product, top)
}

/// The count of ones as compilers write it: a difference first, then fields that are masked before or after they are added.
fn by_difference(terms: &mut Terms, width: u32, a: Term) -> Term {
    let mut constant = |value: u64| terms.constant(width, value);
    let masks = [0x5555_5555_5555_5555, 0x3333_3333_3333_3333, 0x0f0f_0f0f_0f0f_0f0f].map(&mut constant);
    let [one, two, four, top] = [1, 2, 4, u64::from(width - 8)].map(&mut constant);
    let ones = constant(0x0101_0101_0101_0101);
    let above = terms.lshr(width, a, one);
    let odd = terms.and(width, above, masks[0]);
    let pairs = terms.sub(width, a, odd);
    let above = terms.lshr(width, pairs, two);
    let (even, odd) = (terms.and(width, pairs, masks[1]), terms.and(width, above, masks[1]));
    let fours = terms.add(width, even, odd);
    let above = terms.lshr(width, fours, four);
    let sums = terms.add(width, fours, above);
    let bytes = terms.and(width, sums, masks[2]);
    let product = terms.mul(width, bytes, ones);
    terms.lshr(width, product, top)
}

#[test]
fn counts_by_halves_and_by_a_product_are_one_sum() {
    for width in [16, 32, 64] {
        let mut terms = Terms::new();
        let a = terms.variable("a", width);
        let (halves, product) = (circuits::ones(&mut terms, width, a), by_product(&mut terms, width, a));
        assert!(same_sums(&terms, halves, product), "{width}");
        let difference = by_difference(&mut terms, width, a);
        assert!(same_sums(&terms, difference, product), "{width}");
        let one = terms.constant(width, 1);
        let (more, without) = (terms.add(width, halves, one), terms.and(width, a, one));
        let without = terms.sub(width, halves, without);
        assert!(!same_sums(&terms, more, product) && !same_sums(&terms, without, product), "{width}");
    }
}

/// Random sums, slices and masks of two numbers of three bits: where sums are the same, all values are.
#[test]
fn equal_sums_have_equal_values() {
    let mut choices = Seeded::new(9);
    let mut same = 0;
    for _ in 0..6000 {
        let mut terms = Terms::new();
        let mut pool: Vec<Term> = ["a", "b"]
            .into_iter()
            .map(|name| {
                let variable = terms.variable(name, 3);
                terms.zero_extend(3, 6, variable)
            })
            .collect();
        for _ in 0..6 {
            let (a, b) = (*choices.pick(&pool), *choices.pick(&pool));
            let constant = terms.constant(6, choices.bits());
            let low = choices.below(6) as u32;
            pool.push(match choices.below(5) {
                0 => terms.and(6, constant, a),
                1 => terms.mul(6, constant, a),
                3 => terms.sub(6, a, b),
                2 => {
                    let part = terms.extract(6, low, 6 - low, a);
                    terms.zero_extend(6 - low, 6, part)
                }
                _ => terms.insert_add(a, b),
            });
        }
        let mut sums = sums::Sums::new(&terms);
        for (i, a) in pool.iter().enumerate() {
            for b in &pool[..i] {
                if a != b && sums.equal(*a, *b) {
                    same += 1;
                    assert_eq!(table(&terms, 3, *a), table(&terms, 3, *b));
                }
            }
        }
    }
    assert!(same > 100, "{same}");
}

/// The identity, exhaustively at small widths and for random numbers at full width.
#[test]
fn products_by_halves_are_products() {
    let check = |width, a, b| {
        let d = &mut Integers;
        let halves = product::halves(d, width, a, b, |d, x, y| d.mul(width, x, y));
        assert_eq!(halves, [d.mul(width, a, b), d.umulh(width, a, b)], "{a} * {b} at {width}");
    };
    for width in [2, 4, 6, 8] {
        for a in 0..1 << width {
            (0..1 << width).for_each(|b| check(width, a, b));
        }
    }
    let mut choices = Seeded::new(10);
    for _ in 0..10_000 {
        check(64, choices.bits() | choices.bits(), choices.bits());
    }
}

/// Expanded terms with the free products put in have the values of the terms that they come from.
#[test]
fn expanded_terms_keep_their_values_where_free_products_are_products() {
    for width in [4, 8, 32, 64] {
        let mut terms = Terms::new();
        let (a, b) = (terms.variable("a", width), terms.variable("b", width));
        let pair = [terms.umulh(width, a, b), terms.mul(width, a, b)];
        let (expanded, bounds) = by_halves(&mut terms, &pair).expect("there is a high product");
        assert_eq!((terms.variables().len(), bounds.len()), if width == 64 { (6, 4) } else { (3, 1) });
        let mut choices = Seeded::new(12);
        for both in 0..1u64 << 16 {
            let [x, y] = match width {
                4 | 8 => [both & 0xff, both >> 8].map(|value| value & ((1 << width) - 1)),
                _ => [choices.bits(), choices.bits()].map(|value| value >> (64 - width)),
            };
            // The order in which partial products are asked for: low, high, the two in the middle.
            let halves = |value: u64| (value & 0xffff_ffff, value >> 32);
            let ((x0, x1), (y0, y1)) = (halves(x), halves(y));
            let products = if width == 64 { [x0 * y0, x1 * y1, x0 * y1, x1 * y0] } else { [x * y, 0, 0, 0] };
            let values = (2..).zip(products).chain([(0, x), (1, y)]).collect();
            let mut value = Evaluator::new(&terms, &values);
            let expected = [Integers.umulh(width, x, y), Integers.mul(width, x, y)];
            assert_eq!([value.value(expanded[0]), value.value(expanded[1])], expected, "{x} * {y}");
            assert!(bounds.iter().all(|(product, most)| value.value(*product) <= *most));
        }
    }
}

/// Random sums, slices and products by constants of two numbers of three bits: where integers are the same, all values are.
#[test]
fn equal_integers_have_equal_values() {
    let mut choices = Seeded::new(11);
    let mut same = 0;
    for _ in 0..6000 {
        let mut terms = Terms::new();
        let mut pool: Vec<Term> = ["a", "b"]
            .into_iter()
            .map(|name| {
                let variable = terms.variable(name, 3);
                terms.zero_extend(3, 6, variable)
            })
            .collect();
        for _ in 0..8 {
            let (a, b) = (*choices.pick(&pool), *choices.pick(&pool));
            let low = 1 + choices.below(4) as u32;
            pool.push(match choices.below(5) {
                0 => {
                    let constant = terms.constant(6, choices.below(6));
                    terms.mul(6, constant, a)
                }
                1 => {
                    let part = terms.extract(6, low, 6 - low, a);
                    terms.zero_extend(6 - low, 6, part)
                }
                2 => {
                    let part = terms.extract(6, 0, low, a);
                    terms.zero_extend(low, 6, part)
                }
                _ => terms.insert_add(a, b),
            });
        }
        let bounds = FxHashMap::default();
        let mut integers = integers::Integers::new(&terms, &bounds);
        for (i, a) in pool.iter().enumerate() {
            for b in &pool[..i] {
                if a != b && integers.equal(*a, *b) {
                    same += 1;
                    assert_eq!(table(&terms, 3, *a), table(&terms, 3, *b), "{}", terms.show(*a));
                }
            }
        }
    }
    assert!(same > 100, "{same}");
}

/// Carries that are split off one after another, or together.
#[test]
fn carries_are_the_same_in_any_order() {
    let mut terms = Terms::new();
    let [x, y, z] = ["x", "y", "z"].map(|name| terms.variable(name, 64));
    let mask = terms.constant(64, 0xffff_ffff);
    let half = terms.constant(64, 32);
    let [x, y, z] = [x, y, z].map(|value| terms.and(64, value, mask));
    let together = terms.add(64, x, y);
    let together = terms.add(64, together, z);
    let together = terms.lshr(64, together, half);
    let first = terms.add(64, z, y);
    let (carry, low) = (terms.lshr(64, first, half), terms.and(64, first, mask));
    let second = terms.add(64, low, x);
    let more = terms.lshr(64, second, half);
    let one_by_one = terms.add(64, carry, more);
    let bounds = FxHashMap::default();
    assert!(same_integer(&terms, &bounds, &[[together, one_by_one]]));
    assert!(!same_integer(&terms, &bounds, &[[together, carry]]));
}

/// Random choices, products and quotients of two numbers of three bits: where the cases say equal, all values are.
#[test]
fn terms_that_are_equal_in_all_cases_have_equal_values() {
    let mut choices = Seeded::new(14);
    let mut same = 0;
    for _ in 0..3000 {
        let mut terms = Terms::new();
        let mut pool = vec![terms.variable("a", 3), terms.variable("b", 3)];
        for _ in 0..7 {
            let (a, b, c) = (*choices.pick(&pool), *choices.pick(&pool), *choices.pick(&pool));
            let number = terms.constant(3, choices.below(3));
            let condition = if choices.one_in(3) { terms.ult(3, a, b) } else { terms.eq(3, number, a) };
            pool.push(match choices.below(5) {
                0 => terms.mul(3, a, b),
                1 => terms.udiv(3, a, b),
                2 => terms.sdiv(3, a, b),
                _ => terms.ite(3, condition, b, c),
            });
        }
        for i in 0..pool.len() {
            let (a, b) = (pool[i], pool[pool.len() - 1]);
            if a != b && same_in_all_cases(&mut terms, a, b) {
                same += 1;
                assert_eq!(table(&terms, 3, a), table(&terms, 3, b), "{} {}", terms.show(a), terms.show(b));
            }
        }
    }
    assert!(same > 20, "{same}");
}
