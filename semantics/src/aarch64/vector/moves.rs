// SPDX-License-Identifier: GPL-2.0-or-later
//! Moves between general and SIMD registers, lanes and immediates.

use kop_ops::aarch64::{Arrangement, FmovLane, Gpr, Scalar, V};

use super::{ImmediateOp, Lanes, lanes, scalar, set_halves};
use crate::aarch64::operand::{read, write};
use crate::aarch64::{Machine, Value};
use crate::domain::Domain;

/// FMOV from a SIMD register.
pub(super) fn to_general<M: Machine>(m: &mut M, lane: FmovLane, rd: Gpr, vn: V) {
    let [low, high] = m.vector(vn);
    let value = match lane {
        FmovLane::S => m.domain().truncate(64, 32, low),
        FmovLane::D => low,
        FmovLane::UpperD => high,
    };
    write(m, lane.width(), rd, value);
}

/// FMOV to a SIMD register. The upper half stays when it is not the destination's, and else becomes zero.
pub(super) fn from_general<M: Machine>(m: &mut M, lane: FmovLane, vd: V, rn: Gpr) {
    let value = read(m, lane.width(), rn);
    match lane {
        FmovLane::S => scalar(m, vd, 32, value),
        FmovLane::D => scalar(m, vd, 64, value),
        FmovLane::UpperD => insert(m, Scalar::D, (vd, 1), value),
    }
}

/// Sets one lane of a register.
pub(super) fn insert<M: Machine>(m: &mut M, lane: Scalar, (vd, index): (V, u8), value: Value<M>) {
    let bits = 8 * lane.bytes();
    let halves = m.vector(vd);
    let lanes = Lanes::split(m.domain(), bits, (128 / bits) as usize, halves);
    lanes::write(m, vd, &lanes.with(usize::from(index), value));
}

/// Sets every lane of a register.
pub(super) fn duplicate<M: Machine>(m: &mut M, arrangement: Arrangement, vd: V, value: Value<M>) {
    let bits = 8 * arrangement.lane().bytes();
    let lanes = Lanes::new(bits, lanes::count(arrangement), |_| value);
    lanes::write(m, vd, &lanes);
}

/// MOVI, MVNI, ORR, BIC of an immediate.
pub(super) fn immediate<M: Machine>(m: &mut M, op: ImmediateOp, all: bool, vd: V, imm: u64) {
    let old = m.vector(vd);
    let d = m.domain();
    let (imm, complement) = (d.constant(64, imm), d.constant(64, !imm));
    let halves = old.map(|old| match op {
        ImmediateOp::Move => imm,
        ImmediateOp::MoveNot => complement,
        ImmediateOp::Set => d.or(64, old, imm),
        ImmediateOp::Clear => d.and(64, old, complement),
    });
    set_halves(m, all, vd, halves);
}
