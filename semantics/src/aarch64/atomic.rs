// SPDX-License-Identifier: GPL-2.0-or-later
//! Exclusive, ordered and atomic accesses.
//!
//! The processor is alone: nothing comes between the load and the store of an atomic access, and a store-exclusive succeeds
//! when its load-exclusive was the last one, of the same address and size (Arm ARM, B2.12). Where it was another,
//! the architecture lets the store succeed or fail; here it fails, as in QEMU.

use kop_ops::aarch64::{AtomicOp, Gpr, Insn, Size, Width};

use super::memory::displaced;
use super::operand::{read, read_bits, write, write_bits};
use super::{Machine, Monitor, Other, Value};
use crate::domain::Domain;

/// An access of one register (Arm ARM, C4.1.94).
pub(super) fn access<M: Machine>(m: &mut M, insn: &Insn) -> Result<(), M::Stop> {
    match *insn {
        Insn::LoadExclusive { size, rt, base, .. } => {
            let address = start(m, size.bytes(), base)?;
            let value = m.load(size.bytes(), address)?;
            m.set_monitor(Some(Monitor { address, bytes: size.bytes() }));
            write_bits(m, 8 * size.bytes(), rt, value);
            Ok(())
        }
        Insn::StoreExclusive { size, rs, rt, base, .. } => {
            let value = read_bits(m, 8 * size.bytes(), rt);
            store_exclusive(m, rs, base, size.bytes(), &[value])
        }
        Insn::LoadAcquire { size, rt, base } | Insn::LoadAcquirePc { size, rt, base } => {
            let address = start(m, size.bytes(), base)?;
            let value = m.load(size.bytes(), address)?;
            write_bits(m, 8 * size.bytes(), rt, value);
            Ok(())
        }
        Insn::StoreRelease { size, rt, base } => {
            let address = start(m, size.bytes(), base)?;
            let value = read_bits(m, 8 * size.bytes(), rt);
            m.store(size.bytes(), address, value)
        }
        Insn::Atomic { op, size, rs, rt, base, .. } => fetch(m, op, size, (rs, rt), base),
        Insn::Cas { size, rs, rt, base, .. } => compare_and_swap(m, size, (rs, rt), base),
        _ => unreachable!("{insn} is no atomic access"),
    }
}

/// An access of two registers, and CLREX.
pub(super) fn pair<M: Machine>(m: &mut M, other: &Other) -> Result<(), M::Stop> {
    match *other {
        Other::LoadExclusivePair { width, rt, rt2, base } => {
            let bytes = width.bits() / 8;
            let address = start(m, 2 * bytes, base)?;
            let (low, high) = load_two(m, bytes, address)?;
            m.set_monitor(Some(Monitor { address, bytes: 2 * bytes }));
            write(m, width, rt, low);
            write(m, width, rt2, high);
            Ok(())
        }
        Other::StoreExclusivePair { width, rs, rt, rt2, base } => {
            let values = [read(m, width, rt), read(m, width, rt2)];
            store_exclusive(m, rs, base, width.bits() / 8, &values)
        }
        Other::CasPair { width, rs, rt, base } => compare_and_swap_pair(m, width, (rs, rt), base),
        Other::ClearExclusive => {
            m.set_monitor(None);
            Ok(())
        }
        _ => unreachable!("{other:?} is no atomic access"),
    }
}

/// The address in the base of an access of `bytes`.
fn start<M: Machine>(m: &mut M, bytes: u32, base: Gpr) -> Result<Value<M>, M::Stop> {
    let address = m.get(base);
    m.begin_atomic(bytes, address)?;
    Ok(address)
}

/// Two loads of `bytes` each.
fn load_two<M: Machine>(m: &mut M, bytes: u32, address: Value<M>) -> Result<(Value<M>, Value<M>), M::Stop> {
    let second = displaced(m, address, i64::from(bytes));
    Ok((m.load(bytes, address)?, m.load(bytes, second)?))
}

/// STXR, STXP and their like: stores one or two `values` of `bytes` each and sets the status to 0, or stores nothing and
/// sets it to 1.
fn store_exclusive<M: Machine>(
    m: &mut M,
    rs: Gpr,
    base: Gpr,
    bytes: u32,
    values: &[Value<M>],
) -> Result<(), M::Stop> {
    let all = bytes * values.len() as u32;
    let address = start(m, all, base)?;
    let marked = match m.monitor() {
        Some(monitor) if monitor.bytes == all => {
            let same = m.domain().eq(64, monitor.address, address);
            m.decide(same)?
        }
        _ => false,
    };
    if marked {
        for (i, &value) in (0..).zip(values) {
            let address = displaced(m, address, i * i64::from(bytes));
            m.store(bytes, address, value)?;
        }
    }
    m.set_monitor(None);
    let status = m.domain().constant(32, u64::from(!marked));
    write(m, Width::W, rs, status);
    Ok(())
}

/// LDADD to LDUMIN, and SWP.
fn fetch<M: Machine>(
    m: &mut M,
    op: AtomicOp,
    size: Size,
    (rs, rt): (Gpr, Gpr),
    base: Gpr,
) -> Result<(), M::Stop> {
    let (bytes, bits) = (size.bytes(), 8 * size.bytes());
    let address = start(m, bytes, base)?;
    let operand = read_bits(m, bits, rs);
    let old = m.load(bytes, address)?;
    let new = combined(m.domain(), op, bits, old, operand);
    m.store(bytes, address, new)?;
    write_bits(m, bits, rt, old);
    Ok(())
}

/// What an atomic operation makes of the old value and its operand.
fn combined<D: Domain>(d: &mut D, op: AtomicOp, bits: u32, old: D::Value, operand: D::Value) -> D::Value {
    match op {
        AtomicOp::Add => d.add(bits, old, operand),
        AtomicOp::Clr => {
            let kept = d.not(bits, operand);
            d.and(bits, old, kept)
        }
        AtomicOp::Eor => d.xor(bits, old, operand),
        AtomicOp::Set => d.or(bits, old, operand),
        AtomicOp::Smax | AtomicOp::Smin | AtomicOp::Umax | AtomicOp::Umin => {
            let signed = matches!(op, AtomicOp::Smax | AtomicOp::Smin);
            let less = if signed { d.slt(bits, old, operand) } else { d.ult(bits, old, operand) };
            if matches!(op, AtomicOp::Smax | AtomicOp::Umax) {
                d.ite(bits, less, operand, old)
            } else {
                d.ite(bits, less, old, operand)
            }
        }
        AtomicOp::Swp => operand,
    }
}

/// CAS. What is compared unequal is stored back, which the architecture allows and nobody else sees.
fn compare_and_swap<M: Machine>(
    m: &mut M,
    size: Size,
    (rs, rt): (Gpr, Gpr),
    base: Gpr,
) -> Result<(), M::Stop> {
    let (bytes, bits) = (size.bytes(), 8 * size.bytes());
    let address = start(m, bytes, base)?;
    let (expected, new) = (read_bits(m, bits, rs), read_bits(m, bits, rt));
    let old = m.load(bytes, address)?;
    let d = m.domain();
    let equal = d.eq(bits, old, expected);
    let stored = d.ite(bits, equal, new, old);
    m.store(bytes, address, stored)?;
    write_bits(m, bits, rs, old);
    Ok(())
}

/// CASP.
fn compare_and_swap_pair<M: Machine>(
    m: &mut M,
    width: Width,
    (rs, rt): (Gpr, Gpr),
    base: Gpr,
) -> Result<(), M::Stop> {
    let (bits, bytes) = (width.bits(), width.bits() / 8);
    let address = start(m, 2 * bytes, base)?;
    let (low, high) = load_two(m, bytes, address)?;
    let (rs2, rt2) = (following(rs), following(rt));
    let expected = (read(m, width, rs), read(m, width, rs2));
    let new = (read(m, width, rt), read(m, width, rt2));
    let d = m.domain();
    let (first, second) = (d.eq(bits, low, expected.0), d.eq(bits, high, expected.1));
    let equal = d.and(1, first, second);
    let stored = (d.ite(bits, equal, new.0, low), d.ite(bits, equal, new.1, high));
    let upper = displaced(m, address, i64::from(bytes));
    m.store(bytes, address, stored.0)?;
    m.store(bytes, upper, stored.1)?;
    write(m, width, rs, low);
    write(m, width, rs2, high);
    Ok(())
}

/// The second register of a pair; XZR after X30.
fn following(first: Gpr) -> Gpr {
    Gpr::from_number(first.number() as u8 + 1).unwrap_or(Gpr::Xzr)
}
