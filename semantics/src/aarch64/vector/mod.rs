// SPDX-License-Identifier: GPL-2.0-or-later
//! What computes with SIMD registers as integers and polynomials (Arm ARM, C4.1.96). No instruction here looks at FPCR or
//! FPSR.

mod lanes;
mod lanewise;
mod moves;
mod operation;
mod permute;
mod reduce;
mod shift;
mod widen;

use kop_ops::aarch64::{Arrangement, Insn, Scalar, V, VLogical};

use self::lanes::Lanes;
pub use self::operation::{
    AcrossOp, BinaryOp, ImmediateOp, LongOp, PairwiseOp, PermuteOp, ShiftOp, UnaryOp, Vector,
};
use super::operand::{read_bits, write, write_bits};
use super::{Machine, Value};
use crate::domain::Domain;

/// What our assembler has.
pub(super) fn compute<M: Machine>(m: &mut M, insn: &Insn) {
    match *insn {
        Insn::FmovToGpr { lane, rd, vn } => moves::to_general(m, lane, rd, vn),
        Insn::FmovFromGpr { lane, vd, rn } => moves::from_general(m, lane, vd, rn),
        Insn::Umov { lane, rd, vn, index } => {
            let value = element(m, lane, vn, index);
            write_bits(m, 8 * lane.bytes(), rd, value);
        }
        Insn::InsGpr { lane, vd, index, rn } => {
            let value = read_bits(m, 8 * lane.bytes(), rn);
            moves::insert(m, lane, (vd, index), value);
        }
        Insn::InsLane { lane, vd, index, vn, from } => {
            let value = element(m, lane, vn, from);
            moves::insert(m, lane, (vd, index), value);
        }
        Insn::DupGpr { arrangement, vd, rn } => {
            let value = read_bits(m, 8 * arrangement.lane().bytes(), rn);
            moves::duplicate(m, arrangement, vd, value);
        }
        Insn::DupLane { arrangement, vd, vn, index } => {
            let value = element(m, arrangement.lane(), vn, index);
            moves::duplicate(m, arrangement, vd, value);
        }
        Insn::Movi { vd, imm } => {
            let half = m.domain().constant(64, imm);
            m.set_vector(vd, [half; 2]);
        }
        Insn::Cnt { arrangement, vd, vn } => lanewise::count_ones(m, arrangement, vd, vn),
        Insn::Addv { arrangement, vd, vn } => reduce::sum(m, arrangement, vd, vn),
        Insn::Uaddlv { arrangement, vd, vn } => reduce::long_sum(m, false, arrangement, vd, vn),
        Insn::Pmull { form, upper, vd, vn, vm } => widen::polynomial(m, form, upper, (vd, vn, vm)),
        Insn::VLogical { op, arrangement, vd, vn, vm } => logical(m, op, arrangement, (vd, vn, vm)),
        Insn::Ext { arrangement, vd, vn, vm, index } => permute::extract(m, arrangement, (vd, vn, vm), index),
        Insn::BitPermute { op, lane, zd, zn, zm } => permute::bits(m, op, lane, (zd, zn, zm)),
        _ => unreachable!("{insn} is no computation of SIMD registers"),
    }
}

/// What it does not have.
pub(super) fn other<M: Machine>(m: &mut M, vector: &Vector) {
    match *vector {
        Vector::Immediate { op, all, vd, imm } => moves::immediate(m, op, all, vd, imm),
        Vector::Smov { width, lane, rd, vn, index } => {
            let value = element(m, lane, vn, index);
            let value = m.domain().sign_extend(8 * lane.bytes(), width.bits(), value);
            write(m, width, rd, value);
        }
        Vector::DupScalar { lane, vd, vn, index } => {
            let value = element(m, lane, vn, index);
            scalar(m, vd, 8 * lane.bytes(), value);
        }
        Vector::FmovScalar { size, vd, vn } => {
            let value = element(m, size, vn, 0);
            scalar(m, vd, 8 * size.bytes(), value);
        }
        Vector::Unary { op, arrangement, vd, vn } => lanewise::unary(m, op, arrangement, vd, vn),
        Vector::Binary { op, arrangement, vd, vn, vm } => lanewise::binary(m, op, arrangement, (vd, vn, vm)),
        Vector::Pairwise { op, arrangement, vd, vn, vm } => {
            reduce::pairwise(m, op, arrangement, (vd, vn, vm))
        }
        Vector::PairwiseLong { signed, accumulate, arrangement, vd, vn } => {
            reduce::pairwise_long(m, (signed, accumulate), arrangement, vd, vn);
        }
        Vector::Long { op, signed, lane, upper, vd, vn, vm } => {
            widen::long(m, op, signed, (lane, upper), (vd, vn, vm));
        }
        Vector::Shift { op, arrangement, vd, vn, amount } => {
            shift::shift(m, op, arrangement, (vd, vn), amount)
        }
        Vector::ShiftLong { signed, lane, upper, vd, vn, amount } => {
            shift::long(m, signed, (lane, upper), (vd, vn), amount);
        }
        Vector::ShiftNarrow { lane, upper, vd, vn, amount } => {
            shift::narrow(m, (lane, upper), (vd, vn), amount);
        }
        Vector::Across { op, arrangement, vd, vn } => reduce::across(m, op, arrangement, vd, vn),
        Vector::Permute { op, arrangement, vd, vn, vm } => permute::permute(m, op, arrangement, (vd, vn, vm)),
        Vector::Table { keep, registers, arrangement, vd, vn, vm } => {
            permute::table(m, keep, registers, arrangement, (vd, vn, vm));
        }
    }
}

/// A destination and its two sources.
type Three = (V, V, V);

/// The lane of a register with this number, counted over all of it.
fn element<M: Machine>(m: &mut M, lane: Scalar, register: V, index: u8) -> Value<M> {
    let (bits, index) = (8 * lane.bytes(), u32::from(index));
    let at = bits * index;
    let halves = m.vector(register);
    m.domain().extract(64, at % 64, bits, halves[(at / 64) as usize])
}

/// Sets a register to a value of `bits`, with zeros above.
fn scalar<M: Machine>(m: &mut M, vd: V, bits: u32, value: Value<M>) {
    let d = m.domain();
    let halves = [d.zero_extend(bits, 64, value), d.constant(64, 0)];
    m.set_vector(vd, halves);
}

/// Sets a register to halves, of which the arrangement may have the lower alone.
fn set_halves<M: Machine>(m: &mut M, all: bool, vd: V, [low, high]: [Value<M>; 2]) {
    let high = if all { high } else { m.domain().constant(64, 0) };
    m.set_vector(vd, [low, high]);
}

/// AND to BIF.
fn logical<M: Machine>(m: &mut M, op: VLogical, arrangement: Arrangement, (vd, vn, vm): Three) {
    let (d, n, r) = (m.vector(vd), m.vector(vn), m.vector(vm));
    let halves = [0, 1].map(|half| combined(m.domain(), op, d[half], n[half], r[half]));
    set_halves(m, arrangement.q() == 1, vd, halves);
}

/// 64 bits of the operation's destination, after `old`, and its sources `a` and `b`.
fn combined<D: Domain>(d: &mut D, op: VLogical, old: D::Value, a: D::Value, b: D::Value) -> D::Value {
    let complement = d.not(64, b);
    match op {
        VLogical::And => d.and(64, a, b),
        VLogical::Bic => d.and(64, a, complement),
        VLogical::Orr => d.or(64, a, b),
        VLogical::Orn => d.or(64, a, complement),
        VLogical::Eor => d.xor(64, a, b),
        VLogical::Bsl => choose(d, old, a, b),
        VLogical::Bit => choose(d, b, a, old),
        VLogical::Bif => choose(d, complement, a, old),
    }
}

/// The bits of `a` where `mask` has ones, those of `b` elsewhere.
fn choose<D: Domain>(d: &mut D, mask: D::Value, a: D::Value, b: D::Value) -> D::Value {
    let rest = d.not(64, mask);
    let (a, b) = (d.and(64, mask, a), d.and(64, rest, b));
    d.or(64, a, b)
}
