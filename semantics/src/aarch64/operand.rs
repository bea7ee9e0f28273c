// SPDX-License-Identifier: GPL-2.0-or-later
//! Operands: registers in both widths, shifted and extended ones, conditions and flags.

use kop_ops::aarch64::{Cond, Extend, Gpr, Shift, Width};

use super::{Flag, Machine, Value};
use crate::domain::Domain;

/// The low half of a register, or all of it; XZR is zero.
#[inline]
pub(super) fn read<M: Machine>(m: &mut M, width: Width, register: Gpr) -> Value<M> {
    read_bits(m, width.bits(), register)
}

/// The low `bits` of a register, 1 to 64.
#[inline]
pub(super) fn read_bits<M: Machine>(m: &mut M, bits: u32, register: Gpr) -> Value<M> {
    if register == Gpr::Xzr {
        return m.domain().constant(bits, 0);
    }
    let value = m.get(register);
    m.domain().truncate(64, bits, value)
}

/// Sets a register to a value of `width`, with zeros above (Arm ARM, C1.2.5); what goes to XZR is lost.
#[inline]
pub(super) fn write<M: Machine>(m: &mut M, width: Width, register: Gpr, value: Value<M>) {
    write_bits(m, width.bits(), register, value);
}

/// Sets a register to a value of `bits`, 1 to 64, with zeros above.
#[inline]
pub(super) fn write_bits<M: Machine>(m: &mut M, bits: u32, register: Gpr, value: Value<M>) {
    if register != Gpr::Xzr {
        let value = m.domain().zero_extend(bits, 64, value);
        m.set(register, value);
    }
}

/// A register shifted by `amount`, which is below the width (Arm ARM, `ShiftReg`).
#[inline]
pub(super) fn shifted<M: Machine>(m: &mut M, width: Width, register: Gpr, by: (Shift, u8)) -> Value<M> {
    let value = read(m, width, register);
    let (shift, amount) = by;
    if amount == 0 {
        return value;
    }
    let amount = m.domain().constant(width.bits(), u64::from(amount));
    shift_by(m.domain(), width.bits(), value, shift, amount)
}

/// `value` shifted by `amount`, which is below the width.
#[inline]
pub(super) fn shift_by<D: Domain>(
    d: &mut D,
    width: u32,
    value: D::Value,
    shift: Shift,
    amount: D::Value,
) -> D::Value {
    match shift {
        Shift::Lsl => d.shl(width, value, amount),
        Shift::Lsr => d.lshr(width, value, amount),
        Shift::Asr => d.ashr(width, value, amount),
        Shift::Ror => {
            // An amount of zero makes the left shift one by the width, which leaves zero.
            let bits = d.constant(width, u64::from(width));
            let rest = d.sub(width, bits, amount);
            let (low, high) = (d.lshr(width, value, amount), d.shl(width, value, rest));
            d.or(width, low, high)
        }
    }
}

/// A register extended to the width and shifted left by `amount`, 0 to 4 (Arm ARM, `ExtendReg`).
#[inline]
pub(super) fn extended<M: Machine>(m: &mut M, width: Width, register: Gpr, by: (Extend, u8)) -> Value<M> {
    let (extend, amount) = by;
    let (bits, signed) = match extend {
        Extend::Uxtb => (8, false),
        Extend::Uxth => (16, false),
        Extend::Uxtw => (32, false),
        Extend::Uxtx => (64, false),
        Extend::Sxtb => (8, true),
        Extend::Sxth => (16, true),
        Extend::Sxtw => (32, true),
        Extend::Sxtx => (64, true),
    };
    let bits = width.bits().min(bits);
    let value = read_bits(m, bits, register);
    let d = m.domain();
    let value = if signed {
        d.sign_extend(bits, width.bits(), value)
    } else {
        d.zero_extend(bits, width.bits(), value)
    };
    if amount == 0 {
        return value;
    }
    let amount = d.constant(width.bits(), u64::from(amount));
    d.shl(width.bits(), value, amount)
}

/// One bit: whether the condition holds (Arm ARM, `ConditionHolds`).
pub(super) fn holds<M: Machine>(m: &mut M, cond: Cond) -> Value<M> {
    let positive = match cond {
        Cond::Eq | Cond::Ne => m.flag(Flag::Z),
        Cond::Hs | Cond::Lo => m.flag(Flag::C),
        Cond::Mi | Cond::Pl => m.flag(Flag::N),
        Cond::Vs | Cond::Vc => m.flag(Flag::V),
        Cond::Hi | Cond::Ls => {
            let (c, z) = (m.flag(Flag::C), m.flag(Flag::Z));
            let d = m.domain();
            let nonzero = d.not(1, z);
            d.and(1, c, nonzero)
        }
        Cond::Ge | Cond::Lt => greater_or_equal(m),
        Cond::Gt | Cond::Le => {
            let (ge, z) = (greater_or_equal(m), m.flag(Flag::Z));
            let d = m.domain();
            let nonzero = d.not(1, z);
            d.and(1, ge, nonzero)
        }
        Cond::Al | Cond::Nv => return m.domain().constant(1, 1),
    };
    if cond.number() & 1 == 1 { m.domain().not(1, positive) } else { positive }
}

fn greater_or_equal<M: Machine>(m: &mut M) -> Value<M> {
    let (n, v) = (m.flag(Flag::N), m.flag(Flag::V));
    m.domain().eq(1, n, v)
}

/// Sets N and Z to what a result of `bits` is.
pub(super) fn set_nz<M: Machine>(m: &mut M, bits: u32, result: Value<M>) {
    let d = m.domain();
    let zero = d.constant(bits, 0);
    let (n, z) = (sign(d, bits, result), d.eq(bits, result, zero));
    m.set_flag(Flag::N, n);
    m.set_flag(Flag::Z, z);
}

/// One bit: the highest of a value of `bits`.
pub(super) fn sign<D: Domain>(d: &mut D, bits: u32, value: D::Value) -> D::Value {
    d.extract(bits, bits - 1, 1, value)
}
