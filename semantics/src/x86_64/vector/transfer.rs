// SPDX-License-Identifier: GPL-2.0-or-later
//! Moves between registers, memory and general registers.

use kop_ops::x86_64::{Size, Xmm};

use super::Halves;
use crate::domain::Domain;
use crate::x86_64::insn::{Mem, Place, XmmOrMem};
use crate::x86_64::operand::{address, read, write};
use crate::x86_64::{Machine, Value};

/// Loads sixteen bytes.
pub(super) fn load<M: Machine>(m: &mut M, mem: Mem, aligned: bool) -> Result<Halves<Value<M>>, M::Stop> {
    let low = address(m, mem);
    m.begin_wide(low, false, aligned)?;
    let high = above(m, low);
    Ok([m.load(8, low)?, m.load(8, high)?])
}

/// The address eight bytes above.
fn above<M: Machine>(m: &mut M, address: Value<M>) -> Value<M> {
    let d = m.domain();
    let eight = d.constant(64, 8);
    d.add(64, address, eight)
}

pub(super) fn move_whole<M: Machine>(
    m: &mut M,
    dst: Xmm,
    src: XmmOrMem,
    aligned: bool,
) -> Result<(), M::Stop> {
    let value = match src {
        XmmOrMem::Xmm(xmm) => m.vector(xmm),
        XmmOrMem::Mem(mem) => load(m, mem, aligned)?,
    };
    m.set_vector(dst, value);
    Ok(())
}

pub(super) fn store<M: Machine>(m: &mut M, dst: Mem, src: Xmm, aligned: bool) -> Result<(), M::Stop> {
    let [low, high] = m.vector(src);
    let address = address(m, dst);
    m.begin_wide(address, true, aligned)?;
    let next = above(m, address);
    m.store(8, address, low)?;
    m.store(8, next, high)
}

pub(super) fn from_general<M: Machine>(m: &mut M, size: Size, dst: Xmm, src: Place) -> Result<(), M::Stop> {
    let value = read(m, size, src)?;
    let d = m.domain();
    let (low, zero) = (d.zero_extend(size.bits(), 64, value), d.constant(64, 0));
    m.set_vector(dst, [low, zero]);
    Ok(())
}

pub(super) fn to_general<M: Machine>(m: &mut M, size: Size, dst: Place, src: Xmm) -> Result<(), M::Stop> {
    let [low, _] = m.vector(src);
    let value = m.domain().truncate(64, size.bits(), low);
    write(m, size, dst, value)
}

pub(super) fn low_half<M: Machine>(m: &mut M, dst: Xmm, src: Xmm) {
    let [low, _] = m.vector(src);
    let zero = m.domain().constant(64, 0);
    m.set_vector(dst, [low, zero]);
}

pub(super) fn load_half<M: Machine>(
    m: &mut M,
    (dst, to_high): (Xmm, bool),
    (src, from_high): (XmmOrMem, bool),
) -> Result<(), M::Stop> {
    let value = match src {
        XmmOrMem::Xmm(xmm) => m.vector(xmm)[usize::from(from_high)],
        XmmOrMem::Mem(mem) => {
            let address = address(m, mem);
            m.load(8, address)?
        }
    };
    let mut halves = m.vector(dst);
    halves[usize::from(to_high)] = value;
    m.set_vector(dst, halves);
    Ok(())
}

pub(super) fn store_half<M: Machine>(m: &mut M, dst: Mem, src: Xmm, from_high: bool) -> Result<(), M::Stop> {
    let value = m.vector(src)[usize::from(from_high)];
    let address = address(m, dst);
    m.store(8, address, value)
}
