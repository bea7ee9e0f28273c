// SPDX-License-Identifier: GPL-2.0-or-later
//! Sums, maxima and minima of lanes of one register.

use kop_ops::aarch64::{Arrangement, V};

use super::lanewise::combined;
use super::{AcrossOp, BinaryOp, Lanes, PairwiseOp, Three, lanes, scalar};
use crate::aarch64::Machine;
use crate::domain::Domain;

/// ADDV: the sum of all lanes, of the size of one.
pub(super) fn sum<M: Machine>(m: &mut M, arrangement: Arrangement, vd: V, vn: V) {
    reduce(m, BinaryOp::Add, arrangement, vd, vn);
}

/// UADDLV, SADDLV: the sum of all lanes, of twice the size.
pub(super) fn long_sum<M: Machine>(m: &mut M, signed: bool, arrangement: Arrangement, vd: V, vn: V) {
    let source = lanes::read(m, arrangement, vn);
    let wide = widened(m.domain(), signed, source);
    let bits = wide.bits();
    let sum = wide.reduce(|a, b| m.domain().add(bits, a, b));
    scalar(m, vd, bits, sum);
}

/// SADDLV to UMINV, and ADDP of a scalar.
pub(super) fn across<M: Machine>(m: &mut M, op: AcrossOp, arrangement: Arrangement, vd: V, vn: V) {
    match op {
        AcrossOp::Saddlv => long_sum(m, true, arrangement, vd, vn),
        AcrossOp::Smaxv => reduce(m, BinaryOp::Smax, arrangement, vd, vn),
        AcrossOp::Sminv => reduce(m, BinaryOp::Smin, arrangement, vd, vn),
        AcrossOp::Umaxv => reduce(m, BinaryOp::Umax, arrangement, vd, vn),
        AcrossOp::Uminv => reduce(m, BinaryOp::Umin, arrangement, vd, vn),
        AcrossOp::Addp => reduce(m, BinaryOp::Add, arrangement, vd, vn),
    }
}

fn reduce<M: Machine>(m: &mut M, op: BinaryOp, arrangement: Arrangement, vd: V, vn: V) {
    let source = lanes::read(m, arrangement, vn);
    let bits = source.bits();
    let result = source.reduce(|a, b| combined(m.domain(), op, bits, a, b));
    scalar(m, vd, bits, result);
}

/// ADDP to UMINP.
pub(super) fn pairwise<M: Machine>(m: &mut M, op: PairwiseOp, arrangement: Arrangement, (vd, vn, vm): Three) {
    let op = match op {
        PairwiseOp::Addp => BinaryOp::Add,
        PairwiseOp::Smaxp => BinaryOp::Smax,
        PairwiseOp::Sminp => BinaryOp::Smin,
        PairwiseOp::Umaxp => BinaryOp::Umax,
        PairwiseOp::Uminp => BinaryOp::Umin,
    };
    let sources = [lanes::read(m, arrangement, vn), lanes::read(m, arrangement, vm)];
    let (bits, count) = (sources[0].bits(), lanes::count(arrangement));
    let result = Lanes::new(bits, count, |i| {
        let source = sources[2 * i / count];
        let first = 2 * i % count;
        combined(m.domain(), op, bits, source.at(first), source.at(first + 1))
    });
    lanes::write(m, vd, &result);
}

/// SADDLP, UADDLP, SADALP, UADALP.
pub(super) fn pairwise_long<M: Machine>(
    m: &mut M,
    (signed, accumulate): (bool, bool),
    arrangement: Arrangement,
    vd: V,
    vn: V,
) {
    let source = lanes::read(m, arrangement, vn);
    let wide = widened(m.domain(), signed, source);
    let (bits, count) = (wide.bits(), wide.all().len() / 2);
    let mut sums = Lanes::new(bits, count, |i| m.domain().add(bits, wide.at(2 * i), wide.at(2 * i + 1)));
    if accumulate {
        let old = m.vector(vd);
        let old = Lanes::split(m.domain(), bits, count, old);
        sums = old.zip(sums, bits, |old, sum| m.domain().add(bits, old, sum));
    }
    lanes::write(m, vd, &sums);
}

/// Every lane extended to twice its size; a register's worth of them may be more than a register.
pub(super) fn widened<D: Domain>(d: &mut D, signed: bool, source: Lanes<D::Value>) -> Lanes<D::Value> {
    let bits = source.bits();
    source.map(2 * bits, |lane| extended(d, signed, bits, lane))
}

fn extended<D: Domain>(d: &mut D, signed: bool, bits: u32, lane: D::Value) -> D::Value {
    if signed { d.sign_extend(bits, 2 * bits, lane) } else { d.zero_extend(bits, 2 * bits, lane) }
}
