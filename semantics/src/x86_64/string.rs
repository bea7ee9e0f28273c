// SPDX-License-Identifier: GPL-2.0-or-later
//! String instructions, one iteration a step (Intel SDM vol. 1, section 7.3.9; vol. 2: REP).

use kop_ops::x86_64::{Gpr, Size};

use super::flags::Flag;
use super::integer::{Binary, set_flags};
use super::operand::{get, set};
use super::{Decoded, Machine, Value};
use crate::domain::Domain;
use crate::native::Next;

/// String instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a mnemonic says it all")]
pub enum StringOp {
    Movs,
    Stos,
    Lods,
    Cmps,
    Scas,
}

/// Whether a string instruction is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Repeat {
    /// Once.
    No,
    /// `rep`: rcx times.
    Count,
    /// `repe`: rcx times at most, as long as ZF is set.
    WhileEqual,
    /// `repne`: rcx times at most, as long as ZF is clear.
    WhileDifferent,
}

/// One iteration. A repeated instruction branches back to itself while there is more to do.
#[inline]
pub(super) fn string<M: Machine>(
    m: &mut M,
    insn: &Decoded,
    op: StringOp,
    size: Size,
    repeat: Repeat,
) -> Result<Next<Value<M>>, M::Stop> {
    if repeat == Repeat::No {
        iterate(m, op, size)?;
        return Ok(Next::Fall);
    }
    let count = m.get(Gpr::Rcx);
    let d = m.domain();
    let (zero, one) = (d.constant(64, 0), d.constant(64, 1));
    let done = d.eq(64, count, zero);
    if m.decide(done)? {
        return Ok(Next::Fall);
    }
    iterate(m, op, size)?;
    let d = m.domain();
    let left = d.sub(64, count, one);
    let none = d.eq(64, left, zero);
    let mut taken = d.not(1, none);
    m.set(Gpr::Rcx, left);
    if repeat != Repeat::Count {
        let equal = m.flag(Flag::Zero);
        let d = m.domain();
        let wanted = if repeat == Repeat::WhileEqual { equal } else { d.not(1, equal) };
        taken = d.and(1, taken, wanted);
    }
    Ok(Next::Branch { taken, target: insn.offset as i64 })
}

/// What one iteration does; registers change once memory was accessed.
fn iterate<M: Machine>(m: &mut M, op: StringOp, size: Size) -> Result<(), M::Stop> {
    let (source, destination) = (m.get(Gpr::Rsi), m.get(Gpr::Rdi));
    match op {
        StringOp::Movs => {
            let value = m.load(size.bytes(), source)?;
            m.store(size.bytes(), destination, value)?;
        }
        StringOp::Stos => {
            let value = get(m, size, Gpr::Rax);
            m.store(size.bytes(), destination, value)?;
        }
        StringOp::Lods => {
            let value = m.load(size.bytes(), source)?;
            set(m, size, Gpr::Rax, value);
        }
        StringOp::Cmps => {
            let a = m.load(size.bytes(), source)?;
            compare(m, size, a, destination)?;
        }
        StringOp::Scas => {
            let a = get(m, size, Gpr::Rax);
            compare(m, size, a, destination)?;
        }
    }
    if matches!(op, StringOp::Movs | StringOp::Lods | StringOp::Cmps) {
        advance(m, size, Gpr::Rsi);
    }
    if op != StringOp::Lods {
        advance(m, size, Gpr::Rdi);
    }
    Ok(())
}

/// Compares `a` with what `[address]` holds.
fn compare<M: Machine>(m: &mut M, size: Size, a: Value<M>, address: Value<M>) -> Result<(), M::Stop> {
    let b = m.load(size.bytes(), address)?;
    let difference = m.domain().sub(size.bits(), a, b);
    set_flags(m, Binary::Cmp, size.bits(), a, b, difference);
    Ok(())
}

/// Moves an index register on by the size, downwards where DF is set.
fn advance<M: Machine>(m: &mut M, size: Size, register: Gpr) {
    let (down, index) = (m.flag(Flag::Direction), m.get(register));
    let d = m.domain();
    let (more, less) =
        (d.constant(64, size.bytes().into()), d.constant(64, (-i64::from(size.bytes())).cast_unsigned()));
    let distance = d.ite(64, down, less, more);
    let moved = d.add(64, index, distance);
    m.set(register, moved);
}
