// SPDX-License-Identifier: GPL-2.0-or-later
//! Numbers of any number of bytes, as limbs of 64 bits, the lowest first; the last may be shorter.

use kop_prover::term::{Term, Terms};
use kop_semantics::Domain;

/// A number: at least one limb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Number(Vec<Term>);

impl Number {
    pub fn new(limbs: Vec<Term>) -> Self {
        assert!(!limbs.is_empty(), "there is a limb");
        Number(limbs)
    }

    pub fn limbs(&self) -> &[Term] {
        &self.0
    }

    pub fn bytes(&self, terms: &Terms) -> u32 {
        self.width(terms) / 8
    }

    pub fn width(&self, terms: &Terms) -> u32 {
        self.0.iter().map(|limb| terms.width(*limb)).sum()
    }

    /// The only limb.
    pub fn single(&self) -> Option<Term> {
        match self.0[..] {
            [limb] => Some(limb),
            _ => None,
        }
    }

    /// The highest bit.
    pub fn sign(&self, terms: &mut Terms) -> Term {
        let top = *self.0.last().expect("there is a limb");
        let width = terms.width(top);
        terms.extract(width, width - 1, 1, top)
    }
}

/// The place and the number of bytes of each limb of a number of `size` bytes.
pub(super) fn limbs(size: u32) -> impl Iterator<Item = (u32, u32)> {
    (0..size).step_by(8).map(move |place| (place, (size - place).min(8)))
}

/// A number of `size` bytes; constants have 64 bits, with zeros above.
pub(super) fn constant(terms: &mut Terms, size: u32, value: u64) -> Number {
    let limb = |(place, bytes): (u32, u32)| terms.constant(8 * bytes, if place == 0 { value } else { 0 });
    Number(limbs(size).map(limb).collect())
}

/// The bits from `low` on, `size` bytes of them; zeros follow behind the number's end.
pub(super) fn slice(terms: &mut Terms, number: &Number, low: u32, size: u32) -> Number {
    let limb = |(place, bytes): (u32, u32)| bits(terms, number, low + 8 * place, 8 * bytes);
    Number(limbs(size).map(limb).collect())
}

/// `width` bits from `low` on, at most 64; zeros follow behind the number's end.
pub(super) fn bits(terms: &mut Terms, number: &Number, low: u32, width: u32) -> Term {
    let mut value: Option<Term> = None;
    let mut have = 0;
    while have < width {
        let (limb, from) = ((low + have) / 64, (low + have) % 64);
        let (piece, count) = match number.0.get(limb as usize) {
            Some(limb) if from < terms.width(*limb) => {
                let of = terms.width(*limb);
                let count = (of - from).min(width - have);
                (terms.extract(of, from, count, *limb), count)
            }
            _ => (terms.constant(width - have, 0), width - have),
        };
        value = Some(match value {
            None => piece,
            Some(value) => terms.concat(have + count, have, piece, value),
        });
        have += count;
    }
    value.expect("there is a bit")
}

/// A number of `size` bytes with copies of the sign above.
pub(super) fn sign_extended(terms: &mut Terms, number: &Number, size: u32) -> Number {
    let (width, sign) = (number.width(terms), number.sign(terms));
    let zeros = slice(terms, number, 0, size);
    let mut low = 0;
    let mut limbs = Vec::new();
    for limb in zeros.0 {
        let of = terms.width(limb);
        // The bits of this limb that the number itself has.
        let own = width.saturating_sub(low).min(of);
        limbs.push(match own {
            0 => terms.sign_extend(1, of, sign),
            own if own == of => limb,
            own => {
                let kept = terms.extract(of, 0, own, limb);
                terms.sign_extend(own, of, kept)
            }
        });
        low += of;
    }
    Number(limbs)
}

/// `high`, and below it `low`.
pub(super) fn joined(terms: &mut Terms, high: &Number, low: &Number) -> Number {
    let shift = low.width(terms);
    let size = (shift + high.width(terms)) / 8;
    let (low, high) = (slice(terms, low, 0, size), slice(terms, high, 0, size));
    let high = super::shift::left_by(terms, &high, shift);
    or(terms, &low, &high)
}

/// Limb by limb.
pub(super) fn zip(a: &Number, b: &Number, of: impl FnMut((&Term, &Term)) -> Term) -> Number {
    Number(a.0.iter().zip(&b.0).map(of).collect())
}

/// Bitwise or.
pub(super) fn or(terms: &mut Terms, a: &Number, b: &Number) -> Number {
    zip(a, b, |(a, b)| terms.or(terms.width(*a), *a, *b))
}

/// The sum, and one bit: the carry out.
pub(super) fn sum(terms: &mut Terms, a: &Number, b: &Number) -> (Number, Term) {
    let mut carry = terms.constant(1, 0);
    let mut limbs = Vec::new();
    for (a, b) in a.0.iter().zip(&b.0) {
        let width = terms.width(*a);
        let partial = terms.add(width, *a, *b);
        let over = terms.ult(width, partial, *a);
        let more = terms.zero_extend(1, width, carry);
        let total = terms.add(width, partial, more);
        let again = terms.ult(width, total, partial);
        carry = terms.or(1, over, again);
        limbs.push(total);
    }
    (Number(limbs), carry)
}

/// The difference.
pub(super) fn difference(terms: &mut Terms, a: &Number, b: &Number) -> Number {
    let mut borrow = terms.constant(1, 0);
    let mut limbs = Vec::new();
    for (a, b) in a.0.iter().zip(&b.0) {
        let width = terms.width(*a);
        let partial = terms.sub(width, *a, *b);
        let under = terms.ult(width, *a, *b);
        let less = terms.zero_extend(1, width, borrow);
        let again = terms.ult(width, partial, less);
        limbs.push(terms.sub(width, partial, less));
        borrow = terms.or(1, under, again);
    }
    Number(limbs)
}

/// One bit: whether they are equal.
pub(super) fn equal(terms: &mut Terms, a: &Number, b: &Number) -> Term {
    let mut all = terms.constant(1, 1);
    for (a, b) in a.0.iter().zip(&b.0) {
        let same = terms.eq(terms.width(*a), *a, *b);
        all = terms.and(1, all, same);
    }
    all
}

/// One bit: whether a number is not zero.
pub(super) fn not_zero(terms: &mut Terms, number: &Number) -> Term {
    let size = number.bytes(terms);
    let zero = constant(terms, size, 0);
    let is_zero = equal(terms, number, &zero);
    terms.not(1, is_zero)
}

/// One bit: whether `a` is below `b`; the highest limbs are signed if `signed`.
pub(super) fn below(terms: &mut Terms, signed: bool, a: &Number, b: &Number) -> Term {
    let mut less = terms.constant(1, 0);
    let top = a.0.len() - 1;
    for (place, (a, b)) in a.0.iter().zip(&b.0).enumerate() {
        let width = terms.width(*a);
        let here = match signed && place == top {
            true => terms.slt(width, *a, *b),
            false => terms.ult(width, *a, *b),
        };
        let same = terms.eq(width, *a, *b);
        less = terms.ite(1, same, less, here);
    }
    less
}

/// `a` if the condition holds, else `b`.
pub(super) fn choose(terms: &mut Terms, condition: Term, a: &Number, b: &Number) -> Number {
    Number(a.0.iter().zip(&b.0).map(|(a, b)| crate::side::choose(terms, condition, *a, *b)).collect())
}

/// A bit as a byte, 0 or 1.
pub(super) fn truth(terms: &mut Terms, bit: Term, size: u32) -> Number {
    let byte = terms.zero_extend(1, 8, bit);
    slice(terms, &Number(vec![byte]), 0, size)
}
