// SPDX-License-Identifier: GPL-2.0-or-later
//! The values that instructions compute with: bit vectors of 1 to 64 bits, as an interface that integers and formulas
//! implement alike.
//!
//! Semantics are written against [`Domain`] and never look at a value: where Rust would branch on one, they use
//! [`Domain::ite`]. So the lines that an interpreter runs are the lines that a prover turns into formulas. The operations and
//! their corner cases are those of SMT-LIB's theory of bit vectors; every operation is total. Quantities of more than 64 bits
//! are kept in halves.

/// Bit vectors and the operations on them.
///
/// The width of the operands comes first, in bits, 1 to 64; it is the width of the result, too, unless said otherwise. A
/// caller passes operands that have this width; an implementation may rely on it.
pub trait Domain {
    /// A bit vector.
    type Value: Copy;

    /// The low `width` bits of `bits`.
    fn constant(&mut self, width: u32, bits: u64) -> Self::Value;

    /// The sum, modulo two to the width.
    fn add(&mut self, width: u32, a: Self::Value, b: Self::Value) -> Self::Value;
    /// The difference, modulo two to the width.
    fn sub(&mut self, width: u32, a: Self::Value, b: Self::Value) -> Self::Value;
    /// The low half of the product.
    fn mul(&mut self, width: u32, a: Self::Value, b: Self::Value) -> Self::Value;
    /// The high half of the product of unsigned numbers.
    fn umulh(&mut self, width: u32, a: Self::Value, b: Self::Value) -> Self::Value;
    /// The quotient of unsigned numbers; all ones when `b` is zero.
    fn udiv(&mut self, width: u32, a: Self::Value, b: Self::Value) -> Self::Value;
    /// The remainder of unsigned numbers; `a` when `b` is zero.
    fn urem(&mut self, width: u32, a: Self::Value, b: Self::Value) -> Self::Value;
    /// The quotient of signed numbers, rounded toward zero; the minimum divided by -1 is the minimum; 1 for a negative and -1
    /// for another `a` when `b` is zero.
    fn sdiv(&mut self, width: u32, a: Self::Value, b: Self::Value) -> Self::Value;
    /// The remainder of signed numbers, with the sign of `a`; `a` when `b` is zero.
    fn srem(&mut self, width: u32, a: Self::Value, b: Self::Value) -> Self::Value;

    /// Bitwise and.
    fn and(&mut self, width: u32, a: Self::Value, b: Self::Value) -> Self::Value;
    /// Bitwise or.
    fn or(&mut self, width: u32, a: Self::Value, b: Self::Value) -> Self::Value;
    /// Bitwise exclusive or.
    fn xor(&mut self, width: u32, a: Self::Value, b: Self::Value) -> Self::Value;

    /// `a` shifted left by the unsigned number `b`; zero when `b` is the width or more.
    fn shl(&mut self, width: u32, a: Self::Value, b: Self::Value) -> Self::Value;
    /// `a` shifted right by the unsigned number `b`, zeros coming in; zero when `b` is the width or more.
    fn lshr(&mut self, width: u32, a: Self::Value, b: Self::Value) -> Self::Value;
    /// `a` shifted right by the unsigned number `b`, copies of the sign coming in.
    fn ashr(&mut self, width: u32, a: Self::Value, b: Self::Value) -> Self::Value;

    /// `a` of `from` bits with zeros above, as `to` bits; `to` is at least `from`.
    fn zero_extend(&mut self, from: u32, to: u32, a: Self::Value) -> Self::Value;
    /// `a` of `from` bits with copies of its sign above, as `to` bits; `to` is at least `from`.
    fn sign_extend(&mut self, from: u32, to: u32, a: Self::Value) -> Self::Value;
    /// The `to` bits of `a` from bit `low` on; `low + to` is at most `from`, the width of `a`.
    fn extract(&mut self, from: u32, low: u32, to: u32, a: Self::Value) -> Self::Value;
    /// `high`, and below it `low` of `low_width` bits; together `width` bits.
    fn concat(&mut self, width: u32, low_width: u32, high: Self::Value, low: Self::Value) -> Self::Value;

    /// One bit: whether the operands are equal.
    fn eq(&mut self, width: u32, a: Self::Value, b: Self::Value) -> Self::Value;
    /// One bit: whether `a` is less than `b` as unsigned numbers.
    fn ult(&mut self, width: u32, a: Self::Value, b: Self::Value) -> Self::Value;
    /// One bit: whether `a` is less than `b` as signed numbers.
    fn slt(&mut self, width: u32, a: Self::Value, b: Self::Value) -> Self::Value;

    /// `a` where `condition`, of one bit, is 1, else `b`; both have `width` bits.
    fn ite(&mut self, width: u32, condition: Self::Value, a: Self::Value, b: Self::Value) -> Self::Value;

    /// The bitwise complement.
    #[inline]
    fn not(&mut self, width: u32, a: Self::Value) -> Self::Value {
        let ones = self.constant(width, u64::MAX);
        self.xor(width, a, ones)
    }

    /// Zero minus `a`.
    #[inline]
    fn neg(&mut self, width: u32, a: Self::Value) -> Self::Value {
        let zero = self.constant(width, 0);
        self.sub(width, zero, a)
    }

    /// The low `to` bits of `a`, of `from` bits.
    #[inline]
    fn truncate(&mut self, from: u32, to: u32, a: Self::Value) -> Self::Value {
        self.extract(from, 0, to, a)
    }

    /// The bytes in reverse order; the width is a multiple of eight.
    #[inline]
    fn swap_bytes(&mut self, width: u32, a: Self::Value) -> Self::Value {
        let mut swapped = self.extract(width, 0, 8, a);
        for low in (8..width).step_by(8) {
            let byte = self.extract(width, low, 8, a);
            swapped = self.concat(low + 8, 8, swapped, byte);
        }
        swapped
    }
}

/// The domain of numbers: a value of `width` bits is a `u64` below two to the width.
#[derive(Clone, Copy, Debug, Default)]
pub struct Integers;

/// The low `width` bits of `a`.
#[inline]
const fn low(width: u32, a: u64) -> u64 {
    a & (u64::MAX >> (64 - width))
}

/// `a` of `width` bits as a signed number.
#[inline]
const fn signed(width: u32, a: u64) -> i64 {
    let above = 64 - width;
    ((a << above) as i64) >> above
}

impl Domain for Integers {
    type Value = u64;

    #[inline]
    fn constant(&mut self, width: u32, bits: u64) -> u64 {
        low(width, bits)
    }

    #[inline]
    fn add(&mut self, width: u32, a: u64, b: u64) -> u64 {
        low(width, a.wrapping_add(b))
    }

    #[inline]
    fn sub(&mut self, width: u32, a: u64, b: u64) -> u64 {
        low(width, a.wrapping_sub(b))
    }

    #[inline]
    fn mul(&mut self, width: u32, a: u64, b: u64) -> u64 {
        low(width, a.wrapping_mul(b))
    }

    #[inline]
    fn umulh(&mut self, width: u32, a: u64, b: u64) -> u64 {
        ((u128::from(a) * u128::from(b)) >> width) as u64
    }

    #[inline]
    fn udiv(&mut self, width: u32, a: u64, b: u64) -> u64 {
        a.checked_div(b).unwrap_or(low(width, u64::MAX))
    }

    #[inline]
    fn urem(&mut self, _width: u32, a: u64, b: u64) -> u64 {
        a.checked_rem(b).unwrap_or(a)
    }

    #[inline]
    fn sdiv(&mut self, width: u32, a: u64, b: u64) -> u64 {
        let (a, b) = (signed(width, a), signed(width, b));
        let by_zero = if a < 0 { 1 } else { -1 };
        low(width, if b == 0 { by_zero } else { a.wrapping_div(b) } as u64)
    }

    #[inline]
    fn srem(&mut self, width: u32, a: u64, b: u64) -> u64 {
        let (a, b) = (signed(width, a), signed(width, b));
        low(width, if b == 0 { a } else { a.wrapping_rem(b) } as u64)
    }

    #[inline]
    fn and(&mut self, _width: u32, a: u64, b: u64) -> u64 {
        a & b
    }

    #[inline]
    fn or(&mut self, _width: u32, a: u64, b: u64) -> u64 {
        a | b
    }

    #[inline]
    fn xor(&mut self, _width: u32, a: u64, b: u64) -> u64 {
        a ^ b
    }

    #[inline]
    fn shl(&mut self, width: u32, a: u64, b: u64) -> u64 {
        if b < u64::from(width) { low(width, a << b) } else { 0 }
    }

    #[inline]
    fn lshr(&mut self, width: u32, a: u64, b: u64) -> u64 {
        if b < u64::from(width) { a >> b } else { 0 }
    }

    #[inline]
    fn ashr(&mut self, width: u32, a: u64, b: u64) -> u64 {
        low(width, (signed(width, a) >> b.min(u64::from(width) - 1)) as u64)
    }

    #[inline]
    fn zero_extend(&mut self, _from: u32, _to: u32, a: u64) -> u64 {
        a
    }

    #[inline]
    fn sign_extend(&mut self, from: u32, to: u32, a: u64) -> u64 {
        low(to, signed(from, a) as u64)
    }

    #[inline]
    fn extract(&mut self, _from: u32, low_bit: u32, to: u32, a: u64) -> u64 {
        low(to, a >> low_bit)
    }

    #[inline]
    fn concat(&mut self, _width: u32, low_width: u32, high: u64, low: u64) -> u64 {
        high << low_width | low
    }

    #[inline]
    fn eq(&mut self, _width: u32, a: u64, b: u64) -> u64 {
        u64::from(a == b)
    }

    #[inline]
    fn ult(&mut self, _width: u32, a: u64, b: u64) -> u64 {
        u64::from(a < b)
    }

    #[inline]
    fn slt(&mut self, width: u32, a: u64, b: u64) -> u64 {
        u64::from(signed(width, a) < signed(width, b))
    }

    #[inline]
    fn ite(&mut self, _width: u32, condition: u64, a: u64, b: u64) -> u64 {
        if condition != 0 { a } else { b }
    }

    #[inline]
    fn not(&mut self, width: u32, a: u64) -> u64 {
        low(width, !a)
    }

    #[inline]
    fn neg(&mut self, width: u32, a: u64) -> u64 {
        low(width, a.wrapping_neg())
    }

    #[inline]
    fn swap_bytes(&mut self, width: u32, a: u64) -> u64 {
        a.swap_bytes() >> (64 - width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The width is small enough that every pair of values is tried and i128 arithmetic says what is right.
    const WIDTHS: [u32; 5] = [1, 2, 3, 5, 6];

    fn each(mut check: impl FnMut(u32, u64, u64)) {
        for width in WIDTHS {
            for a in 0..1 << width {
                (0..1 << width).for_each(|b| check(width, a, b));
            }
        }
    }

    fn number(width: u32, a: u64) -> i128 {
        if a >> (width - 1) & 1 == 1 { i128::from(a) - (1 << width) } else { i128::from(a) }
    }

    fn wrapped(width: u32, a: i128) -> u64 {
        a.rem_euclid(1 << width) as u64
    }

    #[test]
    fn arithmetic_is_that_of_numbers_modulo_the_width() {
        let mut d = Integers;
        each(|w, a, b| {
            let (x, y) = (i128::from(a), i128::from(b));
            assert_eq!(d.add(w, a, b), wrapped(w, x + y));
            assert_eq!(d.sub(w, a, b), wrapped(w, x - y));
            assert_eq!(d.mul(w, a, b), wrapped(w, x * y));
            assert_eq!(d.umulh(w, a, b), wrapped(w, (x * y) >> w));
            assert_eq!(d.neg(w, a), wrapped(w, -x));
            assert_eq!(d.not(w, a), wrapped(w, -x - 1));
        });
    }

    #[test]
    fn division_is_that_of_smt_lib() {
        let mut d = Integers;
        each(|w, a, b| {
            let (x, y) = (number(w, a), number(w, b));
            let by_zero = if x < 0 { 1 } else { wrapped(w, -1) };
            let unsigned = (a.checked_div(b).unwrap_or(wrapped(w, -1)), a.checked_rem(b).unwrap_or(a));
            let signed = if b == 0 { (by_zero, a) } else { (wrapped(w, x / y), wrapped(w, x % y)) };
            assert_eq!((d.udiv(w, a, b), d.urem(w, a, b)), unsigned, "{a} by {b} at {w}");
            assert_eq!((d.sdiv(w, a, b), d.srem(w, a, b)), signed, "{x} by {y} at {w}");
        });
    }

    #[test]
    fn shifts_beyond_the_width_leave_zero_or_the_sign() {
        let mut d = Integers;
        each(|w, a, b| {
            let (x, y) = (i128::from(a), number(w, a));
            assert_eq!(d.shl(w, a, b), wrapped(w, x << b));
            assert_eq!(d.lshr(w, a, b), wrapped(w, x >> b));
            assert_eq!(d.ashr(w, a, b), wrapped(w, y >> b));
        });
        assert_eq!((d.shl(64, 1, 64), d.lshr(64, 1, u64::MAX)), (0, 0));
        assert_eq!(d.ashr(64, 1 << 63, u64::MAX), u64::MAX);
    }

    #[test]
    fn comparisons_are_those_of_numbers() {
        let mut d = Integers;
        each(|w, a, b| {
            assert_eq!(d.eq(w, a, b), u64::from(a == b));
            assert_eq!(d.ult(w, a, b), u64::from(a < b));
            assert_eq!(d.slt(w, a, b), u64::from(number(w, a) < number(w, b)));
            assert_eq!((d.ite(w, 1, a, b), d.ite(w, 0, a, b)), (a, b));
        });
    }

    #[test]
    fn widths_change_without_losing_the_number() {
        let mut d = Integers;
        each(|w, a, b| {
            assert_eq!(d.zero_extend(w, 64, a), a);
            assert_eq!(d.sign_extend(w, 64, a), number(w, a) as u64);
            assert_eq!(d.sign_extend(w, w + 1, a), wrapped(w + 1, number(w, a)));
            let both = d.concat(2 * w, w, a, b);
            assert_eq!((d.extract(2 * w, w, w, both), d.truncate(2 * w, w, both)), (a, b));
        });
        assert_eq!(d.sign_extend(32, 64, 0x8000_0000), 0xffff_ffff_8000_0000);
    }

    /// The swap by parts, which formulas use, is the swap of integers.
    #[test]
    fn bytes_are_swapped_at_every_width() {
        let value = 0x0102_0304_0506_0708;
        for (width, swapped) in [(8, 8), (16, 0x0807), (32, 0x0807_0605), (64, 0x0807_0605_0403_0201)] {
            let a = low(width, value);
            assert_eq!(Integers.swap_bytes(width, a), swapped);
            let mut d = Integers;
            let mut parts = d.extract(width, 0, 8, a);
            for low in (8..width).step_by(8) {
                let byte = d.extract(width, low, 8, a);
                parts = d.concat(low + 8, 8, parts, byte);
            }
            assert_eq!(parts, swapped, "the parts that formulas are built from");
        }
    }

    #[test]
    fn the_full_width_has_no_special_cases() {
        let mut d = Integers;
        let minimum = 1 << 63;
        assert_eq!(d.add(64, u64::MAX, 1), 0);
        assert_eq!(d.umulh(64, u64::MAX, u64::MAX), u64::MAX - 1);
        assert_eq!((d.sdiv(64, minimum, u64::MAX), d.srem(64, minimum, u64::MAX)), (minimum, 0));
        assert_eq!((d.neg(64, minimum), d.not(64, 0)), (minimum, u64::MAX));
        assert_eq!(d.slt(64, minimum, 0), 1);
    }
}
