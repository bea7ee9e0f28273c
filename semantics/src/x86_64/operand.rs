// SPDX-License-Identifier: GPL-2.0-or-later
//! How operands are read and written, and what addresses are (Intel SDM vol. 1, sections 3.4.1.1 and 3.7.5).

use kop_ops::x86_64::{Gpr, Size};

use super::insn::{Base, Mem, Operand, Place};
use super::{Machine, Value};
use crate::domain::Domain;

/// The low bits of a register.
#[inline]
pub(super) fn get<M: Machine>(m: &mut M, size: Size, register: Gpr) -> Value<M> {
    let value = m.get(register);
    m.domain().truncate(64, size.bits(), value)
}

/// Sets a register: four bytes clear the upper half, fewer leave the rest.
#[inline]
pub(super) fn set<M: Machine>(m: &mut M, size: Size, register: Gpr, value: Value<M>) {
    let whole = match size {
        Size::B8 => value,
        Size::B4 => m.domain().zero_extend(32, 64, value),
        Size::B1 | Size::B2 => {
            let (width, old) = (size.bits(), m.get(register));
            let d = m.domain();
            let upper = d.extract(64, width, 64 - width, old);
            d.concat(64, width, upper, value)
        }
    };
    m.set(register, whole);
}

/// Bits 8 to 15 of a register.
fn get_high<M: Machine>(m: &mut M, register: Gpr) -> Value<M> {
    let value = m.get(register);
    m.domain().extract(64, 8, 8, value)
}

fn set_high<M: Machine>(m: &mut M, register: Gpr, value: Value<M>) {
    let old = m.get(register);
    let d = m.domain();
    let (above, below) = (d.extract(64, 16, 48, old), d.extract(64, 0, 8, old));
    let low = d.concat(16, 8, value, below);
    let whole = d.concat(64, 16, above, low);
    m.set(register, whole);
}

/// Reads a register or memory.
#[inline]
pub(super) fn read<M: Machine>(m: &mut M, size: Size, place: Place) -> Result<Value<M>, M::Stop> {
    match place {
        Place::Reg(register) => Ok(get(m, size, register)),
        Place::High(register) => Ok(get_high(m, register)),
        Place::Mem(mem) => {
            let address = address(m, mem);
            m.load(size.bytes(), address)
        }
    }
}

/// Reads any operand.
#[inline]
pub(super) fn read_operand<M: Machine>(m: &mut M, size: Size, operand: Operand) -> Result<Value<M>, M::Stop> {
    match operand {
        Operand::Place(place) => read(m, size, place),
        Operand::Imm(imm) => Ok(m.domain().constant(size.bits(), imm)),
    }
}

/// Writes a register or memory.
#[inline]
pub(super) fn write<M: Machine>(m: &mut M, size: Size, place: Place, value: Value<M>) -> Result<(), M::Stop> {
    match place {
        Place::Reg(register) => set(m, size, register, value),
        Place::High(register) => set_high(m, register, value),
        Place::Mem(mem) => {
            let address = address(m, mem);
            m.store(size.bytes(), address, value)?;
        }
    }
    Ok(())
}

/// The address of a memory operand.
#[inline]
pub(super) fn address<M: Machine>(m: &mut M, mem: Mem) -> Value<M> {
    let mut sum = match mem.base {
        Base::Zero => m.domain().constant(64, mem.disp),
        Base::Code => m.code_address(mem.disp.cast_signed()),
        Base::Reg(base) => {
            let base = m.get(base);
            let disp = m.domain().constant(64, mem.disp);
            m.domain().add(64, base, disp)
        }
    };
    if let Some((index, scale)) = mem.index {
        let index = m.get(index);
        let d = m.domain();
        let shift = d.constant(64, scale.trailing_zeros().into());
        let scaled = d.shl(64, index, shift);
        sum = d.add(64, sum, scaled);
    }
    if mem.narrow {
        let d = m.domain();
        let low = d.truncate(64, 32, sum);
        sum = d.zero_extend(32, 64, low);
    }
    sum
}
