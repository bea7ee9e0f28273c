// SPDX-License-Identifier: GPL-2.0-or-later
//! Shifts: INT_LEFT, INT_RIGHT and INT_SRIGHT. An amount of the width or more leaves zeros, or copies of the sign.

use kop_prover::term::{Term, Terms};
use kop_semantics::Domain;

use super::number::{self, Number};

/// What comes in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Left,
    Right,
    /// With copies of the sign.
    SignedRight,
}

/// A number shifted by another of any size.
pub(super) fn shifted(terms: &mut Terms, direction: Direction, a: &Number, amount: &Number) -> Number {
    let (amount, beyond) = amount_of(terms, a, amount);
    let emptied = emptied(terms, direction, a);
    let value = match a.single() {
        Some(limb) => Number::new(vec![single(terms, direction, limb, amount)]),
        None => by_stages(terms, direction, a, amount),
    };
    number::choose(terms, beyond, &emptied, &value)
}

/// The amount as a number of 64 bits, and one bit: whether it is the width or more.
fn amount_of(terms: &mut Terms, a: &Number, amount: &Number) -> (Term, Term) {
    let size = amount.bytes(terms).max(8);
    let amount = number::slice(terms, amount, 0, size);
    let limit = number::constant(terms, size, a.width(terms).into());
    let within = number::below(terms, false, &amount, &limit);
    (amount.limbs()[0], terms.not(1, within))
}

/// What is left when everything is shifted out.
fn emptied(terms: &mut Terms, direction: Direction, a: &Number) -> Number {
    let size = a.bytes(terms);
    if direction != Direction::SignedRight {
        return number::constant(terms, size, 0);
    }
    let limbs = number::limbs(size).map(|(_, bytes)| {
        let sign = a.sign(terms);
        terms.sign_extend(1, 8 * bytes, sign)
    });
    Number::new(limbs.collect())
}

/// One limb, by an amount below its width.
fn single(terms: &mut Terms, direction: Direction, limb: Term, amount: Term) -> Term {
    let width = terms.width(limb);
    let amount = terms.truncate(64, width, amount);
    match direction {
        Direction::Left => terms.shl(width, limb, amount),
        Direction::Right => terms.lshr(width, limb, amount),
        Direction::SignedRight => terms.ashr(width, limb, amount),
    }
}

/// By each power of two in turn, if its bit is set in the amount, which is below the width.
fn by_stages(terms: &mut Terms, direction: Direction, a: &Number, amount: Term) -> Number {
    let (width, mut value) = (a.width(terms), a.clone());
    for bit in (0..).take_while(|bit| 1 << bit < width) {
        let moved = match direction {
            Direction::Left => left_by(terms, &value, 1 << bit),
            Direction::Right => number::slice(terms, &value, 1 << bit, width / 8),
            Direction::SignedRight => {
                let longer = number::sign_extended(terms, &value, width / 4);
                number::slice(terms, &longer, 1 << bit, width / 8)
            }
        };
        let set = terms.extract(64, bit, 1, amount);
        value = number::choose(terms, set, &moved, &value);
    }
    value
}

/// Shifted left by a constant below the width.
pub(super) fn left_by(terms: &mut Terms, a: &Number, distance: u32) -> Number {
    let size = a.bytes(terms);
    let limbs = number::limbs(size).map(|(place, bytes)| {
        let (low, width) = (8 * place, 8 * bytes);
        // Bits below the number are zeros.
        let zeros = distance.saturating_sub(low).min(width);
        let zero = |terms: &mut Terms| terms.constant(zeros, 0);
        if zeros == width {
            return zero(terms);
        }
        let from = (low + zeros) - distance;
        let kept = number::bits(terms, a, from, width - zeros);
        match zeros {
            0 => kept,
            _ => {
                let zero = zero(terms);
                terms.concat(width, zeros, kept, zero)
            }
        }
    });
    Number::new(limbs.collect())
}
