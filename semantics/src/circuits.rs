// SPDX-License-Identifier: GPL-2.0-or-later
//! Operations that more than one architecture has an instruction for and that no [`Domain`] has: counts of bits, the
//! carry-less product, the step of CRC-32C, bits chosen by a mask, and the high half of a signed product.

use crate::domain::Domain;

/// The number of ones in `a`, as `width` bits; the width is 8, 16, 32 or 64. The sum by halves (Warren, Hacker's Delight,
/// 5-1).
pub fn ones<D: Domain>(d: &mut D, width: u32, a: D::Value) -> D::Value {
    let mut sums = a;
    for (stage, mask) in
        [0x5555_5555_5555_5555, 0x3333_3333_3333_3333, 0x0f0f_0f0f_0f0f_0f0f, 0x00ff_00ff_00ff_00ff]
            .into_iter()
            .chain([0x0000_ffff_0000_ffff, 0x0000_0000_ffff_ffff])
            .enumerate()
            .take_while(|(stage, _)| 1 << stage < width)
    {
        let mask = d.constant(width, mask);
        let distance = d.constant(width, 1 << stage);
        let even = d.and(width, sums, mask);
        let odd = d.lshr(width, sums, distance);
        let odd = d.and(width, odd, mask);
        sums = d.add(width, even, odd);
    }
    sums
}

/// The number of zeros above the highest one of `a`, as `width` bits; the width where there is none. The width is a power of
/// two.
pub fn leading_zeros<D: Domain>(d: &mut D, width: u32, a: D::Value) -> D::Value {
    let zero = d.constant(width, 0);
    let (mut rest, mut count) = (a, zero);
    let mut step = width / 2;
    while step > 0 {
        let top = d.extract(width, width - step, step, rest);
        let none = d.constant(step, 0);
        let empty = d.eq(step, top, none);
        let distance = d.constant(width, u64::from(step));
        let moved = d.shl(width, rest, distance);
        let more = d.add(width, count, distance);
        rest = d.ite(width, empty, moved, rest);
        count = d.ite(width, empty, more, count);
        step /= 2;
    }
    all_zero_or(d, width, a, count)
}

/// The number of zeros below the lowest one of `a`, as `width` bits; the width where there is none. The width is a power of
/// two.
pub fn trailing_zeros<D: Domain>(d: &mut D, width: u32, a: D::Value) -> D::Value {
    let zero = d.constant(width, 0);
    let (mut rest, mut count) = (a, zero);
    let mut step = width / 2;
    while step > 0 {
        let bottom = d.extract(width, 0, step, rest);
        let none = d.constant(step, 0);
        let empty = d.eq(step, bottom, none);
        let distance = d.constant(width, u64::from(step));
        let moved = d.lshr(width, rest, distance);
        let more = d.add(width, count, distance);
        rest = d.ite(width, empty, moved, rest);
        count = d.ite(width, empty, more, count);
        step /= 2;
    }
    all_zero_or(d, width, a, count)
}

/// The width where `a` is zero, else `count`.
fn all_zero_or<D: Domain>(d: &mut D, width: u32, a: D::Value, count: D::Value) -> D::Value {
    let zero = d.constant(width, 0);
    let all = d.constant(width, u64::from(width));
    let empty = d.eq(width, a, zero);
    d.ite(width, empty, all, count)
}

/// The product of polynomials over GF(2), low and high half: for each one in `b`, `a` shifted by its place, added without
/// carries.
pub fn carryless_product<D: Domain>(d: &mut D, width: u32, a: D::Value, b: D::Value) -> [D::Value; 2] {
    let zero = d.constant(width, 0);
    let (mut low, mut high) = (zero, zero);
    for place in 0..width {
        let bit = d.extract(width, place, 1, b);
        let chosen = d.ite(width, bit, a, zero);
        let up = d.constant(width, u64::from(place));
        let down = d.constant(width, u64::from(width - place));
        let below = d.shl(width, chosen, up);
        let above = d.lshr(width, chosen, down);
        low = d.xor(width, low, below);
        high = d.xor(width, high, above);
    }
    [low, high]
}

/// The generator of CRC-32C, 11EDC6F41H, with its bits reversed and without the highest.
const CASTAGNOLI: u64 = 0x82f6_3b78;
/// The generator of CRC-32, 104C11DB7H, likewise.
const IEEE_802_3: u64 = 0xedb8_8320;

/// A generator polynomial of a reflected 32-bit CRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Crc {
    /// CRC-32, of Ethernet and zlib.
    Crc32,
    /// CRC-32C, Castagnoli's.
    Crc32c,
}

/// The checksum `crc`, of 32 bits, after the bytes of `data`, of `width` bits, the lowest first; bits are reflected, nothing
/// is inverted.
pub fn crc<D: Domain>(d: &mut D, generator: Crc, crc: D::Value, width: u32, data: D::Value) -> D::Value {
    let generator = match generator {
        Crc::Crc32 => IEEE_802_3,
        Crc::Crc32c => CASTAGNOLI,
    };
    let generator = d.constant(32, generator);
    let zero = d.constant(32, 0);
    let one = d.constant(32, 1);
    let mut rest = crc;
    for low in (0..width).step_by(8) {
        let byte = d.extract(width, low, 8, data);
        let byte = d.zero_extend(8, 32, byte);
        rest = d.xor(32, rest, byte);
        for _ in 0..8 {
            let bit = d.extract(32, 0, 1, rest);
            let reduction = d.ite(32, bit, generator, zero);
            let shifted = d.lshr(32, rest, one);
            rest = d.xor(32, shifted, reduction);
        }
    }
    rest
}

/// The low bits of `value` where `mask` has ones, in order, zeros elsewhere; the width is a power of two, 8 to 64.
pub fn spread<D: Domain>(d: &mut D, width: u32, value: D::Value, mask: D::Value) -> D::Value {
    let stages = stages(d, width, mask);
    let mut spread = value;
    for stage in (0..width.trailing_zeros()).rev() {
        let moved = stages[stage as usize];
        let distance = d.constant(width, 1 << stage);
        let up = d.shl(width, spread, distance);
        let stay = d.not(width, moved);
        let (coming, staying) = (d.and(width, up, moved), d.and(width, spread, stay));
        spread = d.or(width, coming, staying);
    }
    d.and(width, spread, mask)
}

/// The bits of `value` where `mask` has ones, put together at the low end; the width is a power of two, 8 to 64.
pub fn gather<D: Domain>(d: &mut D, width: u32, value: D::Value, mask: D::Value) -> D::Value {
    let stages = stages(d, width, mask);
    let mut packed = d.and(width, value, mask);
    for stage in 0..width.trailing_zeros() {
        let moving = d.and(width, packed, stages[stage as usize]);
        let staying = d.xor(width, packed, moving);
        let distance = d.constant(width, 1 << stage);
        let down = d.lshr(width, moving, distance);
        packed = d.or(width, staying, down);
    }
    packed
}

/// Which bits move down by 1, by 2, by 4 and so on to put those together where `mask` has ones (Warren, Hacker's Delight,
/// 7-4): a bit moves as far as there are zeros below it, and the prefix parities of the zeros are the digits of that number.
fn stages<D: Domain>(d: &mut D, width: u32, mask: D::Value) -> [D::Value; 6] {
    let one = d.constant(width, 1);
    let zeros = d.not(width, mask);
    let mut below = d.shl(width, zeros, one);
    let (mut mask, mut stages) = (mask, [mask; 6]);
    for stage in 0..width.trailing_zeros() {
        let odd = prefix_parity(d, width, below);
        let moving = d.and(width, odd, mask);
        let staying = d.xor(width, mask, moving);
        let distance = d.constant(width, 1 << stage);
        let down = d.lshr(width, moving, distance);
        mask = d.or(width, staying, down);
        let even = d.not(width, odd);
        below = d.and(width, below, even);
        stages[stage as usize] = moving;
    }
    stages
}

/// Each bit the parity of the bits of `a` up to it.
fn prefix_parity<D: Domain>(d: &mut D, width: u32, a: D::Value) -> D::Value {
    let mut parity = a;
    for stage in 0..width.trailing_zeros() {
        let distance = d.constant(width, 1 << stage);
        let shifted = d.shl(width, parity, distance);
        parity = d.xor(width, parity, shifted);
    }
    parity
}

/// The high half of the product of signed numbers: the unsigned one, less each factor where the other is negative.
pub fn signed_high_product<D: Domain>(d: &mut D, width: u32, a: D::Value, b: D::Value) -> D::Value {
    let zero = d.constant(width, 0);
    let mut high = d.umulh(width, a, b);
    for (one, other) in [(a, b), (b, a)] {
        let negative = d.extract(width, width - 1, 1, one);
        let less = d.ite(width, negative, other, zero);
        high = d.sub(width, high, less);
    }
    high
}

#[cfg(test)]
mod tests {
    use kop_ops::choices::{Choices, Seeded};

    use super::*;
    use crate::domain::Integers;

    fn low(width: u32, value: u64) -> u64 {
        value & (u64::MAX >> (64 - width))
    }

    /// Numbers with long and short runs of zeros at both ends.
    fn numbers(choices: &mut Seeded, width: u32) -> u64 {
        let bits = choices.bits() >> choices.below(64) << choices.below(64);
        low(width, if choices.one_in(20) { 0 } else { bits })
    }

    #[test]
    fn counts_are_those_of_the_standard_library() {
        let (mut choices, mut d) = (Seeded::new(1), Integers);
        for width in [8, 16, 32, 64] {
            for _ in 0..1000 {
                let a = numbers(&mut choices, width);
                let above = 64 - width;
                assert_eq!(ones(&mut d, width, a), u64::from(a.count_ones()));
                assert_eq!(leading_zeros(&mut d, width, a), u64::from(a.leading_zeros() - above));
                assert_eq!(trailing_zeros(&mut d, width, a), u64::from(a.trailing_zeros().min(width)));
            }
        }
    }

    #[test]
    fn signed_products_are_those_of_wider_numbers() {
        let (mut choices, mut d) = (Seeded::new(2), Integers);
        for width in [32, 64] {
            for _ in 0..1000 {
                let (a, b) = (numbers(&mut choices, width), numbers(&mut choices, width));
                let [x, y] = [a, b].map(|a| i128::from(d.sign_extend(width, 64, a) as i64));
                let high = low(width, ((x * y) >> width) as u64);
                assert_eq!(signed_high_product(&mut d, width, a, b), high, "{x} * {y}");
            }
        }
    }

    #[test]
    fn bits_go_where_the_mask_has_ones_and_come_back() {
        let (mut choices, mut d) = (Seeded::new(3), Integers);
        for width in [8, 16, 32, 64] {
            for _ in 0..1000 {
                let (value, mask) = (numbers(&mut choices, width), numbers(&mut choices, width));
                let places = (0..width).filter(|place| mask >> place & 1 == 1);
                let (mut packed, mut there) = (0, 0);
                for (bit, place) in places.enumerate() {
                    packed |= (value >> place & 1) << bit;
                    there |= (value >> bit & 1) << place;
                }
                assert_eq!(gather(&mut d, width, value, mask), packed, "{value:#x} {mask:#x}");
                assert_eq!(spread(&mut d, width, value, mask), there, "{value:#x} {mask:#x}");
            }
        }
    }

    #[test]
    fn carryless_products_know_binomials() {
        let mut d = Integers;
        // (x + 1)^2 is x^2 + 1; the highest powers multiply to x^126; shifting is multiplying by a power.
        assert_eq!(carryless_product(&mut d, 64, 3, 3), [5, 0]);
        assert_eq!(carryless_product(&mut d, 64, 1 << 63, 1 << 63), [0, 1 << 62]);
        assert_eq!(carryless_product(&mut d, 8, 0xb5, 0x10), [0x50, 0x0b]);
        // The example of Intel's white paper on PCLMULQDQ (Gueron and Kounavis), low and high quadwords.
        let (a, b) =
            ([0x6374_6f72_5d53_475d, 0x7b5b_5465_7374_5665], [0x5b47_7565_726f_6e5d, 0x4869_2853_6861_7929]);
        assert_eq!(carryless_product(&mut d, 64, a[0], b[0]), [0x9296_33d5_d36f_0451, 0x1d4d_84c8_5c34_40c0]);
        assert_eq!(carryless_product(&mut d, 64, a[1], b[1]), [0xd66e_e03e_410f_d4ed, 0x1d1e_1f2c_592e_7c45]);
    }

    #[test]
    fn checksums_of_the_nine_digits_are_the_catalogued_ones() {
        let mut d = Integers;
        let checksum = |d: &mut Integers, generator| {
            let digits = b"123456789".iter();
            low(32, !digits.fold(0xffff_ffff, |sum, &byte| crc(d, generator, sum, 8, byte.into())))
        };
        assert_eq!(checksum(&mut d, Crc::Crc32), 0xcbf4_3926);
        assert_eq!(checksum(&mut d, Crc::Crc32c), 0xe306_9283);
        let bytes = [0x31_u64, 0x32, 0x33, 0x34];
        let one_by_one = bytes.iter().fold(7, |sum, &byte| crc(&mut d, Crc::Crc32c, sum, 8, byte));
        assert_eq!(crc(&mut d, Crc::Crc32c, 7, 32, 0x3433_3231), one_by_one);
    }
}
