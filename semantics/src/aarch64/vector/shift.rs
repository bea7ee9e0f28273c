// SPDX-License-Identifier: GPL-2.0-or-later
//! Shifts of lanes by a constant.

use kop_ops::aarch64::{Arrangement, Scalar, V};

use super::reduce::widened;
use super::{Lanes, ShiftOp, lanes};
use crate::aarch64::Machine;
use crate::domain::Domain;

/// SHL to SRI.
pub(super) fn shift<M: Machine>(
    m: &mut M,
    op: ShiftOp,
    arrangement: Arrangement,
    (vd, vn): (V, V),
    amount: u8,
) {
    let (old, source) = (lanes::read(m, arrangement, vd), lanes::read(m, arrangement, vn));
    let bits = source.bits();
    let result = old.zip(source, bits, |old, lane| shifted(m.domain(), op, bits, (old, lane), amount));
    lanes::write(m, vd, &result);
}

/// A lane after `old`.
fn shifted<D: Domain>(
    d: &mut D,
    op: ShiftOp,
    bits: u32,
    (old, lane): (D::Value, D::Value),
    amount: u8,
) -> D::Value {
    // As many as 64 bits fit an amount of the size of the lane.
    let amount = d.constant(bits, u64::from(amount));
    let moved = match op {
        ShiftOp::Shl | ShiftOp::Sli => d.shl(bits, lane, amount),
        ShiftOp::Ushr | ShiftOp::Usra | ShiftOp::Sri => d.lshr(bits, lane, amount),
        ShiftOp::Sshr | ShiftOp::Ssra => d.ashr(bits, lane, amount),
    };
    let ones = d.constant(bits, u64::MAX);
    match op {
        ShiftOp::Shl | ShiftOp::Ushr | ShiftOp::Sshr => moved,
        ShiftOp::Usra | ShiftOp::Ssra => d.add(bits, old, moved),
        ShiftOp::Sli => {
            let mask = d.shl(bits, ones, amount);
            inserted(d, bits, old, moved, mask)
        }
        ShiftOp::Sri => {
            let mask = d.lshr(bits, ones, amount);
            inserted(d, bits, old, moved, mask)
        }
    }
}

/// `moved`, which has ones in `mask` alone, and around it `old`.
fn inserted<D: Domain>(d: &mut D, bits: u32, old: D::Value, moved: D::Value, mask: D::Value) -> D::Value {
    let around = d.not(bits, mask);
    let kept = d.and(bits, old, around);
    d.or(bits, kept, moved)
}

/// SSHLL, USHLL, SHLL.
pub(super) fn long<M: Machine>(
    m: &mut M,
    signed: bool,
    (lane, upper): (Scalar, bool),
    (vd, vn): (V, V),
    amount: u8,
) {
    let source = lanes::read_half(m, 8 * lane.bytes(), upper, vn);
    let wide = widened(m.domain(), signed, source);
    let bits = wide.bits();
    let amount = m.domain().constant(bits, u64::from(amount));
    let result = wide.map(bits, |lane| m.domain().shl(bits, lane, amount));
    lanes::write(m, vd, &result);
}

/// SHRN, XTN: the other half becomes zero, or stays when the result goes to the upper one.
pub(super) fn narrow<M: Machine>(m: &mut M, (lane, upper): (Scalar, bool), (vd, vn): (V, V), amount: u8) {
    let bits = 8 * lane.bytes();
    let wide = 2 * bits;
    let halves = m.vector(vn);
    let source = Lanes::split(m.domain(), wide, (64 / bits) as usize, halves);
    let amount = m.domain().constant(wide, u64::from(amount));
    let result = source.map(bits, |lane| {
        let d = m.domain();
        let moved = d.lshr(wide, lane, amount);
        d.truncate(wide, bits, moved)
    });
    let [narrowed, zero] = result.join(m.domain());
    let kept = m.vector(vd)[0];
    m.set_vector(vd, if upper { [kept, narrowed] } else { [narrowed, zero] });
}
