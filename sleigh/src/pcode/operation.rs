// SPDX-License-Identifier: GPL-2.0-or-later
//! What p-code operations compute.

use kop_prover::term::{Term, Terms};
use kop_semantics::Domain;
use libsla::{BoolOp, IntOp, IntSign, OpCode};

use super::Unmodelled;
use super::division::{self, Kind};
use super::number::{self, Number};
use super::product;
use super::shift::{self, Direction};

/// The result, of `size` bytes.
///
/// # Errors
/// The operation is none of integers.
pub(super) fn compute(
    terms: &mut Terms,
    code: OpCode,
    inputs: &[Number],
    size: u32,
) -> Result<Number, Unmodelled> {
    let result = match (code, inputs) {
        (OpCode::Copy, [a]) => a.clone(),
        (OpCode::Piece, [high, low]) => number::joined(terms, high, low),
        (OpCode::Subpiece, [a, skip]) => {
            let skip = skip.single().and_then(|skip| terms.as_constant(skip)).expect("it is a constant");
            number::slice(terms, a, 8 * skip as u32, size)
        }
        (OpCode::Popcount, [a]) => ones(terms, a, size),
        (OpCode::LzCount, [a]) => leading_zeros(terms, a, size),
        (OpCode::Bool(op), _) => boolean(terms, op, inputs),
        (OpCode::Int(op), [a]) => unary(terms, op, a, size).ok_or_else(|| unmodelled(code, size))?,
        (OpCode::Int(op), [a, b]) => binary(terms, op, a, b, size)?,
        _ => return Err(unmodelled(code, size)),
    };
    Ok(result)
}

fn unmodelled(code: OpCode, size: u32) -> Unmodelled {
    Unmodelled::Operation(format!("{code:?}"), size)
}

/// Booleans are bytes, 0 or 1.
fn boolean(terms: &mut Terms, op: BoolOp, inputs: &[Number]) -> Number {
    match (op, inputs) {
        (BoolOp::Negate, [a]) => {
            let size = a.bytes(terms);
            let one = number::constant(terms, size, 1);
            bitwise(terms, BoolOp::Xor, a, &one)
        }
        (_, [a, b]) => bitwise(terms, op, a, b),
        _ => unreachable!("{op:?} has two operands"),
    }
}

fn bitwise(terms: &mut Terms, op: BoolOp, a: &Number, b: &Number) -> Number {
    number::zip(a, b, |(a, b)| {
        let width = terms.width(*a);
        match op {
            BoolOp::And => terms.and(width, *a, *b),
            BoolOp::Or => terms.or(width, *a, *b),
            BoolOp::Xor => terms.xor(width, *a, *b),
            BoolOp::Negate => unreachable!("it has one operand"),
        }
    })
}

fn unary(terms: &mut Terms, op: IntOp, a: &Number, size: u32) -> Option<Number> {
    Some(match op {
        IntOp::Negate => {
            let zero = number::constant(terms, size, 0);
            number::difference(terms, &zero, a)
        }
        IntOp::Bitwise(BoolOp::Negate) => number::zip(a, a, |(a, _)| terms.not(terms.width(*a), *a)),
        IntOp::Extension(IntSign::Unsigned) => number::slice(terms, a, 0, size),
        IntOp::Extension(IntSign::Signed) => number::sign_extended(terms, a, size),
        _ => return None,
    })
}

fn binary(terms: &mut Terms, op: IntOp, a: &Number, b: &Number, size: u32) -> Result<Number, Unmodelled> {
    if let Some(bit) = comparison(terms, op, a, b) {
        return Ok(number::truth(terms, bit, size));
    }
    Ok(match op {
        IntOp::Add => number::sum(terms, a, b).0,
        IntOp::Subtract => number::difference(terms, a, b),
        IntOp::Multiply => product::product(terms, a, b)?,
        IntOp::Divide(sign) => division::divided(terms, kind(sign, false), a, b)?,
        IntOp::Remainder(sign) => division::divided(terms, kind(sign, true), a, b)?,
        IntOp::ShiftLeft => shift::shifted(terms, Direction::Left, a, b),
        IntOp::ShiftRight(IntSign::Unsigned) => shift::shifted(terms, Direction::Right, a, b),
        IntOp::ShiftRight(IntSign::Signed) => shift::shifted(terms, Direction::SignedRight, a, b),
        IntOp::Bitwise(op) => bitwise(terms, op, a, b),
        _ => return Err(unmodelled(OpCode::Int(op), size)),
    })
}

const fn kind(sign: IntSign, remainder: bool) -> Kind {
    Kind { signed: matches!(sign, IntSign::Signed), remainder }
}

/// One bit, of operations that have a boolean for their result.
fn comparison(terms: &mut Terms, op: IntOp, a: &Number, b: &Number) -> Option<Term> {
    let is_signed = |sign| matches!(sign, IntSign::Signed);
    Some(match op {
        IntOp::Equal => number::equal(terms, a, b),
        IntOp::NotEqual => {
            let equal = number::equal(terms, a, b);
            terms.not(1, equal)
        }
        IntOp::LessThan(sign) => number::below(terms, is_signed(sign), a, b),
        IntOp::LessThanOrEqual(sign) => {
            let above = number::below(terms, is_signed(sign), b, a);
            terms.not(1, above)
        }
        IntOp::Carry(IntSign::Unsigned) => number::sum(terms, a, b).1,
        IntOp::Carry(IntSign::Signed) => {
            let sum = number::sum(terms, a, b).0;
            overflow(terms, false, a, b, &sum)
        }
        IntOp::Borrow => {
            let difference = number::difference(terms, a, b);
            overflow(terms, true, a, b, &difference)
        }
        _ => return None,
    })
}

/// Whether a sum of signed numbers is out of range: the signs of both differ from the result's; of a difference, those of `a` and
/// of `-b` do.
fn overflow(terms: &mut Terms, of_difference: bool, a: &Number, b: &Number, result: &Number) -> Term {
    let [a, b, result] = [a, b, result].map(|number| number.sign(terms));
    let signs = terms.xor(1, a, b);
    let may = if of_difference { signs } else { terms.not(1, signs) };
    let turned = terms.xor(1, a, result);
    terms.and(1, may, turned)
}

/// The number of ones: the bits, added one after another.
fn ones(terms: &mut Terms, a: &Number, size: u32) -> Number {
    let mut total = terms.constant(64, 0);
    for limb in a.limbs() {
        let width = terms.width(*limb);
        for place in 0..width {
            let bit = terms.extract(width, place, 1, *limb);
            let bit = terms.zero_extend(1, 64, bit);
            total = terms.add(64, total, bit);
        }
    }
    number::slice(terms, &Number::new(vec![total]), 0, size)
}

/// The number of zeros above the highest one: the last one, from below, says it.
fn leading_zeros(terms: &mut Terms, a: &Number, size: u32) -> Number {
    let all = a.width(terms);
    let mut count = terms.constant(64, all.into());
    let mut low = 0;
    for limb in a.limbs() {
        let width = terms.width(*limb);
        for place in 0..width {
            let bit = terms.extract(width, place, 1, *limb);
            let zeros = terms.constant(64, u64::from(all - 1 - (low + place)));
            count = terms.ite(64, bit, zeros, count);
        }
        low += width;
    }
    number::slice(terms, &Number::new(vec![count]), 0, size)
}
