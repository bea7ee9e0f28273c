// SPDX-License-Identifier: GPL-2.0-or-later
//! Bits put together and spread by a mask (Intel SDM vol. 2: PDEP, PEXT).

use kop_ops::x86_64::{Gpr, Size};

use super::Machine;
use super::insn::Place;
use super::operand::{get, read, set};
use crate::domain::Domain;

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
    let d = m.domain();
    let stages = stages(d, width, mask);
    let mut spread = value;
    for stage in (0..width.trailing_zeros()).rev() {
        let moved = stages[stage as usize];
        let distance = d.constant(width, 1 << stage);
        let up = d.shl(width, spread, distance);
        let stay = d.not(width, moved);
        let (coming, staying) = (d.and(width, up, moved), d.and(width, spread, stay));
        spread = d.or(width, coming, staying);
    }
    let result = d.and(width, spread, mask);
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
    let d = m.domain();
    let stages = stages(d, width, mask);
    let mut packed = d.and(width, value, mask);
    for stage in 0..width.trailing_zeros() {
        let moving = d.and(width, packed, stages[stage as usize]);
        let staying = d.xor(width, packed, moving);
        let distance = d.constant(width, 1 << stage);
        let down = d.lshr(width, moving, distance);
        packed = d.or(width, staying, down);
    }
    set(m, size, dst, packed);
    Ok(())
}

/// Which bits move down by 1, by 2, by 4 and so on to put those together where `mask` has ones (Warren, Hacker's Delight,
/// 7-4): a bit moves as far as there are zeros below it, and the prefix parities of the zeros are the digits of that number.
fn stages<D: Domain>(d: &mut D, width: u32, mask: D::Value) -> [D::Value; 6] {
    let one = d.constant(width, 1);
    let zeros = d.not(width, mask);
    let mut below = d.shl(width, zeros, one);
    let (mut mask, mut stages) = (mask, [mask; 6]);
    for stage in 0..width.trailing_zeros() {
        let odd = prefix_parity(d, width, below);
        let moving = d.and(width, odd, mask);
        let staying = d.xor(width, mask, moving);
        let distance = d.constant(width, 1 << stage);
        let down = d.lshr(width, moving, distance);
        mask = d.or(width, staying, down);
        let even = d.not(width, odd);
        below = d.and(width, below, even);
        stages[stage as usize] = moving;
    }
    stages
}

/// Each bit the parity of the bits of `a` up to it.
fn prefix_parity<D: Domain>(d: &mut D, width: u32, a: D::Value) -> D::Value {
    let mut parity = a;
    for stage in 0..width.trailing_zeros() {
        let distance = d.constant(width, 1 << stage);
        let shifted = d.shl(width, parity, distance);
        parity = d.xor(width, parity, shifted);
    }
    parity
}
