// SPDX-License-Identifier: GPL-2.0-or-later
//! Counts, bit fields and CRC-32C: BMI1, POPCNT, LZCNT, BZHI, CRC32 (Intel SDM vol. 2, under each mnemonic).

use kop_ops::x86_64::{Gpr, Size};

use super::flags::{Flag, is_zero, set_to, top, undefine};
use super::insn::Place;
use super::operand::{get, read, set};
use super::{Machine, Value};
use crate::circuits::{self, Crc};
use crate::domain::Domain;

/// Counts and searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a mnemonic says it all")]
pub enum CountOp {
    Bsf,
    Bsr,
    Popcnt,
    Tzcnt,
    Lzcnt,
}

/// Operations that a register controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a mnemonic says it all")]
pub enum ControlOp {
    Bextr,
    Bzhi,
}

/// Operations on the lowest set bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a mnemonic says it all")]
pub enum LowestOp {
    Blsi,
    Blsmsk,
    Blsr,
}

/// `bsf`, `bsr`, `popcnt`, `tzcnt`, `lzcnt`.
#[inline]
pub(super) fn count<M: Machine>(
    m: &mut M,
    op: CountOp,
    size: Size,
    dst: Gpr,
    src: Place,
) -> Result<(), M::Stop> {
    let width = size.bits();
    let a = read(m, size, src)?;
    if matches!(op, CountOp::Bsf | CountOp::Bsr) {
        search(m, op, size, dst, a);
        return Ok(());
    }
    let d = m.domain();
    let count = match op {
        CountOp::Popcnt => circuits::ones(d, width, a),
        CountOp::Tzcnt => circuits::trailing_zeros(d, width, a),
        _ => circuits::leading_zeros(d, width, a),
    };
    let (empty, none) = (is_zero(d, width, a), is_zero(d, width, count));
    set(m, size, dst, count);
    if op == CountOp::Popcnt {
        for flag in Flag::STATUS {
            set_to(m, flag, false);
        }
        m.set_flag(Flag::Zero, empty);
    } else {
        m.set_flag(Flag::Carry, empty);
        m.set_flag(Flag::Zero, none);
        undefine(m, &[Flag::Overflow, Flag::Sign, Flag::Parity, Flag::Adjust]);
    }
    Ok(())
}

/// `bsf` and `bsr`: of zero, the destination is undefined.
fn search<M: Machine>(m: &mut M, op: CountOp, size: Size, dst: Gpr, a: Value<M>) {
    let width = size.bits();
    let d = m.domain();
    let index = if op == CountOp::Bsf {
        circuits::trailing_zeros(d, width, a)
    } else {
        let (zeros, highest) =
            (circuits::leading_zeros(d, width, a), d.constant(width, u64::from(width) - 1));
        d.sub(width, highest, zeros)
    };
    let empty = is_zero(d, width, a);
    set(m, size, dst, index);
    // Four bytes may leave the upper half as it was, or not.
    let (found, narrow) = (m.get(dst), size == Size::B2);
    let any = m.undefined(if narrow { 16 } else { 64 });
    let undefined = if narrow {
        let d = m.domain();
        let above = d.extract(64, 16, 48, found);
        d.concat(64, 16, above, any)
    } else {
        any
    };
    let value = m.domain().ite(64, empty, undefined, found);
    m.set(dst, value);
    m.set_flag(Flag::Zero, empty);
    undefine(m, &[Flag::Carry, Flag::Overflow, Flag::Sign, Flag::Adjust, Flag::Parity]);
}

/// Sets ZF and SF by a result, clears OF, sets CF; AF and PF are undefined.
fn set_flags<M: Machine>(m: &mut M, width: u32, result: Value<M>, carry: Value<M>) {
    let d = m.domain();
    let (zero, sign) = (is_zero(d, width, result), top(d, width, result));
    m.set_flag(Flag::Zero, zero);
    m.set_flag(Flag::Sign, sign);
    m.set_flag(Flag::Carry, carry);
    set_to(m, Flag::Overflow, false);
    undefine(m, &[Flag::Adjust, Flag::Parity]);
}

/// `andn`.
#[inline]
pub(super) fn and_not<M: Machine>(
    m: &mut M,
    size: Size,
    dst: Gpr,
    inverted: Gpr,
    src: Place,
) -> Result<(), M::Stop> {
    let width = size.bits();
    let (a, b) = (get(m, size, inverted), read(m, size, src)?);
    let d = m.domain();
    let complement = d.not(width, a);
    let result = d.and(width, complement, b);
    let carry = d.constant(1, 0);
    set(m, size, dst, result);
    set_flags(m, width, result, carry);
    Ok(())
}

/// `bextr` and `bzhi`.
#[inline]
pub(super) fn control<M: Machine>(
    m: &mut M,
    op: ControlOp,
    size: Size,
    dst: Gpr,
    src: Place,
    control: Gpr,
) -> Result<(), M::Stop> {
    let width = size.bits();
    let (a, control) = (read(m, size, src)?, get(m, size, control));
    let d = m.domain();
    let byte = |d: &mut M::Domain, low| {
        let byte = d.extract(width, low, 8, control);
        d.zero_extend(8, width, byte)
    };
    let low = byte(d, 0);
    if op == ControlOp::Bzhi {
        let highest = d.constant(width, u64::from(width) - 1);
        let beyond = d.ult(width, highest, low);
        let result = low_bits(d, width, a, low);
        set(m, size, dst, result);
        set_flags(m, width, result, beyond);
        return Ok(());
    }
    let length = byte(d, 8);
    let shifted = d.lshr(width, a, low);
    let result = low_bits(d, width, shifted, length);
    let (zero, carry) = (is_zero(d, width, result), d.constant(1, 0));
    set(m, size, dst, result);
    m.set_flag(Flag::Zero, zero);
    m.set_flag(Flag::Carry, carry);
    set_to(m, Flag::Overflow, false);
    undefine(m, &[Flag::Adjust, Flag::Sign, Flag::Parity]);
    Ok(())
}

/// The low `count` bits of `a`, all of them where the count is the width or more.
fn low_bits<D: Domain>(d: &mut D, width: u32, a: D::Value, count: D::Value) -> D::Value {
    let ones = d.constant(width, u64::MAX);
    let above = d.shl(width, ones, count);
    let mask = d.not(width, above);
    d.and(width, a, mask)
}

/// `blsi`, `blsmsk`, `blsr`.
#[inline]
pub(super) fn lowest<M: Machine>(
    m: &mut M,
    op: LowestOp,
    size: Size,
    dst: Gpr,
    src: Place,
) -> Result<(), M::Stop> {
    let width = size.bits();
    let a = read(m, size, src)?;
    let d = m.domain();
    let one = d.constant(width, 1);
    let empty = is_zero(d, width, a);
    let less_one = d.sub(width, a, one);
    let (result, carry) = match op {
        LowestOp::Blsi => {
            let negated = d.neg(width, a);
            (d.and(width, a, negated), d.not(1, empty))
        }
        LowestOp::Blsmsk => (d.xor(width, a, less_one), empty),
        LowestOp::Blsr => (d.and(width, a, less_one), empty),
    };
    set(m, size, dst, result);
    set_flags(m, width, result, carry);
    if op == LowestOp::Blsmsk {
        // The manual clears it; the mask has the lowest bit at least.
        set_to(m, Flag::Zero, false);
    }
    Ok(())
}

/// `crc32`: the step of CRC-32C; the destination is zero-extended to 64 bits.
#[inline]
pub(super) fn crc32<M: Machine>(m: &mut M, size: Size, dst: Gpr, src: Place) -> Result<(), M::Stop> {
    let (data, sum) = (read(m, size, src)?, get(m, Size::B4, dst));
    let sum = circuits::crc(m.domain(), Crc::Crc32c, sum, size.bits(), data);
    set(m, Size::B4, dst, sum);
    Ok(())
}
