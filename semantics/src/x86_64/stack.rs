// SPDX-License-Identifier: GPL-2.0-or-later
//! The stack and the flags as a word (Intel SDM vol. 1, chapter 6; vol. 2: PUSH, POP, PUSHF, POPF, LAHF, SAHF, LEAVE).

use kop_ops::x86_64::{Gpr, Size};

use super::flags::Flag;
use super::insn::{Operand, Place};
use super::operand::{get, read_operand, set, write};
use super::{Machine, Value};
use crate::domain::Domain;

const SLOT: u32 = 8;

/// `a` plus a number of bytes.
fn plus<M: Machine>(m: &mut M, a: Value<M>, bytes: i64) -> Value<M> {
    let d = m.domain();
    let bytes = d.constant(64, bytes.cast_unsigned());
    d.add(64, a, bytes)
}

/// Puts 64 bits on the stack; rsp changes once they are there.
#[inline]
pub(super) fn push_value<M: Machine>(m: &mut M, value: Value<M>) -> Result<(), M::Stop> {
    let stack = m.get(Gpr::Rsp);
    let below = plus(m, stack, -i64::from(SLOT));
    m.store(SLOT, below, value)?;
    m.set(Gpr::Rsp, below);
    Ok(())
}

/// Takes 64 bits from the stack.
#[inline]
pub(super) fn pop_value<M: Machine>(m: &mut M) -> Result<Value<M>, M::Stop> {
    let stack = m.get(Gpr::Rsp);
    let value = m.load(SLOT, stack)?;
    let above = plus(m, stack, SLOT.into());
    m.set(Gpr::Rsp, above);
    Ok(value)
}

/// `push src`: of rsp, the value before.
#[inline]
pub(super) fn push<M: Machine>(m: &mut M, src: Operand) -> Result<(), M::Stop> {
    let value = read_operand(m, Size::B8, src)?;
    push_value(m, value)
}

/// `pop dst`: an address with rsp is computed with the value after.
#[inline]
pub(super) fn pop<M: Machine>(m: &mut M, dst: Place) -> Result<(), M::Stop> {
    let stack = m.get(Gpr::Rsp);
    let value = pop_value(m)?;
    let written = write(m, Size::B8, dst, value);
    if written.is_err() {
        m.set(Gpr::Rsp, stack);
    }
    written
}

/// `leave`: `mov rsp, rbp`, `pop rbp`.
#[inline]
pub(super) fn leave<M: Machine>(m: &mut M) -> Result<(), M::Stop> {
    let frame = m.get(Gpr::Rbp);
    let value = m.load(SLOT, frame)?;
    let above = plus(m, frame, SLOT.into());
    m.set(Gpr::Rsp, above);
    m.set(Gpr::Rbp, value);
    Ok(())
}

/// Bit 1 of RFLAGS, which is always set.
const ALWAYS_SET: u64 = 1 << 1;

/// `value`, of `width` bits, with flags at their positions.
fn with_flags<M: Machine>(m: &mut M, width: u32, flags: &[Flag]) -> Value<M> {
    let mut word = m.domain().constant(width, ALWAYS_SET);
    for &flag in flags {
        let bit = m.flag(flag);
        let d = m.domain();
        let (bit, position) = (d.zero_extend(1, width, bit), d.constant(width, flag.position().into()));
        let bit = d.shl(width, bit, position);
        word = d.or(width, word, bit);
    }
    word
}

/// `pushfq`: RF and VM are pushed as zero, and the flags of virtual interrupts are taken to be zero.
#[inline]
pub(super) fn push_flags<M: Machine>(m: &mut M) -> Result<(), M::Stop> {
    let word = with_flags(m, 64, &Flag::ALL);
    push_value(m, word)
}

/// The flags that `popfq` changes at any privilege level.
const POPPED: [Flag; 11] = [
    Flag::Carry,
    Flag::Parity,
    Flag::Adjust,
    Flag::Zero,
    Flag::Sign,
    Flag::Trap,
    Flag::Direction,
    Flag::Overflow,
    Flag::Nested,
    Flag::Alignment,
    Flag::Identification,
];

/// `popfq`. Whether it changes IF and IOPL depends on the privilege level, so that another value leaves them undefined.
#[inline]
pub(super) fn pop_flags<M: Machine>(m: &mut M) -> Result<(), M::Stop> {
    let word = pop_value(m)?;
    for flag in POPPED {
        let bit = m.domain().extract(64, flag.position(), 1, word);
        m.set_flag(flag, bit);
    }
    for flag in [Flag::Interrupt, Flag::IoLow, Flag::IoHigh] {
        let (old, undefined) = (m.flag(flag), m.undefined(1));
        let d = m.domain();
        let bit = d.extract(64, flag.position(), 1, word);
        let same = d.eq(1, old, bit);
        let new = d.ite(1, same, old, undefined);
        m.set_flag(flag, new);
    }
    Ok(())
}

/// The flags that `lahf` and `sahf` move.
const LOW: [Flag; 5] = [Flag::Carry, Flag::Parity, Flag::Adjust, Flag::Zero, Flag::Sign];

/// `lahf`: the low byte of the flags to `ah`.
#[inline]
pub(super) fn load_flags<M: Machine>(m: &mut M) {
    let byte = with_flags(m, 8, &LOW);
    let low = get(m, Size::B1, Gpr::Rax);
    let both = m.domain().concat(16, 8, byte, low);
    set(m, Size::B2, Gpr::Rax, both);
}

/// `sahf`: `ah` to the low byte of the flags.
#[inline]
pub(super) fn store_flags<M: Machine>(m: &mut M) {
    let value = m.get(Gpr::Rax);
    for flag in LOW {
        let bit = m.domain().extract(64, 8 + flag.position(), 1, value);
        m.set_flag(flag, bit);
    }
}

/// `cmc`.
#[inline]
pub(super) fn complement_carry<M: Machine>(m: &mut M) {
    let carry = m.flag(Flag::Carry);
    let complement = m.domain().not(1, carry);
    m.set_flag(Flag::Carry, complement);
}
