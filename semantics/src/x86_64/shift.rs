// SPDX-License-Identifier: GPL-2.0-or-later
//! Shifts and rotates (Intel SDM vol. 2: SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD, SARX/SHLX/SHRX, RORX).
//!
//! The processor masks a count to 5 bits, or 6 with operands of 64 bits. A masked count of zero leaves the flags alone;
//! where it is another one, OF is defined for one only.

use kop_ops::x86_64::{Gpr, Size};

use super::flags::{Flag, is_zero, parity, top};
use super::insn::{Operand, Place};
use super::operand::{get, read, read_operand, set, write};
use super::{Machine, Value};
use crate::domain::Domain;

/// Shifts and rotates of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a mnemonic says it all")]
pub enum Shift {
    Rol,
    Ror,
    Rcl,
    Rcr,
    Shl,
    Shr,
    Sar,
}

/// Shifts that take the bits coming in from a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a mnemonic says it all")]
pub enum DoubleShift {
    Shld,
    Shrd,
}

/// What a shift leaves: the result, CF for a count that is not zero, OF for a count of one.
struct Shifted<V> {
    result: V,
    carry: V,
    overflow: V,
}

/// The count of a shift, masked, as a number of `width` bits.
fn masked_count<M: Machine>(m: &mut M, size: Size, amount: Operand) -> Result<Value<M>, M::Stop> {
    let width = size.bits();
    let count = read_operand(m, Size::B1, amount)?;
    let d = m.domain();
    let mask = d.constant(8, if size == Size::B8 { 63 } else { 31 });
    let count = d.and(8, count, mask);
    Ok(d.zero_extend(8, width, count))
}

/// `shl dst, amount` and its like.
#[inline]
pub(super) fn shift<M: Machine>(
    m: &mut M,
    op: Shift,
    size: Size,
    dst: Place,
    amount: Operand,
) -> Result<(), M::Stop> {
    let width = size.bits();
    let count = masked_count(m, size, amount)?;
    let a = read(m, size, dst)?;
    let shifted = match op {
        Shift::Rol | Shift::Ror => rotated(m, op, width, a, count),
        Shift::Rcl | Shift::Rcr => rotated_through_carry(m, op, width, a, count),
        Shift::Shl | Shift::Shr | Shift::Sar => shifted(m, op, width, a, count),
    };
    write(m, size, dst, shifted.result)?;
    let rotates = matches!(op, Shift::Rol | Shift::Ror | Shift::Rcl | Shift::Rcr);
    set_flags(m, width, count, shifted, rotates);
    Ok(())
}

fn shifted<M: Machine>(m: &mut M, op: Shift, width: u32, a: Value<M>, count: Value<M>) -> Shifted<Value<M>> {
    let d = m.domain();
    let (one, zero) = (d.constant(width, 1), d.constant(1, 0));
    let before = d.sub(width, count, one);
    if op == Shift::Sar {
        let (result, last) = (d.ashr(width, a, count), d.ashr(width, a, before));
        return Shifted { result, carry: d.extract(width, 0, 1, last), overflow: zero };
    }
    let (result, carry, overflow) = if op == Shift::Shl {
        let (result, last) = (d.shl(width, a, count), d.shl(width, a, before));
        let carry = top(d, width, last);
        let sign = top(d, width, result);
        (result, carry, d.xor(1, sign, carry))
    } else {
        let (result, last) = (d.lshr(width, a, count), d.lshr(width, a, before));
        (result, d.extract(width, 0, 1, last), top(d, width, a))
    };
    Shifted { result, carry: defined_below(m, width, count, carry), overflow }
}

/// `value`, undefined where the count reaches the width, which it can in eight and sixteen bits only.
fn defined_below<M: Machine>(m: &mut M, width: u32, count: Value<M>, value: Value<M>) -> Value<M> {
    if width > 16 {
        return value;
    }
    let undefined = m.undefined(1);
    let d = m.domain();
    let limit = d.constant(width, width.into());
    let below = d.ult(width, count, limit);
    d.ite(1, below, value, undefined)
}

fn rotated<M: Machine>(m: &mut M, op: Shift, width: u32, a: Value<M>, count: Value<M>) -> Shifted<Value<M>> {
    let d = m.domain();
    let result = rotate(d, op, width, a, count);
    let (highest, lowest) = (top(d, width, result), d.extract(width, 0, 1, result));
    if op == Shift::Rol {
        Shifted { result, carry: lowest, overflow: d.xor(1, highest, lowest) }
    } else {
        let second = d.extract(width, width - 2, 1, result);
        Shifted { result, carry: highest, overflow: d.xor(1, highest, second) }
    }
}

/// `a` rotated left or right by `count` modulo the width, a power of two.
fn rotate<D: Domain>(d: &mut D, op: Shift, width: u32, a: D::Value, count: D::Value) -> D::Value {
    let (mask, all) = (d.constant(width, u64::from(width) - 1), d.constant(width, width.into()));
    let count = d.and(width, count, mask);
    let rest = d.sub(width, all, count);
    let (left, right) = if op == Shift::Rol { (count, rest) } else { (rest, count) };
    let (up, down) = (d.shl(width, a, left), d.lshr(width, a, right));
    d.or(width, up, down)
}

/// Rotates `width + 1` bits, of which CF is the highest.
///
/// By zero, the amounts that the formulas shift by are out of range in the other terms, which are zero then.
fn rotated_through_carry<M: Machine>(
    m: &mut M,
    op: Shift,
    width: u32,
    a: Value<M>,
    count: Value<M>,
) -> Shifted<Value<M>> {
    let old = m.flag(Flag::Carry);
    let d = m.domain();
    let carry = d.zero_extend(1, width, old);
    let (one, all) = (d.constant(width, 1), d.constant(width, width.into()));
    let beyond = d.constant(width, u64::from(width) + 1);
    // With 32 and 64 bits, masking keeps the count below the width.
    let count = if width < 32 { d.urem(width, count, beyond) } else { count };
    let (before, rest, wrap) =
        (d.sub(width, count, one), d.sub(width, all, count), d.sub(width, beyond, count));
    let left = op == Shift::Rcl;
    let (moved, wrapped, inserted, last) = if left {
        (d.shl(width, a, count), d.lshr(width, a, wrap), d.shl(width, carry, before), d.lshr(width, a, rest))
    } else {
        (d.lshr(width, a, count), d.shl(width, a, wrap), d.shl(width, carry, rest), d.lshr(width, a, before))
    };
    let result = d.or(width, moved, wrapped);
    let result = d.or(width, result, inserted);
    let last = d.extract(width, 0, 1, last);
    let none = is_zero(d, width, count);
    let new = d.ite(1, none, old, last);
    let sign = top(d, width, if left { result } else { a });
    // To the left, the sign after the rotation against the new CF; to the right, the sign before it against the old one.
    let overflow = d.xor(1, sign, if left { new } else { old });
    Shifted { result, carry: new, overflow }
}

/// Sets flags unless the count is zero; rotates leave all but CF and OF.
fn set_flags<M: Machine>(m: &mut M, width: u32, count: Value<M>, shifted: Shifted<Value<M>>, rotates: bool) {
    let d = m.domain();
    let one = d.constant(width, 1);
    let by_one = d.eq(width, count, one);
    let none = is_zero(d, width, count);
    let Shifted { result, carry, overflow } = shifted;
    let undefined = m.undefined(1);
    let overflow = m.domain().ite(1, by_one, overflow, undefined);
    set_unless(m, none, Flag::Carry, carry);
    set_unless(m, none, Flag::Overflow, overflow);
    if !rotates {
        set_by_result_unless(m, none, width, result);
        let undefined = m.undefined(1);
        set_unless(m, none, Flag::Adjust, undefined);
    }
}

fn set_unless<M: Machine>(m: &mut M, unchanged: Value<M>, flag: Flag, value: Value<M>) {
    let old = m.flag(flag);
    let new = m.domain().ite(1, unchanged, old, value);
    m.set_flag(flag, new);
}

fn set_by_result_unless<M: Machine>(m: &mut M, unchanged: Value<M>, width: u32, result: Value<M>) {
    let d = m.domain();
    let (sign, zero, even) = (top(d, width, result), is_zero(d, width, result), parity(d, width, result));
    for (flag, value) in [(Flag::Sign, sign), (Flag::Zero, zero), (Flag::Parity, even)] {
        set_unless(m, unchanged, flag, value);
    }
}

/// `shld` and `shrd`: the bits that come in are those of `src`. With sixteen bits, a count above them leaves everything
/// undefined.
#[inline]
pub(super) fn double_shift<M: Machine>(
    m: &mut M,
    op: DoubleShift,
    size: Size,
    dst: Place,
    src: Gpr,
    amount: Operand,
) -> Result<(), M::Stop> {
    let width = size.bits();
    let count = masked_count(m, size, amount)?;
    let (a, b) = (read(m, size, dst)?, get(m, size, src));
    let d = m.domain();
    let (one, all) = (d.constant(width, 1), d.constant(width, width.into()));
    let (before, rest) = (d.sub(width, count, one), d.sub(width, all, count));
    let (moved, inserted, last) = match op {
        DoubleShift::Shld => (d.shl(width, a, count), d.lshr(width, b, rest), d.lshr(width, a, rest)),
        DoubleShift::Shrd => (d.lshr(width, a, count), d.shl(width, b, rest), d.lshr(width, a, before)),
    };
    let result = d.or(width, moved, inserted);
    let carry = d.extract(width, 0, 1, last);
    let signs = (top(d, width, a), top(d, width, result));
    let overflow = d.xor(1, signs.0, signs.1);
    let beyond = d.ult(width, all, count);
    let shifted = match size {
        Size::B2 => undefined_where(m, beyond, width, Shifted { result, carry, overflow }),
        _ => Shifted { result, carry, overflow },
    };
    write(m, size, dst, shifted.result)?;
    set_flags(m, width, count, shifted, false);
    if size == Size::B2 {
        for flag in [Flag::Sign, Flag::Zero, Flag::Parity] {
            let (defined, undefined) = (m.flag(flag), m.undefined(1));
            let value = m.domain().ite(1, beyond, undefined, defined);
            m.set_flag(flag, value);
        }
    }
    Ok(())
}

fn undefined_where<M: Machine>(
    m: &mut M,
    condition: Value<M>,
    width: u32,
    shifted: Shifted<Value<M>>,
) -> Shifted<Value<M>> {
    let (any, bit) = (m.undefined(width), m.undefined(1));
    let d = m.domain();
    let result = d.ite(width, condition, any, shifted.result);
    let carry = d.ite(1, condition, bit, shifted.carry);
    Shifted { result, carry, overflow: shifted.overflow }
}

/// `shlx`, `shrx`, `sarx` and `rorx`.
#[inline]
pub(super) fn shift_without_flags<M: Machine>(
    m: &mut M,
    op: Shift,
    size: Size,
    dst: Gpr,
    src: Place,
    amount: Operand,
) -> Result<(), M::Stop> {
    let width = size.bits();
    let count = masked_count(m, size, amount)?;
    let a = read(m, size, src)?;
    let d = m.domain();
    let result = match op {
        Shift::Shl => d.shl(width, a, count),
        Shift::Shr => d.lshr(width, a, count),
        Shift::Sar => d.ashr(width, a, count),
        Shift::Rol | Shift::Ror => rotate(d, op, width, a, count),
        Shift::Rcl | Shift::Rcr => unreachable!("no encoding rotates through CF without flags"),
    };
    set(m, size, dst, result);
    Ok(())
}
