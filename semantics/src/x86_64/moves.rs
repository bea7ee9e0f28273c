// SPDX-License-Identifier: GPL-2.0-or-later
//! Data transfer: moves, extensions, exchanges (Intel SDM vol. 1, section 7.3.1).

use kop_ops::x86_64::{Cond, Gpr, Size};

use super::insn::{Mem, Operand, Place};
use super::integer::{self, Binary};
use super::operand::{address, get, read, read_operand, set, write};
use super::{Machine, Value, flags};
use crate::domain::Domain;

/// `mov dst, src`.
#[inline]
pub(super) fn mov<M: Machine>(m: &mut M, size: Size, dst: Place, src: Operand) -> Result<(), M::Stop> {
    let value = read_operand(m, size, src)?;
    write(m, size, dst, value)
}

/// `movzx` and `movsx` to `size` from `from`.
#[inline]
pub(super) fn extend<M: Machine>(
    m: &mut M,
    size: Size,
    dst: Gpr,
    (from, signed): (Size, bool),
    src: Place,
) -> Result<(), M::Stop> {
    let value = read(m, from, src)?;
    let d = m.domain();
    let extended = match signed {
        true => d.sign_extend(from.bits(), size.bits(), value),
        false => d.zero_extend(from.bits(), size.bits(), value),
    };
    set(m, size, dst, extended);
    Ok(())
}

/// `cwd`, `cdq`, `cqo`.
#[inline]
pub(super) fn spread_sign<M: Machine>(m: &mut M, size: Size) {
    let width = size.bits();
    let value = get(m, size, Gpr::Rax);
    let d = m.domain();
    let distance = d.constant(width, u64::from(width) - 1);
    let sign = d.ashr(width, value, distance);
    set(m, size, Gpr::Rdx, sign);
}

/// `lea`.
#[inline]
pub(super) fn lea<M: Machine>(m: &mut M, size: Size, dst: Gpr, mem: Mem) {
    let address = address(m, mem);
    let value = m.domain().truncate(64, size.bits(), address);
    set(m, size, dst, value);
}

/// `bswap` of four or eight bytes.
#[inline]
pub(super) fn swap_bytes<M: Machine>(m: &mut M, size: Size, dst: Gpr) {
    let value = get(m, size, dst);
    let swapped = m.domain().swap_bytes(size.bits(), value);
    set(m, size, dst, swapped);
}

/// `movbe`.
#[inline]
pub(super) fn move_swapped<M: Machine>(m: &mut M, size: Size, dst: Place, src: Place) -> Result<(), M::Stop> {
    let value = read(m, size, src)?;
    let swapped = m.domain().swap_bytes(size.bits(), value);
    write(m, size, dst, swapped)
}

/// `cmovcc`: the source is read, and four bytes are zero-extended, whatever the condition.
#[inline]
pub(super) fn move_if<M: Machine>(
    m: &mut M,
    cond: Cond,
    size: Size,
    dst: Gpr,
    src: Place,
) -> Result<(), M::Stop> {
    let (new, old) = (read(m, size, src)?, get(m, size, dst));
    let holds = flags::holds(m, cond);
    let value = m.domain().ite(size.bits(), holds, new, old);
    set(m, size, dst, value);
    Ok(())
}

/// `setcc`.
#[inline]
pub(super) fn set_if<M: Machine>(m: &mut M, cond: Cond, dst: Place) -> Result<(), M::Stop> {
    let holds = flags::holds(m, cond);
    let byte = m.domain().zero_extend(1, 8, holds);
    write(m, Size::B1, dst, byte)
}

/// `xchg`.
#[inline]
pub(super) fn exchange<M: Machine>(m: &mut M, size: Size, dst: Place, src: Place) -> Result<(), M::Stop> {
    let (a, b) = (read(m, size, dst)?, read(m, size, src)?);
    write_both(m, size, (dst, b), (src, a))
}

/// Writes to two places, memory first, since that may fault; where both are one register, the first counts. An instruction
/// has one operand in memory at most.
fn write_both<M: Machine>(
    m: &mut M,
    size: Size,
    (first, a): (Place, Value<M>),
    (second, b): (Place, Value<M>),
) -> Result<(), M::Stop> {
    if matches!(first, Place::Mem(_)) {
        write(m, size, first, a)?;
        return write(m, size, second, b);
    }
    write(m, size, second, b)?;
    write(m, size, first, a)
}

/// `xadd`: the sum to `dst`, the old `dst` to `src`.
#[inline]
pub(super) fn exchange_add<M: Machine>(m: &mut M, size: Size, dst: Place, src: Place) -> Result<(), M::Stop> {
    let (a, b) = (read(m, size, dst)?, read(m, size, src)?);
    let sum = m.domain().add(size.bits(), a, b);
    write_both(m, size, (dst, sum), (src, a))?;
    integer::set_flags(m, Binary::Add, size.bits(), a, b, sum);
    Ok(())
}

/// `cmpxchg`: `dst` is written either way, with `src` or with what it held; rax only when they differ.
///
/// A 32-bit register that keeps its value is zero-extended by the manual of one vendor (Intel SDM vol. 2, CMPXCHG: DEST :=
/// TEMP) and left alone by processors of the other, so that its upper half is undefined.
#[inline]
pub(super) fn compare_exchange<M: Machine>(
    m: &mut M,
    size: Size,
    dst: Place,
    src: Place,
) -> Result<(), M::Stop> {
    let width = size.bits();
    let (old, new) = (read(m, size, dst)?, read(m, size, src)?);
    let expected = get(m, size, Gpr::Rax);
    let d = m.domain();
    let equal = d.eq(width, expected, old);
    let stored = d.ite(width, equal, new, old);
    let difference = d.sub(width, expected, old);
    write(m, size, dst, stored)?;
    if let (Place::Reg(register), Size::B4) = (dst, size) {
        let (zero, undefined) = (m.domain().constant(32, 0), m.undefined(32));
        let d = m.domain();
        let upper = d.ite(32, equal, zero, undefined);
        let whole = d.concat(64, 32, upper, stored);
        m.set(register, whole);
    }
    // The destination may be a part of rax.
    let kept = m.get(Gpr::Rax);
    set(m, size, Gpr::Rax, old);
    let loaded = m.get(Gpr::Rax);
    let accumulator = m.domain().ite(64, equal, kept, loaded);
    m.set(Gpr::Rax, accumulator);
    integer::set_flags(m, Binary::Cmp, width, expected, old, difference);
    Ok(())
}
