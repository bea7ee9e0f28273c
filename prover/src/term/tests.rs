// SPDX-License-Identifier: GPL-2.0-or-later
//! Terms have the values that integers have, whatever they are normalised to.

use kop_ops::choices::{Choices, Seeded};
use kop_semantics::{Domain, Integers};
use rustc_hash::FxHashMap;

use super::*;

/// A term, and its value under each assignment.
type Pair<const N: usize> = (Term, [u64; N]);

/// Terms and integers that were built by the same operations.
struct Both<const N: usize> {
    terms: Terms,
    assignments: [FxHashMap<u32, u64>; N],
    /// By width.
    pool: FxHashMap<u32, Vec<Pair<N>>>,
    choices: Seeded,
}

const WIDTHS: [u32; 8] = [1, 2, 5, 8, 16, 32, 33, 64];

fn interesting(choices: &mut Seeded, width: u32) -> u64 {
    let mask = u64::MAX >> (64 - width);
    let value = match choices.below(8) {
        0 => 0,
        1 => u64::MAX,
        2 => 1 << choices.below(u64::from(width)),
        3 => (1 << choices.below(u64::from(width))) - 1,
        4 => choices.below(70),
        5 => 0x00ff_00ff_00ff_00ff,
        _ => choices.bits(),
    };
    value & mask
}

impl<const N: usize> Both<N> {
    fn new(seed: u64) -> Self {
        let mut both = Both {
            terms: Terms::new(),
            assignments: std::array::from_fn(|_| FxHashMap::default()),
            pool: FxHashMap::default(),
            choices: Seeded::new(seed),
        };
        for width in WIDTHS {
            for name in ["a", "b", "c"] {
                let term = both.terms.variable(&format!("{name}{width}"), width);
                let Node::Variable(number) = both.terms.node(term) else { panic!("it is a variable") };
                let values = std::array::from_fn(|_| interesting(&mut both.choices, width));
                for (assignment, value) in both.assignments.iter_mut().zip(values) {
                    assignment.insert(number, value);
                }
                both.pool.entry(width).or_default().push((term, values));
            }
        }
        both
    }

    fn pick(&mut self, width: u32) -> Pair<N> {
        if self.choices.one_in(4) {
            let value = interesting(&mut self.choices, width);
            return (self.terms.constant(width, value), [value; N]);
        }
        let pool = &self.pool[&width];
        // Recent terms are deep ones.
        let from = if self.choices.one_in(2) { pool.len().saturating_sub(6) } else { 0 };
        pool[from + self.choices.below((pool.len() - from) as u64) as usize]
    }

    fn binary(&mut self) -> (u32, Pair<N>) {
        let width = *self.choices.pick(&WIDTHS);
        let ((a, x), (b, y)) = (self.pick(width), self.pick(width));
        let (t, d) = (&mut self.terms, &mut Integers);
        let which = self.choices.below(19);
        macro_rules! both {
            ($($number:literal $name:ident),*) => {
                match which {
                    $($number => (t.$name(width, a, b), std::array::from_fn(|i| d.$name(width, x[i], y[i]))),)*
                    _ => unreachable!("there are no others"),
                }
            };
        }
        let pair = both!(
            0 add, 1 sub, 2 mul, 3 umulh, 4 udiv, 5 urem, 6 sdiv, 7 srem, 8 and, 9 or, 10 xor, 11 shl, 12 lshr,
            13 ashr, 14 eq, 15 ult, 16 slt, 17 add, 18 xor
        );
        (if (14..=16).contains(&which) { 1 } else { width }, pair)
    }

    fn resized(&mut self) -> (u32, Pair<N>) {
        let width = *self.choices.pick(&WIDTHS);
        let (a, x) = self.pick(width);
        let wider = *self.choices.pick(&WIDTHS.map(|w| w.max(width)));
        let narrower = *self.choices.pick(&WIDTHS.map(|w| w.min(width)));
        let low = self.choices.below(u64::from(width - narrower) + 1) as u32;
        let (t, d) = (&mut self.terms, &mut Integers);
        match self.choices.below(4) {
            0 => (wider, (t.zero_extend(width, wider, a), x.map(|x| d.zero_extend(width, wider, x)))),
            1 => (wider, (t.sign_extend(width, wider, a), x.map(|x| d.sign_extend(width, wider, x)))),
            _ => {
                let term = t.extract(width, low, narrower, a);
                (narrower, (term, x.map(|x| d.extract(width, low, narrower, x))))
            }
        }
    }

    fn joined(&mut self) -> (u32, Pair<N>) {
        let (high, low) = *self.choices.pick(&[(1, 1), (8, 8), (16, 16), (32, 32), (1, 32)]);
        let ((a, x), (b, y)) = (self.pick(high), self.pick(low));
        let term = self.terms.concat(high + low, low, a, b);
        let values = std::array::from_fn(|i| Integers.concat(high + low, low, x[i], y[i]));
        (high + low, (term, values))
    }

    fn chosen(&mut self) -> (u32, Pair<N>) {
        let width = *self.choices.pick(&WIDTHS);
        let ((c, z), (a, x), (b, y)) = (self.pick(1), self.pick(width), self.pick(width));
        let term = self.terms.ite(width, c, a, b);
        (width, (term, std::array::from_fn(|i| Integers.ite(width, z[i], x[i], y[i]))))
    }

    fn unary(&mut self) -> (u32, Pair<N>) {
        let width = *self.choices.pick(&WIDTHS);
        let (a, x) = self.pick(width);
        match self.choices.below(3) {
            0 => (width, (self.terms.not(width, a), x.map(|x| Integers.not(width, x)))),
            1 => (width, (self.terms.neg(width, a), x.map(|x| Integers.neg(width, x)))),
            _ if width.is_multiple_of(8) => {
                (width, (self.terms.swap_bytes(width, a), x.map(|x| Integers.swap_bytes(width, x))))
            }
            _ => (width, (a, x)),
        }
    }

    fn step(&mut self) {
        let (width, pair) = match self.choices.below(10) {
            0..5 => self.binary(),
            5 | 6 => self.resized(),
            7 => self.joined(),
            8 => self.chosen(),
            _ => self.unary(),
        };
        let (term, values) = pair;
        assert_eq!(self.terms.width(term), width);
        self.check(term, values);
        self.pool.entry(width).or_default().push(pair);
    }

    fn check(&self, term: Term, values: [u64; N]) {
        for (assignment, value) in self.assignments.iter().zip(values) {
            let got = Evaluator::new(&self.terms, assignment).value(term);
            assert_eq!(got, value, "{}", self.terms.show(term));
        }
    }
}

#[test]
fn random_terms_have_the_values_of_integers() {
    for seed in 0..3000 {
        let mut both = Both::<4>::new(seed);
        (0..150).for_each(|_| both.step());
    }
}

/// Every pair of values at a width at which all can be tried, with both operands variable and with either constant.
#[test]
fn operations_agree_with_integers_exhaustively_at_small_widths() {
    for width in [1, 2, 3, 4] {
        for_each_pair(width, |x, y, constants| {
            let mut terms = Terms::new();
            let (a, b) = (terms.variable("a", width), terms.variable("b", width));
            let assignment = FxHashMap::from_iter([(0, x), (1, y)]);
            let (c, d) = (terms.constant(width, x), terms.constant(width, y));
            let (a, b) = ([a, c][constants & 1], [b, d][constants >> 1]);
            macro_rules! agree {
                ($($name:ident),*) => {
                    $(let term = terms.$name(width, a, b);
                    let value = Evaluator::new(&terms, &assignment).value(term);
                    assert_eq!(value, Integers.$name(width, x, y), concat!(stringify!($name), " {} {} at {}"), x, y, width);)*
                };
            }
            agree!(add, sub, mul, umulh, udiv, urem, sdiv, srem, and, or, xor, shl, lshr, ashr, eq, ult, slt);
        });
    }
}

fn for_each_pair(width: u32, mut check: impl FnMut(u64, u64, usize)) {
    for x in 0..1 << width {
        for y in 0..1 << width {
            (0..4).for_each(|constants| check(x, y, constants));
        }
    }
}

fn two() -> (Terms, Term, Term) {
    let mut t = Terms::new();
    let (a, b) = (t.variable("a", 64), t.variable("b", 64));
    (t, a, b)
}

#[test]
fn sums_are_equal_in_any_order() {
    let (mut t, a, b) = two();
    let (one, eight) = (t.constant(64, 1), t.constant(64, 8));
    let left = t.add(64, a, one);
    let left = t.add(64, left, b);
    let right = t.sub(64, b, eight);
    let right = t.add(64, right, a);
    let nine = t.constant(64, 9);
    let right = t.add(64, right, nine);
    assert_eq!(left, right);
    let difference = t.sub(64, left, a);
    assert_eq!(t.base_and_offset(difference), (b, 1));
    let not = t.not(64, a);
    let (negative, complement) = (t.neg(64, a), t.add(64, not, one));
    assert_eq!(negative, complement);
}

#[test]
fn a_rotation_by_a_constant_is_a_concatenation_of_slices() {
    let (mut t, a, _) = two();
    let (left, right) = (t.constant(64, 13), t.constant(64, 51));
    let (high, low) = (t.shl(64, a, left), t.lshr(64, a, right));
    let by_or = t.or(64, high, low);
    let by_add = t.xor(64, low, high);
    let (low, high) = (t.extract(64, 51, 13, a), t.extract(64, 0, 51, a));
    let rotated = t.concat(64, 13, high, low);
    assert_eq!((by_or, by_add), (rotated, rotated));
}

#[test]
fn bytes_swapped_twice_are_as_before() {
    let (mut t, a, _) = two();
    let swapped = t.swap_bytes(64, a);
    assert_eq!(t.swap_bytes(64, swapped), a);
}

#[test]
fn the_bytes_of_a_sum_or_a_product_together_are_it() {
    let (mut t, a, b) = two();
    for whole in [t.add(64, a, b), t.mul(64, a, b)] {
        let bytes: Vec<Term> = (0..8).map(|i| t.extract(64, 8 * i, 8, whole)).collect();
        let mut joined = bytes[0];
        for (i, byte) in (1..).zip(&bytes[1..]) {
            joined = t.concat(8 * (i + 1), 8 * i, *byte, joined);
        }
        assert_eq!(joined, whole);
        // Another byte at the bottom, or one left out, makes another number.
        let other = t.concat(16, 8, bytes[1], bytes[1]);
        let half = t.extract(64, 0, 16, whole);
        assert_ne!(other, half);
        let skipped = t.concat(16, 8, bytes[2], bytes[0]);
        assert_ne!(skipped, half);
    }
}

#[test]
fn shifts_up_and_down_are_masks_and_extensions() {
    let (mut t, a, _) = two();
    let (amount, mask) = (t.constant(64, 48), t.constant(64, 0xffff));
    let up = t.shl(64, a, amount);
    let (unsigned, signed) = (t.lshr(64, up, amount), t.ashr(64, up, amount));
    assert_eq!(unsigned, t.and(64, a, mask));
    let low = t.extract(64, 0, 16, a);
    assert_eq!(signed, t.sign_extend(16, 64, low));
}

#[test]
fn comparisons_of_differences_are_those_of_the_numbers() {
    let (mut t, a, b) = two();
    let zero = t.constant(64, 0);
    let difference = t.sub(64, a, b);
    assert_eq!(t.eq(64, difference, zero), t.eq(64, a, b));
    let (bound, amount) = (t.constant(64, 0x1_0000), t.constant(64, 16));
    let high = t.lshr(64, a, amount);
    assert_eq!(t.ult(64, a, bound), t.eq(64, high, zero));
}

#[test]
fn a_choice_with_its_condition_inside_is_one_choice() {
    let (mut t, a, b) = two();
    let c = t.variable("c", 1);
    let inner = t.ite(64, c, a, b);
    let outer = t.ite(64, c, inner, a);
    assert_eq!(outer, a);
    let not = t.not(1, c);
    let flipped = t.ite(64, not, b, a);
    assert_eq!(flipped, inner);
}
