// SPDX-License-Identifier: GPL-2.0-or-later
//! Branches, exceptions, and the flags as a register.

use kop_ops::aarch64::{Cond, Gpr, Insn, SysReg, Width};

use super::operand::{holds, read, read_bits, set_nz, write};
use super::{Flag, Machine, Other, Value};
use crate::domain::Domain;
use crate::native::Next;

/// Branches and system instructions at `offset` (Arm ARM, C4.1.93).
pub(super) fn go<M: Machine>(m: &mut M, offset: i64, insn: &Insn) -> Next<Value<M>> {
    let target = |distance: i32| offset + i64::from(distance);
    match *insn {
        Insn::B { offset: distance } => Next::Jump(target(distance)),
        Insn::Bl { offset: distance } => {
            link(m, offset);
            Next::Jump(target(distance))
        }
        Insn::BCond { cond: Cond::Al | Cond::Nv, offset: distance } => Next::Jump(target(distance)),
        Insn::BCond { cond, offset: distance } => {
            Next::Branch { taken: holds(m, cond), target: target(distance) }
        }
        Insn::CompareBranch { nonzero, width, rt, offset: distance } => {
            let value = read(m, width, rt);
            let d = m.domain();
            let zero = d.constant(width.bits(), 0);
            let is_zero = d.eq(width.bits(), value, zero);
            let taken = if nonzero { d.not(1, is_zero) } else { is_zero };
            Next::Branch { taken, target: target(distance) }
        }
        Insn::TestBranch { nonzero, rt, bit, offset: distance } => {
            let value = read(m, Width::X, rt);
            let d = m.domain();
            let bit = d.extract(64, u32::from(bit), 1, value);
            let taken = if nonzero { bit } else { d.not(1, bit) };
            Next::Branch { taken, target: target(distance) }
        }
        Insn::Br { rn } | Insn::Ret { rn } => Next::Indirect(read(m, Width::X, rn)),
        Insn::Blr { rn } => {
            let target = read(m, Width::X, rn);
            link(m, offset);
            Next::Indirect(target)
        }
        Insn::Brk { .. } | Insn::Udf { .. } => Next::Trap,
        Insn::Mrs { rt, register: SysReg::Nzcv } => {
            read_flags(m, rt);
            Next::Fall
        }
        Insn::Msr { register: SysReg::Nzcv, rt } => {
            let value = read(m, Width::X, rt);
            flags_from(m, 28, value, 0b1111);
            Next::Fall
        }
        _ => unreachable!("{insn} is not decoded"),
    }
}

/// The address of the next instruction goes to X30.
fn link<M: Machine>(m: &mut M, offset: i64) {
    let next = m.code_address(offset + 4);
    write(m, Width::X, Gpr::X30, next);
}

/// MRS from NZCV: the flags in bits 31 to 28, zeros elsewhere.
fn read_flags<M: Machine>(m: &mut M, rt: Gpr) {
    let mut flags = m.flag(Flag::N);
    for (width, flag) in (2..).zip([Flag::Z, Flag::C, Flag::V]) {
        let bit = m.flag(flag);
        flags = m.domain().concat(width, 1, flags, bit);
    }
    let d = m.domain();
    let below = d.constant(28, 0);
    let value = d.concat(32, 28, flags, below);
    write(m, Width::W, rt, value);
}

/// Sets the flags in `mask`, as NZCV, to four bits of a 64-bit value: V to bit `low`, and so on round its end.
fn flags_from<M: Machine>(m: &mut M, low: u32, value: Value<M>, mask: u8) {
    for (bit, flag) in (0..4).rev().zip(Flag::ALL) {
        if mask >> bit & 1 == 1 {
            let value = m.domain().extract(64, (low + bit) % 64, 1, value);
            m.set_flag(flag, value);
        }
    }
}

/// CFINV, RMIF, SETF8, SETF16 (FEAT_FlagM).
pub(super) fn flags<M: Machine>(m: &mut M, other: &Other) {
    match *other {
        Other::InvertCarry => {
            let carry = m.flag(Flag::C);
            let inverted = m.domain().not(1, carry);
            m.set_flag(Flag::C, inverted);
        }
        Other::RotateIntoFlags { rn, amount, mask } => {
            let value = read(m, Width::X, rn);
            flags_from(m, u32::from(amount), value, mask);
        }
        Other::SetFlags { bits, rn } => {
            let value = read_bits(m, bits + 1, rn);
            let d = m.domain();
            let (top, above) = (d.extract(bits + 1, bits - 1, 1, value), d.extract(bits + 1, bits, 1, value));
            let overflow = d.xor(1, top, above);
            let low = d.truncate(bits + 1, bits, value);
            set_nz(m, bits, low);
            m.set_flag(Flag::V, overflow);
        }
        _ => unreachable!("{other:?} does not set flags alone"),
    }
}
