// SPDX-License-Identifier: GPL-2.0-or-later
//! Loads, stores and atomic operations (RFC 9669 sections 5.1 to 5.3).

use kop_ops::ebpf::{AtomicOp, Operand, Reg, Size};

use super::{Machine, Value};
use crate::domain::Domain;

/// A base register and the bytes added to it.
type Place = (Reg, i16);

#[inline(always)]
fn address<M: Machine>(m: &mut M, (base, off): Place) -> Value<M> {
    let base = m.get(base);
    let d = m.domain();
    let off = d.constant(64, i64::from(off) as u64);
    d.add(64, base, off)
}

/// `dst = *(size *)(base + off)`, zero-extended (RFC 9669 section 5.1) or sign-extended (section 5.2) to 64 bits.
#[inline(always)]
pub(super) fn load<M: Machine>(
    m: &mut M,
    size: Size,
    signed: bool,
    dst: Reg,
    place: Place,
) -> Result<(), M::Stop> {
    let address = address(m, place);
    let value = m.load(size, address)?;
    let d = m.domain();
    let extended =
        if signed { d.sign_extend(size.bits(), 64, value) } else { d.zero_extend(size.bits(), 64, value) };
    m.set(dst, extended);
    Ok(())
}

/// `*(size *)(base + off) = src` (RFC 9669 section 5.1).
#[inline(always)]
pub(super) fn store<M: Machine>(m: &mut M, size: Size, place: Place, src: Operand) -> Result<(), M::Stop> {
    let address = address(m, place);
    let value = super::operand::<M, 64>(m, src);
    let value = m.domain().truncate(64, size.bits(), value);
    m.store(size, address, value)
}

/// An atomic operation on `*(size *)(base + off)` (RFC 9669 section 5.3; Linux for load-acquire and store-release). What is
/// fetched is zero-extended. With one processor, the order of accesses is that of the program.
#[inline]
pub(super) fn atomic<M: Machine>(
    m: &mut M,
    op: AtomicOp,
    size: Size,
    place: Place,
    src: Reg,
) -> Result<(), M::Stop> {
    let bits = size.bits();
    let address = address(m, place);
    m.begin_atomic(op, size, address)?;
    let source = m.get(src);
    let source = m.domain().truncate(64, bits, source);
    if op == AtomicOp::StoreRelease {
        return m.store(size, address, source);
    }
    let old = m.load(size, address)?;
    if op != AtomicOp::LoadAcquire {
        let new = match op {
            AtomicOp::Add | AtomicOp::FetchAdd => m.domain().add(bits, old, source),
            AtomicOp::Or | AtomicOp::FetchOr => m.domain().or(bits, old, source),
            AtomicOp::And | AtomicOp::FetchAnd => m.domain().and(bits, old, source),
            AtomicOp::Xor | AtomicOp::FetchXor => m.domain().xor(bits, old, source),
            AtomicOp::CmpXchg => {
                let expected = m.get(Reg::R0);
                let d = m.domain();
                let expected = d.truncate(64, bits, expected);
                let equal = d.eq(bits, old, expected);
                d.ite(bits, equal, source, old)
            }
            AtomicOp::Xchg | AtomicOp::LoadAcquire | AtomicOp::StoreRelease => source,
        };
        m.store(size, address, new)?;
    }
    let fetched_into = match op {
        AtomicOp::Add | AtomicOp::Or | AtomicOp::And | AtomicOp::Xor | AtomicOp::StoreRelease => {
            return Ok(());
        }
        AtomicOp::CmpXchg => Reg::R0,
        AtomicOp::FetchAdd
        | AtomicOp::FetchOr
        | AtomicOp::FetchAnd
        | AtomicOp::FetchXor
        | AtomicOp::Xchg
        | AtomicOp::LoadAcquire => src,
    };
    let old = m.domain().zero_extend(bits, 64, old);
    m.set(fetched_into, old);
    Ok(())
}
