// SPDX-License-Identifier: GPL-2.0-or-later
//! Operations on constants of 1 to 16 bytes against the arithmetic of u128.

use kop_ops::choices::{Choices, Seeded};
use kop_prover::term::Terms;
use kop_semantics::Domain;
use libsla::{BoolOp, IntOp, IntSign, OpCode};

use super::number::{self, Number};
use super::operation::compute;

const SIZES: [u32; 6] = [1, 2, 4, 8, 9, 16];

fn mask(size: u32) -> u128 {
    u128::MAX >> (128 - 8 * size)
}

fn constant(terms: &mut Terms, size: u32, value: u128) -> Number {
    let limb = |(place, bytes): (u32, u32)| terms.constant(8 * bytes, (value >> (8 * place)) as u64);
    Number::new(number::limbs(size).map(limb).collect())
}

fn value(terms: &Terms, number: &Number) -> u128 {
    let limbs = number.limbs().iter().map(|limb| terms.as_constant(*limb).expect("constants fold"));
    limbs.enumerate().fold(0, |value, (place, limb)| value | u128::from(limb) << (64 * place))
}

/// A number of `size` bytes as a signed one.
fn signed(size: u32, value: u128) -> i128 {
    let above = 128 - 8 * size;
    ((value << above) as i128) >> above
}

/// Random numbers, many of them near the ends of the range.
fn random(choices: &mut Seeded, size: u32) -> u128 {
    let any = u128::from(choices.bits()) << 64 | u128::from(choices.bits());
    let value = match choices.below(4) {
        0 => any >> choices.below(128),
        1 => !(any >> choices.below(128)),
        2 => u128::from(choices.below(3)),
        _ => any,
    };
    value & mask(size)
}

/// Each operation with what u128 has for it.
fn check(code: OpCode, output: impl Fn(u32) -> u32, expected: impl Fn(u32, u128, u128) -> u128) {
    let mut choices = Seeded::new(7);
    for size in SIZES {
        for _ in 0..60 {
            let mut terms = Terms::new();
            let (a, b) = (random(&mut choices, size), random(&mut choices, size));
            let inputs = [a, b].map(|input| constant(&mut terms, size, input));
            let result =
                compute(&mut terms, code, &inputs, output(size)).expect("it is an operation of integers");
            let want = expected(size, a, b) & mask(output(size));
            assert_eq!(value(&terms, &result), want, "{code:?} of {a:#x} and {b:#x}, {size} bytes");
        }
    }
}

fn truth(code: IntOp, expected: impl Fn(u32, u128, u128) -> bool) {
    check(OpCode::Int(code), |_| 1, |size, a, b| expected(size, a, b).into());
}

#[test]
fn sums_differences_and_bits_are_those_of_numbers() {
    check(OpCode::Int(IntOp::Add), |size| size, |_, a, b| a.wrapping_add(b));
    check(OpCode::Int(IntOp::Subtract), |size| size, |_, a, b| a.wrapping_sub(b));
    check(OpCode::Int(IntOp::Bitwise(BoolOp::And)), |size| size, |_, a, b| a & b);
    check(OpCode::Int(IntOp::Bitwise(BoolOp::Or)), |size| size, |_, a, b| a | b);
    check(OpCode::Int(IntOp::Bitwise(BoolOp::Xor)), |size| size, |_, a, b| a ^ b);
}

#[test]
fn comparisons_and_carries_are_those_of_numbers() {
    use IntSign::{Signed, Unsigned};
    truth(IntOp::Equal, |_, a, b| a == b);
    truth(IntOp::NotEqual, |_, a, b| a != b);
    truth(IntOp::LessThan(Unsigned), |_, a, b| a < b);
    truth(IntOp::LessThanOrEqual(Unsigned), |_, a, b| a <= b);
    truth(IntOp::LessThan(Signed), |size, a, b| signed(size, a) < signed(size, b));
    truth(IntOp::LessThanOrEqual(Signed), |size, a, b| signed(size, a) <= signed(size, b));
    truth(IntOp::Carry(Unsigned), |size, a, b| a.checked_add(b).is_none_or(|sum| sum > mask(size)));
    let fits = |size: u32, value: Option<i128>| {
        value.is_some_and(|value| value == signed(size, value.cast_unsigned() & mask(size)))
    };
    truth(IntOp::Carry(Signed), |size, a, b| !fits(size, signed(size, a).checked_add(signed(size, b))));
    truth(IntOp::Borrow, |size, a, b| !fits(size, signed(size, a).checked_sub(signed(size, b))));
}

#[test]
fn shifts_by_the_width_and_more_leave_nothing_but_the_sign() {
    let amount = |b: u128| u32::try_from(b).unwrap_or(u32::MAX);
    check(OpCode::Int(IntOp::ShiftLeft), |size| size, |_, a, b| a.checked_shl(amount(b)).unwrap_or(0));
    let right = OpCode::Int(IntOp::ShiftRight(IntSign::Unsigned));
    check(right, |size| size, |_, a, b| a.checked_shr(amount(b)).unwrap_or(0));
    let right = OpCode::Int(IntOp::ShiftRight(IntSign::Signed));
    check(right, |size| size, |size, a, b| (signed(size, a) >> amount(b).min(127)).cast_unsigned());
}

#[test]
fn pieces_and_extensions_move_whole_bytes() {
    let mut choices = Seeded::new(8);
    for (size, wide) in [(1, 2), (2, 9), (4, 16), (8, 16), (9, 16), (8, 9)] {
        for _ in 0..40 {
            let mut terms = Terms::new();
            let a = random(&mut choices, size);
            let number = constant(&mut terms, size, a);
            let mut run = |code, inputs: &[Number], size| {
                let result = compute(&mut terms, code, inputs, size).expect("it is an operation of integers");
                value(&terms, &result)
            };
            let inputs = std::slice::from_ref(&number);
            assert_eq!(run(OpCode::Int(IntOp::Extension(IntSign::Unsigned)), inputs, wide), a);
            let extended = signed(size, a).cast_unsigned() & mask(wide);
            assert_eq!(run(OpCode::Int(IntOp::Extension(IntSign::Signed)), inputs, wide), extended);
            assert_eq!(run(OpCode::Popcount, inputs, 1), u128::from(a.count_ones()));
            let zeros = a.leading_zeros() - (128 - 8 * size);
            assert_eq!(run(OpCode::LzCount, inputs, 1), u128::from(zeros));
            assert_eq!(run(OpCode::Int(IntOp::Negate), inputs, size), a.wrapping_neg() & mask(size));
            assert_eq!(run(OpCode::Int(IntOp::Bitwise(BoolOp::Negate)), inputs, size), !a & mask(size));
        }
    }
    let mut terms = Terms::new();
    let (high, low) = (constant(&mut terms, 2, 0xabcd), constant(&mut terms, 9, 0x11_2233_4455_6677_8899));
    let joined =
        compute(&mut terms, OpCode::Piece, &[high, low], 11).expect("it is an operation of integers");
    assert_eq!(value(&terms, &joined), 0x00ab_cd11_2233_4455_6677_8899);
    let skip = constant(&mut terms, 4, 3);
    let part =
        compute(&mut terms, OpCode::Subpiece, &[joined, skip], 4).expect("it is an operation of integers");
    assert_eq!(value(&terms, &part), 0x3344_5566);
}

#[test]
fn products_of_16_bytes_and_quotients_that_fit_are_those_of_numbers() {
    let mut choices = Seeded::new(9);
    for _ in 0..200 {
        let mut terms = Terms::new();
        let (a, b) = (random(&mut choices, 16), random(&mut choices, 16));
        let inputs = [a, b].map(|input| constant(&mut terms, 16, input));
        let product =
            compute(&mut terms, OpCode::Int(IntOp::Multiply), &inputs, 16).expect("it is of integers");
        assert_eq!(value(&terms, &product), a.wrapping_mul(b), "{a:#x} by {b:#x}");

        let divisor = random(&mut choices, 8).max(1);
        let dividend = (random(&mut choices, 8) % divisor) << 64 | random(&mut choices, 8);
        let inputs = [dividend, divisor].map(|input| constant(&mut terms, 16, input));
        for (op, want) in [
            (IntOp::Divide(IntSign::Unsigned), dividend / divisor),
            (IntOp::Remainder(IntSign::Unsigned), dividend % divisor),
        ] {
            let result = compute(&mut terms, OpCode::Int(op), &inputs, 16).expect("it is of integers");
            assert_eq!(value(&terms, &result), want, "{op:?} of {dividend:#x} by {divisor:#x}");
        }

        let divisor = random(&mut choices, 8) as i64 | 1;
        let quotient = random(&mut choices, 8) as i64 / 2;
        let dividend = i128::from(quotient) * i128::from(divisor);
        let inputs = [dividend.cast_unsigned(), i128::from(divisor).cast_unsigned()];
        let inputs = inputs.map(|input| constant(&mut terms, 16, input));
        let op = OpCode::Int(IntOp::Divide(IntSign::Signed));
        let result = compute(&mut terms, op, &inputs, 16).expect("it is of integers");
        assert_eq!(value(&terms, &result) as u64 as i64, quotient, "{dividend:#x} by {divisor:#x}");
    }
}
