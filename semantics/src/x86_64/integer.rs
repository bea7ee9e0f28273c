// SPDX-License-Identifier: GPL-2.0-or-later
//! Addition, subtraction, logic and comparison with their flags (Intel SDM vol. 1, sections 7.3.2 and 7.3.5; vol. 2 for
//! each).

use kop_ops::x86_64::{Gpr, Size};

use super::flags::{Flag, set_by_result, set_to, top, undefine};
use super::insn::{Operand, Place};
use super::operand::{get, read, read_operand, set, write};
use super::{Machine, Value};
use crate::domain::Domain;

/// Operations of two operands that set all status flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a mnemonic says it all")]
pub enum Binary {
    Add,
    Adc,
    Sub,
    Sbb,
    Cmp,
    And,
    Or,
    Xor,
    Test,
}

/// Operations of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a mnemonic says it all")]
pub enum Unary {
    Inc,
    Dec,
    Not,
    Neg,
}

/// `add dst, src` and its like.
#[inline]
pub(super) fn binary<M: Machine>(
    m: &mut M,
    op: Binary,
    size: Size,
    dst: Place,
    src: Operand,
) -> Result<(), M::Stop> {
    let width = size.bits();
    let (a, b) = (read(m, size, dst)?, read_operand(m, size, src)?);
    let result = match op {
        Binary::Add => m.domain().add(width, a, b),
        Binary::Sub | Binary::Cmp => m.domain().sub(width, a, b),
        Binary::And | Binary::Test => m.domain().and(width, a, b),
        Binary::Or => m.domain().or(width, a, b),
        Binary::Xor => m.domain().xor(width, a, b),
        Binary::Adc | Binary::Sbb => {
            let carry = m.flag(Flag::Carry);
            let d = m.domain();
            let carry = d.zero_extend(1, width, carry);
            if op == Binary::Adc {
                let sum = d.add(width, a, b);
                d.add(width, sum, carry)
            } else {
                let difference = d.sub(width, a, b);
                d.sub(width, difference, carry)
            }
        }
    };
    if !matches!(op, Binary::Cmp | Binary::Test) {
        write(m, size, dst, result)?;
    }
    set_flags(m, op, width, a, b, result);
    Ok(())
}

/// Sets the status flags after `a op b`.
#[inline]
pub(super) fn set_flags<M: Machine>(
    m: &mut M,
    op: Binary,
    width: u32,
    a: Value<M>,
    b: Value<M>,
    result: Value<M>,
) {
    set_by_result(m, width, result);
    if matches!(op, Binary::And | Binary::Or | Binary::Xor | Binary::Test) {
        set_to(m, Flag::Carry, false);
        set_to(m, Flag::Overflow, false);
        return undefine(m, &[Flag::Adjust]);
    }
    let subtracts = matches!(op, Binary::Sub | Binary::Sbb | Binary::Cmp);
    let d = m.domain();
    let carry = match op {
        Binary::Add => d.ult(width, result, a),
        Binary::Sub | Binary::Cmp => d.ult(width, a, b),
        _ => carry_out(d, width, subtracts, (a, b, result)),
    };
    let overflow = overflow(d, width, subtracts, (a, b, result));
    let adjust = adjust(d, width, (a, b, result));
    m.set_flag(Flag::Carry, carry);
    m.set_flag(Flag::Overflow, overflow);
    m.set_flag(Flag::Adjust, adjust);
    if matches!(op, Binary::Sub | Binary::Cmp) {
        // The same as a difference of zero, and what comparisons ask for.
        let equal = m.domain().eq(width, a, b);
        m.set_flag(Flag::Zero, equal);
    }
}

/// The carry out of the highest bit of `a + b + carry`, or the borrow of `a - b - carry`: the operands' bits generate or
/// propagate it, and the result tells what came in.
fn carry_out<D: Domain>(
    d: &mut D,
    width: u32,
    subtracts: bool,
    (a, b, result): (D::Value, D::Value, D::Value),
) -> D::Value {
    let (a, b, result) = (top(d, width, a), top(d, width, b), top(d, width, result));
    let (a, result) = if subtracts { (d.not(1, a), result) } else { (a, d.not(1, result)) };
    let (both, either) = (d.and(1, a, b), d.or(1, a, b));
    let propagated = d.and(1, either, result);
    d.or(1, both, propagated)
}

/// Whether the signs of the operands rule out the sign of the result.
fn overflow<D: Domain>(
    d: &mut D,
    width: u32,
    subtracts: bool,
    (a, b, result): (D::Value, D::Value, D::Value),
) -> D::Value {
    let (a, b, result) = (top(d, width, a), top(d, width, b), top(d, width, result));
    let changed = d.xor(1, a, result);
    let other = if subtracts { d.xor(1, a, b) } else { d.xor(1, b, result) };
    d.and(1, changed, other)
}

/// The carry or borrow into bit 4.
fn adjust<D: Domain>(d: &mut D, width: u32, (a, b, result): (D::Value, D::Value, D::Value)) -> D::Value {
    let [a, b, result] = [a, b, result].map(|value| d.extract(width, 4, 1, value));
    let operands = d.xor(1, a, b);
    d.xor(1, operands, result)
}

/// `inc`, `dec`, `not`, `neg`.
#[inline]
pub(super) fn unary<M: Machine>(m: &mut M, op: Unary, size: Size, dst: Place) -> Result<(), M::Stop> {
    let width = size.bits();
    let a = read(m, size, dst)?;
    let d = m.domain();
    let (zero, one) = (d.constant(width, 0), d.constant(width, 1));
    let (as_binary, x, y, result) = match op {
        Unary::Not => {
            let result = d.not(width, a);
            return write(m, size, dst, result);
        }
        Unary::Inc => (Binary::Add, a, one, d.add(width, a, one)),
        Unary::Dec => (Binary::Sub, a, one, d.sub(width, a, one)),
        Unary::Neg => (Binary::Sub, zero, a, d.neg(width, a)),
    };
    write(m, size, dst, result)?;
    let carry = m.flag(Flag::Carry);
    set_flags(m, as_binary, width, x, y, result);
    if op != Unary::Neg {
        m.set_flag(Flag::Carry, carry);
    }
    Ok(())
}

/// `adcx` with CF, `adox` with OF; no other flag changes.
#[inline]
pub(super) fn add_with_flag<M: Machine>(
    m: &mut M,
    flag: Flag,
    size: Size,
    dst: Gpr,
    src: Place,
) -> Result<(), M::Stop> {
    let width = size.bits();
    let (a, b) = (get(m, size, dst), read(m, size, src)?);
    let carry = m.flag(flag);
    let d = m.domain();
    let carry = d.zero_extend(1, width, carry);
    let sum = d.add(width, a, b);
    let sum = d.add(width, sum, carry);
    let carry = carry_out(d, width, false, (a, b, sum));
    set(m, size, dst, sum);
    m.set_flag(flag, carry);
    Ok(())
}
