// SPDX-License-Identifier: GPL-2.0-or-later
//! Jumps, calls and returns (Intel SDM vol. 1, section 7.3.8).

use kop_ops::x86_64::{Cond, Gpr, Size};

use super::flags::{self, Flag, is_zero};
use super::insn::Place;
use super::operand::{get, read, set};
use super::stack::{pop_value, push_value};
use super::{Decoded, Machine, Value};
use crate::domain::Domain;
use crate::native::Next;

/// `jcc`.
#[inline]
pub(super) fn jump_if<M: Machine>(m: &mut M, cond: Cond, target: i64) -> Next<Value<M>> {
    Next::Branch { taken: flags::holds(m, cond), target }
}

/// `jrcxz` and `jecxz`.
#[inline]
pub(super) fn jump_if_count_zero<M: Machine>(m: &mut M, size: Size, target: i64) -> Next<Value<M>> {
    let count = get(m, size, Gpr::Rcx);
    Next::Branch { taken: is_zero(m.domain(), size.bits(), count), target }
}

/// `loop`, `loope` and `loopne`: rcx, or ecx, counts down; no flags change.
#[inline]
pub(super) fn count_down<M: Machine>(
    m: &mut M,
    size: Size,
    zero: Option<bool>,
    target: i64,
) -> Next<Value<M>> {
    let width = size.bits();
    let count = get(m, size, Gpr::Rcx);
    let d = m.domain();
    let one = d.constant(width, 1);
    let left = d.sub(width, count, one);
    let none = is_zero(d, width, left);
    let mut taken = d.not(1, none);
    set(m, size, Gpr::Rcx, left);
    if let Some(wanted) = zero {
        let flag = m.flag(Flag::Zero);
        let d = m.domain();
        let holds = if wanted { flag } else { d.not(1, flag) };
        taken = d.and(1, taken, holds);
    }
    Next::Branch { taken, target }
}

/// `jmp` to what a register or memory holds.
#[inline]
pub(super) fn jump_to<M: Machine>(m: &mut M, target: Place) -> Result<Next<Value<M>>, M::Stop> {
    read(m, Size::B8, target).map(Next::Indirect)
}

/// `call` of code at an offset.
#[inline]
pub(super) fn call<M: Machine>(m: &mut M, insn: &Decoded, target: i64) -> Result<Next<Value<M>>, M::Stop> {
    let back = m.code_address(insn.next());
    push_value(m, back)?;
    Ok(Next::Jump(target))
}

/// `call` of what a register or memory holds before rsp changes.
#[inline]
pub(super) fn call_to<M: Machine>(
    m: &mut M,
    insn: &Decoded,
    target: Place,
) -> Result<Next<Value<M>>, M::Stop> {
    let target = read(m, Size::B8, target)?;
    let back = m.code_address(insn.next());
    push_value(m, back)?;
    Ok(Next::Indirect(target))
}

/// `ret`.
#[inline]
pub(super) fn ret<M: Machine>(m: &mut M, drop: u16) -> Result<Next<Value<M>>, M::Stop> {
    let target = pop_value(m)?;
    let stack = m.get(Gpr::Rsp);
    let d = m.domain();
    let dropped = d.constant(64, drop.into());
    let above = d.add(64, stack, dropped);
    m.set(Gpr::Rsp, above);
    Ok(Next::Indirect(target))
}
