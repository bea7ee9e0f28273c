// SPDX-License-Identifier: GPL-2.0-or-later
//! Additions with and without flags, multiplications, divisions, shifts by a register, selections and comparisons under a
//! condition, addresses of code.

use kop_ops::aarch64::{
    AddSub, CarryOp, Cond, CondCompareOp, CondOperand, CondSelectOp, Gpr, Insn, MulAddLongOp, MulAddOp,
    Shift, TwoSourceOp, Width,
};

use super::operand::{extended, holds, read, read_bits, set_nz, shift_by, shifted, sign, write};
use super::{Flag, Machine, Value};
use crate::circuits::signed_high_product;
use crate::domain::Domain;

/// A destination and its two sources.
type Three = (Gpr, Gpr, Gpr);

/// What computes with numbers.
pub(super) fn compute<M: Machine>(m: &mut M, offset: i64, insn: &Insn) {
    match *insn {
        Insn::AddSubImm { op, width, rd, rn, imm } => {
            let operands = (read(m, width, rn), m.domain().constant(width.bits(), u64::from(imm)));
            add_sub(m, op, width, rd, operands);
        }
        Insn::AddSubShifted { op, width, rd, rn, rm, shift, amount } => {
            let operands = (read(m, width, rn), shifted(m, width, rm, (shift, amount)));
            add_sub(m, op, width, rd, operands);
        }
        Insn::AddSubExtended { op, width, rd, rn, rm, extend, amount } => {
            let operands = (read(m, width, rn), extended(m, width, rm, (extend, amount)));
            add_sub(m, op, width, rd, operands);
        }
        Insn::AddSubCarry { op, width, rd, rn, rm } => add_carry(m, op, width, (rd, rn, rm)),
        Insn::TwoSource { op, width, rd, rn, rm } => two_source(m, op, width, (rd, rn, rm)),
        Insn::MulAdd { op, width, rd, rn, rm, ra } => mul_add(m, op, width, (rd, rn, rm), ra),
        Insn::MulAddLong { op, rd, rn, rm, ra } => mul_add_long(m, op, (rd, rn, rm), ra),
        Insn::MulHigh { signed, rd, rn, rm } => mul_high(m, signed, (rd, rn, rm)),
        Insn::CondSelect { op, width, rd, rn, rm, cond } => select(m, op, width, (rd, rn, rm), cond),
        Insn::CondCompare { op, width, rn, operand, nzcv, cond } => {
            compare(m, op, width, (rn, operand), (nzcv, cond));
        }
        Insn::Adr { rd, offset: distance } => {
            let address = m.code_address(offset + i64::from(distance));
            write(m, Width::X, rd, address);
        }
        Insn::Adrp { rd, offset: distance } => {
            let here = m.code_address(offset);
            let d = m.domain();
            let (page, distance) = (d.constant(64, !0xfff), d.constant(64, distance as u64));
            let page = d.and(64, here, page);
            let address = d.add(64, page, distance);
            write(m, Width::X, rd, address);
        }
        _ => unreachable!("{insn} is not arithmetic"),
    }
}

/// ADD, ADDS, SUB, SUBS. The destination can be SP.
fn add_sub<M: Machine>(m: &mut M, op: AddSub, width: Width, rd: Gpr, (a, b): (Value<M>, Value<M>)) {
    let bits = width.bits();
    let result = match op {
        AddSub::Add => m.domain().add(bits, a, b),
        AddSub::Sub => m.domain().sub(bits, a, b),
        AddSub::Adds => add_setting_flags(m, bits, a, b),
        AddSub::Subs => sub_setting_flags(m, bits, a, b),
    };
    write(m, width, rd, result);
}

/// `a + b`, and all flags (Arm ARM, `AddWithCarry` with a carry of 0).
fn add_setting_flags<M: Machine>(m: &mut M, bits: u32, a: Value<M>, b: Value<M>) -> Value<M> {
    let d = m.domain();
    let result = d.add(bits, a, b);
    let carry = d.ult(bits, result, a);
    set_flags_of_sum(m, bits, (a, b), result, carry);
    result
}

/// `a - b`, and all flags (Arm ARM, `AddWithCarry` of the complement with a carry of 1).
fn sub_setting_flags<M: Machine>(m: &mut M, bits: u32, a: Value<M>, b: Value<M>) -> Value<M> {
    let d = m.domain();
    let result = d.sub(bits, a, b);
    let borrow = d.ult(bits, a, b);
    let (carry, complement) = (d.not(1, borrow), d.not(bits, b));
    set_flags_of_sum(m, bits, (a, complement), result, carry);
    result
}

/// The flags of `result`, the sum of `a`, `b` and perhaps a carry: V is that both have the sign that it has not.
fn set_flags_of_sum<M: Machine>(
    m: &mut M,
    bits: u32,
    (a, b): (Value<M>, Value<M>),
    result: Value<M>,
    carry: Value<M>,
) {
    let d = m.domain();
    let (from_a, from_b) = (d.xor(bits, a, result), d.xor(bits, b, result));
    let both = d.and(bits, from_a, from_b);
    let overflow = sign(d, bits, both);
    set_nz(m, bits, result);
    m.set_flag(Flag::C, carry);
    m.set_flag(Flag::V, overflow);
}

/// ADC, ADCS, SBC, SBCS: `rn + rm + C`, or `rn + !rm + C`.
fn add_carry<M: Machine>(m: &mut M, op: CarryOp, width: Width, (rd, rn, rm): Three) {
    let bits = width.bits();
    let (a, b, carry) = (read(m, width, rn), read(m, width, rm), m.flag(Flag::C));
    let d = m.domain();
    let b = if matches!(op, CarryOp::Sbc | CarryOp::Sbcs) { d.not(bits, b) } else { b };
    let one = d.zero_extend(1, bits, carry);
    let sum = d.add(bits, a, b);
    let result = d.add(bits, sum, one);
    if matches!(op, CarryOp::Adcs | CarryOp::Sbcs) {
        // Whether one of the two additions wrapped; both cannot.
        let (first, second) = (d.ult(bits, sum, a), d.ult(bits, result, one));
        let carry = d.or(1, first, second);
        set_flags_of_sum(m, bits, (a, b), result, carry);
    }
    write(m, width, rd, result);
}

/// UDIV, SDIV, LSLV, LSRV, ASRV, RORV.
fn two_source<M: Machine>(m: &mut M, op: TwoSourceOp, width: Width, (rd, rn, rm): Three) {
    let bits = width.bits();
    let (a, b) = (read(m, width, rn), read(m, width, rm));
    let d = m.domain();
    let result = match op {
        TwoSourceOp::Udiv | TwoSourceOp::Sdiv => {
            let zero = d.constant(bits, 0);
            let quotient = if op == TwoSourceOp::Udiv { d.udiv(bits, a, b) } else { d.sdiv(bits, a, b) };
            let by_zero = d.eq(bits, b, zero);
            d.ite(bits, by_zero, zero, quotient)
        }
        TwoSourceOp::Lslv | TwoSourceOp::Lsrv | TwoSourceOp::Asrv | TwoSourceOp::Rorv => {
            let mask = d.constant(bits, u64::from(bits - 1));
            let amount = d.and(bits, b, mask);
            shift_by(d, bits, a, shift_of(op), amount)
        }
    };
    write(m, width, rd, result);
}

fn shift_of(op: TwoSourceOp) -> Shift {
    match op {
        TwoSourceOp::Lslv => Shift::Lsl,
        TwoSourceOp::Lsrv => Shift::Lsr,
        TwoSourceOp::Asrv => Shift::Asr,
        TwoSourceOp::Rorv => Shift::Ror,
        TwoSourceOp::Udiv | TwoSourceOp::Sdiv => unreachable!("a division is no shift"),
    }
}

/// MADD, MSUB.
fn mul_add<M: Machine>(m: &mut M, op: MulAddOp, width: Width, (rd, rn, rm): Three, ra: Gpr) {
    let bits = width.bits();
    let (a, b, addend) = (read(m, width, rn), read(m, width, rm), read(m, width, ra));
    let d = m.domain();
    let product = d.mul(bits, a, b);
    let result = match op {
        MulAddOp::Madd => d.add(bits, addend, product),
        MulAddOp::Msub => d.sub(bits, addend, product),
    };
    write(m, width, rd, result);
}

/// SMADDL, SMSUBL, UMADDL, UMSUBL.
fn mul_add_long<M: Machine>(m: &mut M, op: MulAddLongOp, (rd, rn, rm): Three, ra: Gpr) {
    let (a, b) = (read(m, Width::W, rn), read(m, Width::W, rm));
    let addend = read(m, Width::X, ra);
    let d = m.domain();
    let (a, b) = match op {
        MulAddLongOp::Smaddl | MulAddLongOp::Smsubl => (d.sign_extend(32, 64, a), d.sign_extend(32, 64, b)),
        MulAddLongOp::Umaddl | MulAddLongOp::Umsubl => (d.zero_extend(32, 64, a), d.zero_extend(32, 64, b)),
    };
    let product = d.mul(64, a, b);
    let result = match op {
        MulAddLongOp::Smaddl | MulAddLongOp::Umaddl => d.add(64, addend, product),
        MulAddLongOp::Smsubl | MulAddLongOp::Umsubl => d.sub(64, addend, product),
    };
    write(m, Width::X, rd, result);
}

/// SMULH, UMULH.
fn mul_high<M: Machine>(m: &mut M, signed: bool, (rd, rn, rm): Three) {
    let (a, b) = (read_bits(m, 64, rn), read_bits(m, 64, rm));
    let d = m.domain();
    let high = if signed { signed_high_product(d, 64, a, b) } else { d.umulh(64, a, b) };
    write(m, Width::X, rd, high);
}

/// CSEL, CSINC, CSINV, CSNEG.
fn select<M: Machine>(m: &mut M, op: CondSelectOp, width: Width, (rd, rn, rm): Three, cond: Cond) {
    let bits = width.bits();
    let (a, b, taken) = (read(m, width, rn), read(m, width, rm), holds(m, cond));
    let d = m.domain();
    let b = match op {
        CondSelectOp::Csel => b,
        CondSelectOp::Csinc => {
            let one = d.constant(bits, 1);
            d.add(bits, b, one)
        }
        CondSelectOp::Csinv => d.not(bits, b),
        CondSelectOp::Csneg => d.neg(bits, b),
    };
    let result = d.ite(bits, taken, a, b);
    write(m, width, rd, result);
}

/// CCMN, CCMP: the flags of a sum or difference, or else the constant `nzcv`.
fn compare<M: Machine>(
    m: &mut M,
    op: CondCompareOp,
    width: Width,
    (rn, operand): (Gpr, CondOperand),
    (nzcv, cond): (u8, Cond),
) {
    let bits = width.bits();
    let taken = holds(m, cond);
    let a = read(m, width, rn);
    let b = match operand {
        CondOperand::Reg(rm) => read(m, width, rm),
        CondOperand::Imm(imm) => m.domain().constant(bits, u64::from(imm)),
    };
    match op {
        CondCompareOp::Ccmn => add_setting_flags(m, bits, a, b),
        CondCompareOp::Ccmp => sub_setting_flags(m, bits, a, b),
    };
    for (bit, flag) in (0..4).rev().zip(Flag::ALL) {
        let compared = m.flag(flag);
        let d = m.domain();
        let constant = d.constant(1, u64::from(nzcv >> bit));
        let value = d.ite(1, taken, compared, constant);
        m.set_flag(flag, value);
    }
}
