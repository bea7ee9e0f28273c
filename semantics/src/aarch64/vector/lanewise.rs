// SPDX-License-Identifier: GPL-2.0-or-later
//! Operations on each lane by itself.

use kop_ops::aarch64::{Arrangement, V};

use super::{BinaryOp, Lanes, Three, UnaryOp, lanes};
use crate::aarch64::Machine;
use crate::aarch64::bits::{leading_signs, reverse_bits};
use crate::circuits::{carryless_product, leading_zeros, ones};
use crate::domain::Domain;

/// CNT.
pub(super) fn count_ones<M: Machine>(m: &mut M, arrangement: Arrangement, vd: V, vn: V) {
    let source = lanes::read(m, arrangement, vn);
    let counts = source.map(8, |lane| ones(m.domain(), 8, lane));
    lanes::write(m, vd, &counts);
}

/// ABS to CMLT with zero.
pub(super) fn unary<M: Machine>(m: &mut M, op: UnaryOp, arrangement: Arrangement, vd: V, vn: V) {
    let source = lanes::read(m, arrangement, vn);
    let bits = source.bits();
    let result = match op {
        UnaryOp::Rev16 => reversed(source, 16),
        UnaryOp::Rev32 => reversed(source, 32),
        UnaryOp::Rev64 => reversed(source, 64),
        _ => source.map(bits, |lane| changed(m.domain(), op, bits, lane)),
    };
    lanes::write(m, vd, &result);
}

/// The lanes in reverse order within each container of `container` bits.
fn reversed<V: Copy>(source: Lanes<V>, container: u32) -> Lanes<V> {
    let last = (container / source.bits()) as usize - 1;
    Lanes::new(source.bits(), source.all().len(), |i| source.at(i & !last | !i & last))
}

/// A lane after an operation on it alone.
fn changed<D: Domain>(d: &mut D, op: UnaryOp, bits: u32, lane: D::Value) -> D::Value {
    let zero = d.constant(bits, 0);
    match op {
        UnaryOp::Abs => {
            let (negative, negated) = (d.slt(bits, lane, zero), d.neg(bits, lane));
            d.ite(bits, negative, negated, lane)
        }
        UnaryOp::Neg => d.neg(bits, lane),
        UnaryOp::Not => d.not(bits, lane),
        UnaryOp::Rbit => reverse_bits(d, bits, lane),
        UnaryOp::Clz => leading_zeros(d, bits, lane),
        UnaryOp::Cls => leading_signs(d, bits, lane),
        UnaryOp::Cmeq => compared(d, BinaryOp::Cmeq, bits, lane, zero),
        UnaryOp::Cmge => compared(d, BinaryOp::Cmge, bits, lane, zero),
        UnaryOp::Cmgt => compared(d, BinaryOp::Cmgt, bits, lane, zero),
        UnaryOp::Cmle => compared(d, BinaryOp::Cmge, bits, zero, lane),
        UnaryOp::Cmlt => compared(d, BinaryOp::Cmgt, bits, zero, lane),
        UnaryOp::Rev16 | UnaryOp::Rev32 | UnaryOp::Rev64 => unreachable!("{op:?} moves lanes"),
    }
}

/// ADD to USHL.
pub(super) fn binary<M: Machine>(m: &mut M, op: BinaryOp, arrangement: Arrangement, (vd, vn, vm): Three) {
    let (a, b) = (lanes::read(m, arrangement, vn), lanes::read(m, arrangement, vm));
    let bits = a.bits();
    let result = match op {
        BinaryOp::Mla | BinaryOp::Mls => {
            let products = a.zip(b, bits, |a, b| m.domain().mul(bits, a, b));
            let old = lanes::read(m, arrangement, vd);
            let op = if op == BinaryOp::Mla { BinaryOp::Add } else { BinaryOp::Sub };
            old.zip(products, bits, |old, product| combined(m.domain(), op, bits, old, product))
        }
        _ => a.zip(b, bits, |a, b| combined(m.domain(), op, bits, a, b)),
    };
    lanes::write(m, vd, &result);
}

/// The lane that two lanes make.
pub(super) fn combined<D: Domain>(d: &mut D, op: BinaryOp, bits: u32, a: D::Value, b: D::Value) -> D::Value {
    match op {
        BinaryOp::Add => d.add(bits, a, b),
        BinaryOp::Sub => d.sub(bits, a, b),
        BinaryOp::Mul => d.mul(bits, a, b),
        BinaryOp::Pmul => carryless_product(d, bits, a, b)[0],
        BinaryOp::Smax | BinaryOp::Smin | BinaryOp::Umax | BinaryOp::Umin => {
            let signed = matches!(op, BinaryOp::Smax | BinaryOp::Smin);
            let less = if signed { d.slt(bits, a, b) } else { d.ult(bits, a, b) };
            let greatest = matches!(op, BinaryOp::Smax | BinaryOp::Umax);
            let (if_less, otherwise) = if greatest { (b, a) } else { (a, b) };
            d.ite(bits, less, if_less, otherwise)
        }
        BinaryOp::Cmeq | BinaryOp::Cmge | BinaryOp::Cmgt => compared(d, op, bits, a, b),
        BinaryOp::Cmhi | BinaryOp::Cmhs | BinaryOp::Cmtst => compared(d, op, bits, a, b),
        BinaryOp::Sshl | BinaryOp::Ushl => shifted(d, op == BinaryOp::Sshl, bits, a, b),
        BinaryOp::Mla | BinaryOp::Mls => unreachable!("{op:?} has a third operand"),
    }
}

/// Ones where a comparison holds, zeros elsewhere.
fn compared<D: Domain>(d: &mut D, op: BinaryOp, bits: u32, a: D::Value, b: D::Value) -> D::Value {
    let holds = match op {
        BinaryOp::Cmeq => d.eq(bits, a, b),
        BinaryOp::Cmgt => d.slt(bits, b, a),
        BinaryOp::Cmhi => d.ult(bits, b, a),
        BinaryOp::Cmge => {
            let less = d.slt(bits, a, b);
            d.not(1, less)
        }
        BinaryOp::Cmhs => {
            let less = d.ult(bits, a, b);
            d.not(1, less)
        }
        _ => {
            let (common, zero) = (d.and(bits, a, b), d.constant(bits, 0));
            let none = d.eq(bits, common, zero);
            d.not(1, none)
        }
    };
    d.sign_extend(1, bits, holds)
}

/// SSHL, USHL: `a` shifted by the signed number in the low byte of `b`.
fn shifted<D: Domain>(d: &mut D, signed: bool, bits: u32, a: D::Value, b: D::Value) -> D::Value {
    let by = d.truncate(bits, 8, b);
    let right = d.extract(8, 7, 1, by);
    // The negative of -128 is 128 as an unsigned number.
    let back = d.neg(8, by);
    let (by, back) = (d.zero_extend(8, bits, by), d.zero_extend(8, bits, back));
    let to_left = d.shl(bits, a, by);
    let to_right = if signed { d.ashr(bits, a, back) } else { d.lshr(bits, a, back) };
    d.ite(bits, right, to_right, to_left)
}
