// SPDX-License-Identifier: GPL-2.0-or-later
//! Bits put together and spread by a mask (Intel SDM vol. 2: PDEP, PEXT).

use kop_ops::x86_64::{Gpr, Size};

use super::Machine;
use super::insn::Place;
use super::operand::{get, read, set};
use crate::circuits;

/// `pdep`: the low bits of the source go where the mask has ones.
#[inline]
pub(super) fn deposit<M: Machine>(
    m: &mut M,
    size: Size,
    dst: Gpr,
    src: Gpr,
    mask: Place,
) -> Result<(), M::Stop> {
    let width = size.bits();
    let (value, mask) = (get(m, size, src), read(m, size, mask)?);
    let result = circuits::spread(m.domain(), width, value, mask);
    set(m, size, dst, result);
    Ok(())
}

/// `pext`: the bits of the source where the mask has ones, put together.
#[inline]
pub(super) fn extract<M: Machine>(
    m: &mut M,
    size: Size,
    dst: Gpr,
    src: Gpr,
    mask: Place,
) -> Result<(), M::Stop> {
    let width = size.bits();
    let (value, mask) = (get(m, size, src), read(m, size, mask)?);
    let result = circuits::gather(m.domain(), width, value, mask);
    set(m, size, dst, result);
    Ok(())
}
