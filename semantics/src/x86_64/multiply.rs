// SPDX-License-Identifier: GPL-2.0-or-later
//! Multiplication and division (Intel SDM vol. 2: MUL, IMUL, MULX, DIV, IDIV).

use kop_ops::x86_64::{Gpr, Size};

use super::flags::{Flag, is_zero, top, undefine};
use super::insn::{Operand, Place};
use super::operand::{get, read, read_operand, set};
use super::{Machine, Value};
use crate::circuits::signed_high_product;
use crate::domain::Domain;

/// The low and the high half of a product. Up to 32 bits it is one product of twice the width.
fn product<D: Domain>(d: &mut D, width: u32, signed: bool, a: D::Value, b: D::Value) -> [D::Value; 2] {
    if width == 64 {
        let high = if signed { signed_high_product(d, 64, a, b) } else { d.umulh(64, a, b) };
        return [d.mul(64, a, b), high];
    }
    let wide = 2 * width;
    let [a, b] = [a, b].map(|factor| match signed {
        true => d.sign_extend(width, wide, factor),
        false => d.zero_extend(width, wide, factor),
    });
    let whole = d.mul(wide, a, b);
    [d.extract(wide, 0, width, whole), d.extract(wide, width, width, whole)]
}

/// Sets CF and OF to whether the product does not fit into its low half; the other status flags are undefined.
fn set_flags<M: Machine>(m: &mut M, width: u32, signed: bool, [low, high]: [Value<M>; 2]) {
    let d = m.domain();
    let extension = if signed {
        let distance = d.constant(width, u64::from(width) - 1);
        d.ashr(width, low, distance)
    } else {
        d.constant(width, 0)
    };
    let fits = d.eq(width, high, extension);
    let exceeds = d.not(1, fits);
    m.set_flag(Flag::Carry, exceeds);
    m.set_flag(Flag::Overflow, exceeds);
    undefine(m, &[Flag::Sign, Flag::Zero, Flag::Adjust, Flag::Parity]);
}

/// `mul` and `imul` of one operand: `rdx:rax = rax * src`, of bytes `ax = al * src`.
#[inline]
pub(super) fn multiply<M: Machine>(m: &mut M, signed: bool, size: Size, src: Place) -> Result<(), M::Stop> {
    let width = size.bits();
    let (a, b) = (get(m, size, Gpr::Rax), read(m, size, src)?);
    let product = product(m.domain(), width, signed, a, b);
    set_pair(m, size, product);
    set_flags(m, width, signed, product);
    Ok(())
}

/// Sets rax and rdx, or al and ah, to two halves.
fn set_pair<M: Machine>(m: &mut M, size: Size, [low, high]: [Value<M>; 2]) {
    if size == Size::B1 {
        let both = m.domain().concat(16, 8, high, low);
        set(m, Size::B2, Gpr::Rax, both);
    } else {
        set(m, size, Gpr::Rax, low);
        set(m, size, Gpr::Rdx, high);
    }
}

/// `imul dst, src` and `imul dst, src, imm`.
#[inline]
pub(super) fn multiply_into<M: Machine>(
    m: &mut M,
    size: Size,
    dst: Gpr,
    a: Place,
    b: Operand,
) -> Result<(), M::Stop> {
    let (a, b) = (read(m, size, a)?, read_operand(m, size, b)?);
    let low = m.domain().mul(size.bits(), a, b);
    let [_, high] = product(m.domain(), size.bits(), true, a, b);
    set(m, size, dst, low);
    set_flags(m, size.bits(), true, [low, high]);
    Ok(())
}

/// `mulx`: the product of rdx; where both destinations are one register, it holds the high half.
#[inline]
pub(super) fn multiply_wide<M: Machine>(
    m: &mut M,
    size: Size,
    high: Gpr,
    low: Gpr,
    src: Place,
) -> Result<(), M::Stop> {
    let (a, b) = (get(m, size, Gpr::Rdx), read(m, size, src)?);
    let halves = product(m.domain(), size.bits(), false, a, b);
    set(m, size, low, halves[0]);
    set(m, size, high, halves[1]);
    Ok(())
}

/// Quotient, remainder, and one bit: whether there is a division error.
struct Division<V> {
    quotient: V,
    remainder: V,
    error: V,
}

/// `div` and `idiv`: `rax = rdx:rax / src`, `rdx` the remainder, of bytes `al`, `ah` and `ax`. Whether it succeeded.
#[inline]
pub(super) fn divide<M: Machine>(m: &mut M, signed: bool, size: Size, src: Place) -> Result<bool, M::Stop> {
    let width = size.bits();
    let divisor = read(m, size, src)?;
    let dividend = dividend(m, size);
    let d = m.domain();
    let Division { quotient, remainder, error } = match signed {
        true => signed_division(d, width, dividend, divisor),
        false => division(d, width, dividend, divisor),
    };
    if m.decide(error)? {
        return Ok(false);
    }
    set_pair(m, size, [quotient, remainder]);
    undefine(m, &Flag::STATUS);
    Ok(true)
}

/// The low and the high half of what a division divides.
fn dividend<M: Machine>(m: &mut M, size: Size) -> [Value<M>; 2] {
    if size == Size::B1 {
        let both = get(m, Size::B2, Gpr::Rax);
        let d = m.domain();
        return [d.extract(16, 0, 8, both), d.extract(16, 8, 8, both)];
    }
    [get(m, size, Gpr::Rax), get(m, size, Gpr::Rdx)]
}

/// Division of unsigned numbers; the quotient does not fit exactly when the high half is not below the divisor. A high half
/// of zero, the usual case, leaves a division of the width.
fn division<D: Domain>(
    d: &mut D,
    width: u32,
    dividend: [D::Value; 2],
    divisor: D::Value,
) -> Division<D::Value> {
    let [low, high] = dividend;
    let narrow = is_zero(d, width, high);
    let fits = d.ult(width, high, divisor);
    let (quotient, remainder) = (d.udiv(width, low, divisor), d.urem(width, low, divisor));
    let (wide_quotient, wide_remainder) = wide_division(d, width, dividend, divisor);
    Division {
        quotient: d.ite(width, narrow, quotient, wide_quotient),
        remainder: d.ite(width, narrow, remainder, wide_remainder),
        error: d.not(1, fits),
    }
}

/// Division of a number of twice the width, whose high half is below the divisor.
fn wide_division<D: Domain>(
    d: &mut D,
    width: u32,
    [low, high]: [D::Value; 2],
    divisor: D::Value,
) -> (D::Value, D::Value) {
    if width == 64 {
        return long_division(d, width, [low, high], divisor);
    }
    let wide = 2 * width;
    let (dividend, divisor) = (d.concat(wide, width, high, low), d.zero_extend(width, wide, divisor));
    let (quotient, remainder) = (d.udiv(wide, dividend, divisor), d.urem(wide, dividend, divisor));
    (d.truncate(wide, width, quotient), d.truncate(wide, width, remainder))
}

/// Division by shifting and subtracting: before each step the rest is below the divisor, after doubling it below twice the
/// divisor, which may take one bit more than the width.
fn long_division<D: Domain>(
    d: &mut D,
    width: u32,
    [low, high]: [D::Value; 2],
    divisor: D::Value,
) -> (D::Value, D::Value) {
    let (mut rest, mut quotient) = (high, low);
    for _ in 0..width {
        let (out, next) = (top(d, width, rest), top(d, width, quotient));
        let kept = d.extract(width, 0, width - 1, rest);
        let doubled = d.concat(width, 1, kept, next);
        let less = d.ult(width, doubled, divisor);
        let enough = d.not(1, less);
        let subtract = d.or(1, out, enough);
        let reduced = d.sub(width, doubled, divisor);
        rest = d.ite(width, subtract, reduced, doubled);
        let kept = d.extract(width, 0, width - 1, quotient);
        quotient = d.concat(width, 1, kept, subtract);
    }
    (quotient, rest)
}

/// Division of signed numbers. Where the high half only extends the sign, the usual case, it is one of the width; otherwise
/// one of magnitudes.
fn signed_division<D: Domain>(
    d: &mut D,
    width: u32,
    [low, high]: [D::Value; 2],
    divisor: D::Value,
) -> Division<D::Value> {
    let distance = d.constant(width, u64::from(width) - 1);
    let extension = d.ashr(width, low, distance);
    let narrow = d.eq(width, high, extension);
    let (quotient, remainder) = (d.sdiv(width, low, divisor), d.srem(width, low, divisor));
    let error = narrow_signed_error(d, width, low, divisor);
    let wide = wide_signed_division(d, width, [low, high], divisor);
    Division {
        quotient: d.ite(width, narrow, quotient, wide.quotient),
        remainder: d.ite(width, narrow, remainder, wide.remainder),
        error: d.ite(1, narrow, error, wide.error),
    }
}

/// Division by zero, or of the minimum by -1.
fn narrow_signed_error<D: Domain>(d: &mut D, width: u32, a: D::Value, divisor: D::Value) -> D::Value {
    let (minimum, ones) = (d.constant(width, 1 << (width - 1)), d.constant(width, u64::MAX));
    let (lowest, minus_one) = (d.eq(width, a, minimum), d.eq(width, divisor, ones));
    let overflow = d.and(1, lowest, minus_one);
    let by_zero = is_zero(d, width, divisor);
    d.or(1, by_zero, overflow)
}

/// Magnitudes are divided; the quotient is negative where the signs differ, the remainder where the dividend is.
fn wide_signed_division<D: Domain>(
    d: &mut D,
    width: u32,
    [low, high]: [D::Value; 2],
    divisor: D::Value,
) -> Division<D::Value> {
    let (negative, by_negative) = (top(d, width, high), top(d, width, divisor));
    let signs_differ = d.xor(1, negative, by_negative);
    let magnitude = magnitude(d, width, [low, high]);
    let negated = d.neg(width, divisor);
    let divisor = d.ite(width, by_negative, negated, divisor);
    let fits = d.ult(width, magnitude[1], divisor);
    let (quotient, remainder) = wide_division(d, width, magnitude, divisor);
    // A magnitude of two to the width less one is one too much for a positive quotient.
    let (minimum, sign) = (d.constant(width, 1 << (width - 1)), d.zero_extend(1, width, signs_differ));
    let limit = d.add(width, minimum, sign);
    let in_range = d.ult(width, quotient, limit);
    let sound = d.and(1, fits, in_range);
    let negated = [quotient, remainder].map(|value| d.neg(width, value));
    Division {
        quotient: d.ite(width, signs_differ, negated[0], quotient),
        remainder: d.ite(width, negative, negated[1], remainder),
        error: d.not(1, sound),
    }
}

/// The magnitude of a signed number in halves.
fn magnitude<D: Domain>(d: &mut D, width: u32, [low, high]: [D::Value; 2]) -> [D::Value; 2] {
    let negative = top(d, width, high);
    let (low_negated, complement) = (d.neg(width, low), d.not(width, high));
    let carry = is_zero(d, width, low);
    let carry = d.zero_extend(1, width, carry);
    let high_negated = d.add(width, complement, carry);
    [d.ite(width, negative, low_negated, low), d.ite(width, negative, high_negated, high)]
}
