// SPDX-License-Identifier: GPL-2.0-or-later
//! Quotients and remainders: INT_DIV, INT_SDIV, INT_REM and INT_SREM. By zero p-code has no result; what there is here does
//! not matter, since instructions raise an exception or have a rule of their own.

use kop_prover::term::{Term, Terms};
use kop_semantics::Domain;

use super::Unmodelled;
use super::number::{self, Number};

/// Which of the two, and of what numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub signed: bool,
    pub remainder: bool,
}

/// The quotient or the remainder.
///
/// # Errors
/// The size is neither at most 8 bytes nor 16.
pub(super) fn divided(terms: &mut Terms, kind: Kind, a: &Number, b: &Number) -> Result<Number, Unmodelled> {
    match (a.limbs(), b.limbs()) {
        (&[a], &[b]) => Ok(Number::new(vec![single(terms, kind, a, b)])),
        (&[_, _], &[_, _]) if kind.signed => Ok(signed(terms, kind.remainder, a, b)),
        (&[low, high], &[divisor, above]) if terms.as_constant(above) == Some(0) => {
            Ok(long(terms, kind.remainder, [low, high], divisor))
        }
        _ => Err(Unmodelled::Operation("a division".to_owned(), a.bytes(terms))),
    }
}

fn single(terms: &mut Terms, kind: Kind, a: Term, b: Term) -> Term {
    let width = terms.width(a);
    match (kind.signed, kind.remainder) {
        (false, false) => terms.udiv(width, a, b),
        (false, true) => terms.urem(width, a, b),
        (true, false) => terms.sdiv(width, a, b),
        (true, true) => terms.srem(width, a, b),
    }
}

/// The quotient or the remainder of two limbs by one, where the quotient fits into one limb, which means that the high limb is below
/// the divisor: the instructions that divide so raise an exception otherwise. By long division, bit by bit.
fn long(terms: &mut Terms, remainder: bool, [low, high]: [Term; 2], divisor: Term) -> Number {
    let (mut rest, mut quotient) = (high, None);
    for place in (0..64).rev() {
        let next = terms.extract(64, place, 1, low);
        let (out, kept) = (terms.extract(64, 63, 1, rest), terms.extract(64, 0, 63, rest));
        let doubled = terms.concat(64, 1, kept, next);
        let less = terms.ult(64, doubled, divisor);
        let enough = terms.not(1, less);
        let fits = terms.or(1, out, enough);
        let reduced = terms.sub(64, doubled, divisor);
        rest = terms.ite(64, fits, reduced, doubled);
        quotient = Some(match quotient {
            None => fits,
            Some(bits) => terms.concat(64 - place, 1, bits, fits),
        });
    }
    let zero = terms.constant(64, 0);
    let result = if remainder { rest } else { quotient.expect("there are 64 bits") };
    Number::new(vec![result, zero])
}

/// Of signed numbers, by magnitudes: the remainder has the sign of `a`, the quotient is negative where the signs differ.
fn signed(terms: &mut Terms, remainder: bool, a: &Number, b: &Number) -> Number {
    let (a_sign, b_sign) = (a.sign(terms), b.sign(terms));
    let (a, b) = (magnitude(terms, a, a_sign), magnitude(terms, b, b_sign));
    let value = long(terms, remainder, [a.limbs()[0], a.limbs()[1]], b.limbs()[0]);
    let negative = if remainder { a_sign } else { terms.xor(1, a_sign, b_sign) };
    negated_if(terms, negative, &value)
}

fn magnitude(terms: &mut Terms, number: &Number, sign: Term) -> Number {
    negated_if(terms, sign, number)
}

fn negated_if(terms: &mut Terms, condition: Term, number: &Number) -> Number {
    let size = number.bytes(terms);
    let zero = number::constant(terms, size, 0);
    let negated = number::difference(terms, &zero, number);
    number::choose(terms, condition, &negated, number)
}
