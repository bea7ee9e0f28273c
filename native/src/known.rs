// SPDX-License-Identifier: GPL-2.0-or-later
//! What is known of a value: numbers between two bounds, or addresses of the stack.

use kop_ops::ebpf::{AluOp, Width};
use kop_ops::program::{FRAME_SIZE, MAX_FRAMES};

/// The lowest address of the stack, from the program's r10.
pub(crate) const STACK_LOW: i32 = -((FRAME_SIZE as usize * MAX_FRAMES) as i32);

/// Unsigned numbers from `low` to `high`, all of them multiples of two to the power of `zeros`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// The least.
    pub low: u64,
    /// The greatest.
    pub high: u64,
    /// How many of the low bits are zero in all of them; 64 for zero alone.
    pub zeros: u32,
}

impl Range {
    /// Every number.
    pub const FULL: Range = Range { low: 0, high: u64::MAX, zeros: 0 };

    /// Every number of 32 bits.
    pub const WORD: Range = Range { low: 0, high: u32::MAX as u64, zeros: 0 };

    /// One number.
    pub const fn exactly(value: u64) -> Self {
        Range { low: value, high: value, zeros: value.trailing_zeros() }
    }

    /// The numbers between two.
    pub const fn between(low: u64, high: u64) -> Self {
        Range { low, high, zeros: 0 }
    }

    /// Every number of a width.
    pub const fn of(width: Width) -> Self {
        match width {
            Width::W32 => Range::WORD,
            Width::W64 => Range::FULL,
        }
    }

    /// The only number, where there is one.
    pub fn exact(self) -> Option<u64> {
        (self.low == self.high).then_some(self.low)
    }

    /// Whether every number fits into 32 bits.
    pub fn is_word(self) -> bool {
        self.high <= u64::from(u32::MAX)
    }

    /// The multiples among the numbers; `None` where there is none.
    pub fn tightened(self) -> Option<Self> {
        if self.low > self.high {
            return None;
        }
        if self.zeros >= 64 {
            return (self.low == 0).then_some(Range::exactly(0));
        }
        let mask = (1u64 << self.zeros) - 1;
        let low = self.low.checked_add(mask)? & !mask;
        let high = self.high & !mask;
        (low <= high).then(|| match low == high {
            true => Range::exactly(low),
            false => Range { low, high, zeros: self.zeros },
        })
    }

    fn with_zeros(self, zeros: u32) -> Self {
        Range { zeros, ..self }.tightened().unwrap_or(self)
    }

    /// Both ranges and what is between them.
    pub fn join(self, other: Self) -> Self {
        let zeros = self.zeros.min(other.zeros);
        Range { low: self.low.min(other.low), high: self.high.max(other.high), zeros }
    }

    /// What the low 32 bits are.
    pub fn word(self) -> Self {
        if self.is_word() {
            return self;
        }
        let (low, high) = (self.low as u32, self.high as u32);
        match self.low >> 32 == self.high >> 32 {
            true => Range { low: low.into(), high: high.into(), zeros: 0 }.with_zeros(self.zeros.min(32)),
            false => Range::WORD.with_zeros(self.zeros.min(31)),
        }
    }

    /// What `self op other` is, on operands of the width.
    pub fn alu(self, op: AluOp, width: Width, other: Self) -> Self {
        let full = Range::of(width);
        if let (Some(a), Some(b)) = (self.exact(), other.exact())
            && let Some(exact) = fold(op, width, a, b)
        {
            return Range::exactly(exact);
        }
        let fits = |range: Range| if range.high <= full.high { Some(range) } else { None };
        let least = self.zeros.min(other.zeros).min(width.bits() - 1);
        let wraps = full.with_zeros(least);
        match op {
            AluOp::Add => {
                let ends = self.low.checked_add(other.low).zip(self.high.checked_add(other.high));
                let sum = ends.and_then(|(low, high)| fits(Range::between(low, high)));
                sum.map_or(wraps, |range| range.with_zeros(least))
            }
            AluOp::Sub if self.low >= other.high => {
                Range::between(self.low - other.high, self.high - other.low).with_zeros(least)
            }
            AluOp::Sub => wraps,
            AluOp::Mul => {
                let high = self.high.checked_mul(other.high);
                let product = high.and_then(|high| fits(Range::between(self.low * other.low, high)));
                let zeros = (self.zeros + other.zeros).min(width.bits() - 1);
                product.unwrap_or(full).with_zeros(zeros)
            }
            AluOp::And => {
                let zeros = self.zeros.max(other.zeros).min(63);
                Range::between(0, self.high.min(other.high)).with_zeros(zeros)
            }
            AluOp::Or => {
                Range::between(self.low.max(other.low), ones(self.high | other.high)).with_zeros(least)
            }
            AluOp::Xor => Range::between(0, ones(self.high | other.high)).with_zeros(least),
            AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => self.shift(op, width, other),
            AluOp::Div => match other.exact() {
                Some(divisor) if divisor > 0 => Range::between(self.low / divisor, self.high / divisor),
                _ => Range::between(0, self.high),
            },
            AluOp::Mod => match other.exact() {
                Some(divisor) if divisor > 0 && self.high >= divisor => Range::between(0, divisor - 1),
                _ => Range::between(0, self.high),
            },
            AluOp::SDiv | AluOp::SMod => {
                let sign = 1u64 << (width.bits() - 1);
                match self.high < sign && other.high < sign {
                    true if op == AluOp::SDiv => self.alu(AluOp::Div, width, other),
                    true => self.alu(AluOp::Mod, width, other),
                    false => full,
                }
            }
            AluOp::Mov => other,
            AluOp::MovSx8 => other.sign_extended(8, full),
            AluOp::MovSx16 => other.sign_extended(16, full),
            AluOp::MovSx32 => other.sign_extended(32, full),
        }
    }

    fn sign_extended(self, bits: u32, full: Range) -> Self {
        if self.high < 1 << (bits - 1) { self } else { full }
    }

    fn shift(self, op: AluOp, width: Width, amount: Self) -> Self {
        let bits = width.bits();
        let full = Range::of(width);
        let Some(amount) = amount.exact().map(|amount| amount as u32 & (bits - 1)) else {
            let keeps = op == AluOp::Rsh || self.high < 1 << (bits - 1);
            return if op != AluOp::Lsh && keeps { Range::between(0, self.high) } else { full };
        };
        match op {
            AluOp::Lsh => {
                let fits = self.high.leading_zeros() + bits >= amount + 64;
                let zeros = (self.zeros + amount).min(bits - 1);
                let range = Range::between(self.low << amount, self.high << amount);
                if fits { range.with_zeros(zeros) } else { full.with_zeros(zeros) }
            }
            AluOp::Rsh => Range::between(self.low >> amount, self.high >> amount),
            _ if self.high < 1 << (bits - 1) => Range::between(self.low >> amount, self.high >> amount),
            _ => full,
        }
    }
}

/// All ones up to the highest bit of `value`.
fn ones(value: u64) -> u64 {
    u64::MAX.checked_shr(value.leading_zeros()).unwrap_or(0)
}

/// Arithmetic on two numbers.
fn fold(op: AluOp, width: Width, a: u64, b: u64) -> Option<u64> {
    let mask = match width {
        Width::W32 => u64::from(u32::MAX),
        Width::W64 => u64::MAX,
    };
    let amount = b as u32 & (width.bits() - 1);
    let result = match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::And => a & b,
        AluOp::Or => a | b,
        AluOp::Xor => a ^ b,
        AluOp::Lsh => a << amount,
        AluOp::Rsh => a >> amount,
        AluOp::Arsh if width == Width::W32 => ((a as i32) >> amount) as u32 as u64,
        AluOp::Arsh => ((a as i64) >> amount) as u64,
        AluOp::Mov => b,
        _ => return None,
    };
    Some(result & mask)
}

/// What is known of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// A number, or an address of anything but the stack.
    Number(Range),
    /// An address of the stack: the least and the greatest distance from the program's r10.
    Stack {
        /// The least.
        low: i32,
        /// The greatest.
        high: i32,
    },
    /// Anything: it may be an address of the stack.
    Any,
}

impl Known {
    /// Some number.
    pub const NUMBER: Known = Known::Number(Range::FULL);

    /// An address of the stack, nobody knows which.
    pub const STACK: Known = Known::Stack { low: STACK_LOW, high: 0 };

    /// An address that was computed from one of the stack, and may be outside of it where it is not used.
    pub const NEAR_STACK: Known = Known::Stack { low: -FAR, high: FAR };

    /// Either.
    pub fn join(self, other: Self) -> Self {
        match (self, other) {
            (Known::Number(a), Known::Number(b)) => Known::Number(a.join(b)),
            (Known::Stack { low, high }, Known::Stack { low: least, high: most }) => {
                Known::Stack { low: low.min(least), high: high.max(most) }
            }
            _ => Known::Any,
        }
    }

    /// The numbers that it may be; an address may be any.
    pub fn range(self) -> Range {
        match self {
            Known::Number(range) => range,
            _ => Range::FULL,
        }
    }

    /// What `self op other` is.
    pub fn alu(self, op: AluOp, width: Width, other: Self) -> Self {
        match (self, other, width) {
            (_, moved, Width::W64) if op == AluOp::Mov => moved,
            (Known::Number(a), Known::Number(b), Width::W64) => Known::Number(a.alu(op, width, b)),
            (Known::Number(a), Known::Number(b), Width::W32) => {
                Known::Number(a.word().alu(op, width, b.word()))
            }
            (Known::Stack { low, high }, Known::Number(by), Width::W64) if op == AluOp::Add => {
                moved(low, high, by)
            }
            (Known::Number(by), Known::Stack { low, high }, Width::W64) if op == AluOp::Add => {
                moved(low, high, by)
            }
            (Known::Stack { low, high }, Known::Number(by), Width::W64) if op == AluOp::Sub => {
                match by.exact() {
                    Some(by) => moved(low, high, Range::exactly(by.wrapping_neg())),
                    None => Known::NEAR_STACK,
                }
            }
            // The distance of two addresses is none.
            (Known::Stack { .. }, Known::Stack { .. }, Width::W64) if op == AluOp::Sub => Known::NUMBER,
            // A move replaces what was there, an address or not.
            (_, Known::Number(b), Width::W32) if op.is_move() => {
                Known::Number(b.word().alu(op, width, b.word()))
            }
            (_, Known::Number(b), _) if op.is_move() => Known::Number(b.alu(op, width, b)),
            _ => Known::Any,
        }
    }
}

/// Distances are followed no further than this. No access is there: a verifier accepts those to the stack alone.
const FAR: i32 = 1 << 20;

/// An address of the stack with a number added.
fn moved(low: i32, high: i32, by: Range) -> Known {
    let near = |value: u64| i32::try_from(value as i64).ok().filter(|by| by.unsigned_abs() <= 1 << 16);
    let same_sign = (by.low as i64) < 0 || (by.high as i64) >= 0;
    match (near(by.low), near(by.high)) {
        (Some(least), Some(most)) if same_sign => {
            let (low, high) = (low + least, high + most);
            if low < -FAR || high > FAR { Known::NEAR_STACK } else { Known::Stack { low, high } }
        }
        _ => Known::NEAR_STACK,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use kop_ops::choices::{Choices, Seeded};

    use super::*;

    /// A range of one of the shapes that occur, and a number of it.
    pub(crate) fn sample(choices: &mut Seeded) -> (Range, u64) {
        let zeros = if choices.one_in(2) { 0 } else { choices.below(6) as u32 };
        let bits = 1 + choices.below(64) as u32;
        let number = |choices: &mut Seeded| choices.bits() >> (64 - bits) >> zeros << zeros;
        let (one, other) = (number(choices), number(choices));
        let range = Range { low: one.min(other), high: one.max(other), zeros };
        let range = range.tightened().expect("its ends are multiples");
        let within =
            ((range.low + choices.bits() % (range.high - range.low).saturating_add(1)) >> zeros) << zeros;
        (range, within.max(range.low))
    }

    pub(crate) fn has(range: Range, value: u64) -> bool {
        let multiple = value == 0 || value.trailing_zeros() >= range.zeros;
        (range.low..=range.high).contains(&value) && multiple
    }

    /// RFC 9669 section 4.1.
    fn exact(op: AluOp, width: Width, a: u64, b: u64) -> u64 {
        let (a32, b32) = (a as u32, b as u32);
        let (s, t) = (a as i64, b as i64);
        let (s32, t32) = (a as i32, b as i32);
        let wide = width == Width::W64;
        let pick = |wide64: u64, word: u32| if wide { wide64 } else { word.into() };
        match op {
            AluOp::Add => pick(a.wrapping_add(b), a32.wrapping_add(b32)),
            AluOp::Sub => pick(a.wrapping_sub(b), a32.wrapping_sub(b32)),
            AluOp::Mul => pick(a.wrapping_mul(b), a32.wrapping_mul(b32)),
            AluOp::Div => pick(a.checked_div(b).unwrap_or(0), a32.checked_div(b32).unwrap_or(0)),
            AluOp::Mod => pick(a.checked_rem(b).unwrap_or(a), a32.checked_rem(b32).unwrap_or(a32)),
            AluOp::SDiv if b == 0 || !wide && b32 == 0 => 0,
            AluOp::SDiv => pick(s.wrapping_div(t) as u64, s32.wrapping_div(t32) as u32),
            AluOp::SMod if b == 0 || !wide && b32 == 0 => pick(a, a32),
            AluOp::SMod => pick(s.wrapping_rem(t) as u64, s32.wrapping_rem(t32) as u32),
            AluOp::Or => pick(a | b, a32 | b32),
            AluOp::And => pick(a & b, a32 & b32),
            AluOp::Xor => pick(a ^ b, a32 ^ b32),
            AluOp::Lsh => pick(a << (b & 63), a32 << (b & 31)),
            AluOp::Rsh => pick(a >> (b & 63), a32 >> (b & 31)),
            AluOp::Arsh => pick((s >> (b & 63)) as u64, (s32 >> (b & 31)) as u32),
            AluOp::Mov => pick(b, b32),
            AluOp::MovSx8 => pick(b as i8 as u64, b as i8 as u32),
            AluOp::MovSx16 => pick(b as i16 as u64, b as i16 as u32),
            AluOp::MovSx32 => b as i32 as u64,
        }
    }

    #[test]
    fn a_result_is_in_the_range_of_results() {
        let mut choices = Seeded::derived(0x0072_616e, &[1]);
        for round in 0..200_000 {
            let ((left, a), (right, b)) = (sample(&mut choices), sample(&mut choices));
            let (op, width) = (*choices.pick(&AluOp::ALL), *choices.pick(&Width::ALL));
            if op == AluOp::MovSx32 && width == Width::W32 {
                continue;
            }
            assert!(has(left, a) && has(right, b), "{left:x?} {a:x} {right:x?} {b:x}");
            let known = Known::Number(left).alu(op, width, Known::Number(right)).range();
            let value = exact(op, width, a, b);
            assert!(
                has(known, value),
                "{round}: {op:?} {width:?} {left:x?} {right:x?}: {a:x} {b:x} {value:x} {known:x?}"
            );
        }
    }

    #[test]
    fn bounds_are_as_close_as_they_can_be() {
        let range = |low, high| Range::between(low, high);
        let alu = |op, a: Range, b: u64| a.alu(op, Width::W64, Range::exactly(b));
        assert_eq!(alu(AluOp::And, Range::FULL, 0xf0), Range { low: 0, high: 0xf0, zeros: 4 });
        assert_eq!(alu(AluOp::Lsh, range(0, 31), 3), Range { low: 0, high: 248, zeros: 3 });
        assert_eq!(alu(AluOp::Add, range(1, 7), 8), range(9, 15));
        assert_eq!(alu(AluOp::Mod, Range::FULL, 10), range(0, 9));
        assert_eq!(range(3, 9).join(Range::exactly(12)), range(3, 12));
        let stack = Known::Stack { low: -40, high: -40 };
        let index = Known::Number(Range { low: 0, high: 24, zeros: 3 });
        assert_eq!(Known::NEAR_STACK.alu(AluOp::Add, Width::W64, index), Known::NEAR_STACK);
        assert_eq!(stack.alu(AluOp::Add, Width::W64, index), Known::Stack { low: -40, high: -16 });
        assert_eq!(stack.alu(AluOp::Add, Width::W64, Known::NUMBER), Known::NEAR_STACK);
    }
}
