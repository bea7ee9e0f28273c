// SPDX-License-Identifier: GPL-2.0-or-later
//! The flags: what they are, conditions over them (Intel SDM vol. 1, appendix B), and how results set them.

use kop_ops::x86_64::Cond;

use super::{Machine, Value};
use crate::domain::Domain;

/// A bit of RFLAGS (Intel SDM vol. 1, section 3.4.3) that instructions read or change. The value is its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Flag {
    /// CF: a carry or borrow out of the highest bit.
    Carry = 0,
    /// PF: an even number of ones in the low byte.
    Parity = 2,
    /// AF: a carry or borrow out of bit 3.
    Adjust = 4,
    /// ZF: a result of zero.
    Zero = 6,
    /// SF: the highest bit of the result.
    Sign = 7,
    /// TF: single steps.
    Trap = 8,
    /// IF: interrupts are let through.
    Interrupt = 9,
    /// DF: strings go downwards.
    Direction = 10,
    /// OF: a signed result out of range.
    Overflow = 11,
    /// The low bit of IOPL.
    IoLow = 12,
    /// The high bit of IOPL.
    IoHigh = 13,
    /// NT: a nested task.
    Nested = 14,
    /// AC: unaligned accesses are checked.
    Alignment = 18,
    /// ID: CPUID may be used.
    Identification = 21,
}

impl Flag {
    /// All of them, the lowest first.
    pub const ALL: [Flag; 14] = [
        Flag::Carry,
        Flag::Parity,
        Flag::Adjust,
        Flag::Zero,
        Flag::Sign,
        Flag::Trap,
        Flag::Interrupt,
        Flag::Direction,
        Flag::Overflow,
        Flag::IoLow,
        Flag::IoHigh,
        Flag::Nested,
        Flag::Alignment,
        Flag::Identification,
    ];

    /// The flags that arithmetic sets.
    pub const STATUS: [Flag; 6] =
        [Flag::Carry, Flag::Parity, Flag::Adjust, Flag::Zero, Flag::Sign, Flag::Overflow];

    /// Its position in RFLAGS, 0 to 21.
    pub const fn position(self) -> u32 {
        self as u32
    }
}

/// One bit: whether a condition holds.
#[inline]
pub(super) fn holds<M: Machine>(m: &mut M, cond: Cond) -> Value<M> {
    let direct = match cond {
        Cond::O | Cond::No => m.flag(Flag::Overflow),
        Cond::B | Cond::Ae => m.flag(Flag::Carry),
        Cond::E | Cond::Ne => m.flag(Flag::Zero),
        Cond::Be | Cond::A => {
            let (carry, zero) = (m.flag(Flag::Carry), m.flag(Flag::Zero));
            m.domain().or(1, carry, zero)
        }
        Cond::S | Cond::Ns => m.flag(Flag::Sign),
        Cond::P | Cond::Np => m.flag(Flag::Parity),
        Cond::L | Cond::Ge => less(m),
        Cond::Le | Cond::G => {
            let (less, zero) = (less(m), m.flag(Flag::Zero));
            m.domain().or(1, less, zero)
        }
    };
    // The negation of a condition has the next code.
    if cond.code() % 2 == 1 { m.domain().not(1, direct) } else { direct }
}

/// SF differs from OF.
#[inline]
fn less<M: Machine>(m: &mut M) -> Value<M> {
    let (sign, overflow) = (m.flag(Flag::Sign), m.flag(Flag::Overflow));
    m.domain().xor(1, sign, overflow)
}

/// The highest bit of `a`.
#[inline]
pub(super) fn top<D: Domain>(d: &mut D, width: u32, a: D::Value) -> D::Value {
    d.extract(width, width - 1, 1, a)
}

/// One bit: whether `a` is zero.
#[inline]
pub(super) fn is_zero<D: Domain>(d: &mut D, width: u32, a: D::Value) -> D::Value {
    let zero = d.constant(width, 0);
    d.eq(width, a, zero)
}

/// One bit: whether the low byte of `a` has an even number of ones.
#[inline]
pub(super) fn parity<D: Domain>(d: &mut D, width: u32, a: D::Value) -> D::Value {
    let mut folded = d.extract(width, 0, 8, a);
    for distance in [4, 2, 1] {
        let distance = d.constant(8, distance);
        let shifted = d.lshr(8, folded, distance);
        folded = d.xor(8, folded, shifted);
    }
    let odd = d.extract(8, 0, 1, folded);
    d.not(1, odd)
}

/// Sets SF, ZF and PF by a result.
#[inline]
pub(super) fn set_by_result<M: Machine>(m: &mut M, width: u32, result: Value<M>) {
    let sign = top(m.domain(), width, result);
    let zero = is_zero(m.domain(), width, result);
    let even = parity(m.domain(), width, result);
    m.set_flag(Flag::Sign, sign);
    m.set_flag(Flag::Zero, zero);
    m.set_flag(Flag::Parity, even);
}

/// Sets a flag to a constant.
#[inline]
pub(super) fn set_to<M: Machine>(m: &mut M, flag: Flag, bit: bool) {
    let value = m.domain().constant(1, bit.into());
    m.set_flag(flag, value);
}

/// Leaves flags undefined.
#[inline]
pub(super) fn undefine<M: Machine>(m: &mut M, flags: &[Flag]) {
    for &flag in flags {
        let value = m.undefined(1);
        m.set_flag(flag, value);
    }
}
