// SPDX-License-Identifier: GPL-2.0-or-later
//! Operations on lanes: arithmetic, comparisons, shifts, and lanes one by one.

use kop_ops::x86_64::{Gpr, Size, Xmm};

use super::{Halves, LaneOp, LaneShift};
use crate::circuits::ones;
use crate::domain::Domain;
use crate::x86_64::Machine;
use crate::x86_64::insn::{Place, XmmOrMem};
use crate::x86_64::operand::{address, read, write};

/// The lanes of a register, the lowest first; of sixteen places, as many count as there are lanes.
pub(super) type Lanes<V> = [V; 16];

pub(super) fn split<D: Domain>(d: &mut D, width: u32, [low, high]: Halves<D::Value>) -> Lanes<D::Value> {
    let per_half = (64 / width) as usize;
    let mut lanes = [low; 16];
    for (i, lane) in lanes.iter_mut().enumerate().take(2 * per_half) {
        let half = if i < per_half { low } else { high };
        *lane = d.extract(64, (i % per_half) as u32 * width, width, half);
    }
    lanes
}

pub(super) fn join<D: Domain>(d: &mut D, width: u32, lanes: &Lanes<D::Value>) -> Halves<D::Value> {
    let per_half = (64 / width) as usize;
    let mut half = |lanes: &[D::Value]| {
        let mut joined = lanes[0];
        for (below, &lane) in (1..).zip(&lanes[1..]) {
            joined = d.concat((below + 1) * width, below * width, lane, joined);
        }
        joined
    };
    [half(&lanes[..per_half]), half(&lanes[per_half..2 * per_half])]
}

pub(super) fn lanes<D: Domain>(
    d: &mut D,
    op: LaneOp,
    width: u32,
    a: Halves<D::Value>,
    b: Halves<D::Value>,
) -> Halves<D::Value> {
    let (mut lanes, others) = (split(d, width, a), split(d, width, b));
    for (lane, other) in lanes.iter_mut().zip(others).take(128 / width as usize) {
        *lane = lane_operation(d, op, width, *lane, other);
    }
    join(d, width, &lanes)
}

/// The number of ones in each lane.
pub(super) fn count_ones<D: Domain>(d: &mut D, width: u32, value: Halves<D::Value>) -> Halves<D::Value> {
    let mut lanes = split(d, width, value);
    for lane in lanes.iter_mut().take(128 / width as usize) {
        *lane = ones(d, width, *lane);
    }
    join(d, width, &lanes)
}

fn lane_operation<D: Domain>(d: &mut D, op: LaneOp, width: u32, a: D::Value, b: D::Value) -> D::Value {
    match op {
        LaneOp::Add => d.add(width, a, b),
        LaneOp::Sub => d.sub(width, a, b),
        LaneOp::MultiplyLow => d.mul(width, a, b),
        LaneOp::Equal => {
            let equal = d.eq(width, a, b);
            d.sign_extend(1, width, equal)
        }
        LaneOp::Greater => {
            let greater = d.slt(width, b, a);
            d.sign_extend(1, width, greater)
        }
        LaneOp::MinUnsigned | LaneOp::MaxUnsigned => {
            let less = d.ult(width, a, b);
            if op == LaneOp::MinUnsigned { d.ite(width, less, a, b) } else { d.ite(width, less, b, a) }
        }
        LaneOp::MinSigned | LaneOp::MaxSigned => {
            let less = d.slt(width, a, b);
            if op == LaneOp::MinSigned { d.ite(width, less, a, b) } else { d.ite(width, less, b, a) }
        }
        LaneOp::Absolute => {
            let (zero, negated) = (d.constant(width, 0), d.neg(width, b));
            let negative = d.slt(width, b, zero);
            d.ite(width, negative, negated, b)
        }
    }
}

/// Each lane shifted by a constant; beyond the width, zeros or the sign are left.
pub(super) fn shift_lanes<D: Domain>(
    d: &mut D,
    op: LaneShift,
    width: u32,
    a: Halves<D::Value>,
    amount: u8,
) -> Halves<D::Value> {
    let count = d.constant(64, amount.into());
    shift_lanes_by(d, op, width, a, count)
}

/// Each lane shifted by a number of 64 bits.
pub(super) fn shift_lanes_by<D: Domain>(
    d: &mut D,
    op: LaneShift,
    width: u32,
    a: Halves<D::Value>,
    count: D::Value,
) -> Halves<D::Value> {
    let limit = d.constant(64, width.into());
    let within = d.ult(64, count, limit);
    let count = d.ite(64, within, count, limit);
    let count = d.truncate(64, width, count);
    let mut lanes = split(d, width, a);
    for lane in lanes.iter_mut().take(128 / width as usize) {
        *lane = match op {
            LaneShift::Left => d.shl(width, *lane, count),
            LaneShift::Right => d.lshr(width, *lane, count),
            LaneShift::RightSigned => d.ashr(width, *lane, count),
        };
    }
    join(d, width, &lanes)
}

/// The product of the low doublewords of two quadwords.
pub(super) fn multiply_low_halves<D: Domain>(d: &mut D, signed: bool, a: D::Value, b: D::Value) -> D::Value {
    let [a, b] = [a, b].map(|value| {
        let low = d.truncate(64, 32, value);
        if signed { d.sign_extend(32, 64, low) } else { d.zero_extend(32, 64, low) }
    });
    d.mul(64, a, b)
}

/// `pmovzx` and `pmovsx`, of which memory has only as many bytes as are used.
pub(super) fn widen<M: Machine>(
    m: &mut M,
    signed: bool,
    (from, to): (Size, Size),
    dst: Xmm,
    src: XmmOrMem,
) -> Result<(), M::Stop> {
    let count = 16 / to.bytes();
    let bytes = count * from.bytes();
    let low = match src {
        XmmOrMem::Xmm(xmm) => m.vector(xmm)[0],
        XmmOrMem::Mem(mem) => {
            let address = address(m, mem);
            let value = m.load(bytes, address)?;
            m.domain().zero_extend(8 * bytes, 64, value)
        }
    };
    let (narrow, wide) = (from.bits(), to.bits());
    let d = m.domain();
    let mut lanes = split(d, narrow, [low, low]);
    for lane in lanes.iter_mut().take(count as usize) {
        *lane = if signed { d.sign_extend(narrow, wide, *lane) } else { d.zero_extend(narrow, wide, *lane) };
    }
    let joined = join(d, wide, &lanes);
    m.set_vector(dst, joined);
    Ok(())
}

pub(super) fn extract_lane<M: Machine>(
    m: &mut M,
    size: Size,
    dst: Place,
    src: Xmm,
    lane: u8,
) -> Result<(), M::Stop> {
    let (width, value) = (size.bits(), m.vector(src));
    let d = m.domain();
    let lane = split(d, width, value)[usize::from(lane) % (128 / width as usize)];
    let Place::Reg(register) = dst else { return write(m, size, dst, lane) };
    let extended = d.zero_extend(width, 64, lane);
    m.set(register, extended);
    Ok(())
}

pub(super) fn insert_lane<M: Machine>(
    m: &mut M,
    size: Size,
    dst: Xmm,
    src: Place,
    lane: u8,
) -> Result<(), M::Stop> {
    let (width, value) = (size.bits(), read(m, size, src)?);
    let old = m.vector(dst);
    let d = m.domain();
    let mut lanes = split(d, width, old);
    lanes[usize::from(lane) % (128 / width as usize)] = value;
    let joined = join(d, width, &lanes);
    m.set_vector(dst, joined);
    Ok(())
}

/// The highest bit of each byte.
pub(super) fn byte_mask<M: Machine>(m: &mut M, dst: Gpr, src: Xmm) {
    let value = m.vector(src);
    let d = m.domain();
    let bytes = split(d, 8, value);
    let mut mask = d.extract(8, 7, 1, bytes[0]);
    for (below, &byte) in (1..).zip(&bytes[1..]) {
        let bit = d.extract(8, 7, 1, byte);
        mask = d.concat(below + 1, below, bit, mask);
    }
    let mask = d.zero_extend(16, 64, mask);
    m.set(dst, mask);
}
