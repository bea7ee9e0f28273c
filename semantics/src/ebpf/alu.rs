// SPDX-License-Identifier: GPL-2.0-or-later
//! Arithmetic, moves and byte order conversions (RFC 9669 sections 4.1 and 4.2).

use kop_ops::ebpf::{AluOp, EndKind, Operand, Reg, Width};

use super::{Machine, Value, operand, register};
use crate::domain::Domain;

/// `dst = dst op src` on `WIDTH` bits; a result of 32 bits is zero-extended (RFC 9669 section 4.1).
#[inline(always)]
pub(super) fn alu<M: Machine, const WIDTH: u32>(m: &mut M, op: AluOp, dst: Reg, src: Operand) {
    let b = operand::<M, WIDTH>(m, src);
    let result = if op.is_move() {
        moved::<M, WIDTH>(m, op, b)
    } else {
        let a = register::<M, WIDTH>(m, dst);
        binary(m.domain(), op, WIDTH, a, b)
    };
    let result = m.domain().zero_extend(WIDTH, 64, result);
    m.set(dst, result);
}

/// `a op b`; for moves `b`.
#[inline(always)]
fn binary<D: Domain>(d: &mut D, op: AluOp, width: u32, a: D::Value, b: D::Value) -> D::Value {
    match op {
        AluOp::Add => d.add(width, a, b),
        AluOp::Sub => d.sub(width, a, b),
        AluOp::Mul => d.mul(width, a, b),
        AluOp::Div => {
            let quotient = d.udiv(width, a, b);
            unless_by_zero(d, width, b, quotient)
        }
        AluOp::SDiv => {
            let quotient = d.sdiv(width, a, b);
            unless_by_zero(d, width, b, quotient)
        }
        // By zero, the domain's remainder is the dividend, as RFC 9669 section 4.1 wants it.
        AluOp::Mod => d.urem(width, a, b),
        AluOp::SMod => d.srem(width, a, b),
        AluOp::Or => d.or(width, a, b),
        AluOp::And => d.and(width, a, b),
        AluOp::Xor => d.xor(width, a, b),
        AluOp::Lsh => {
            let amount = masked(d, width, b);
            d.shl(width, a, amount)
        }
        AluOp::Rsh => {
            let amount = masked(d, width, b);
            d.lshr(width, a, amount)
        }
        AluOp::Arsh => {
            let amount = masked(d, width, b);
            d.ashr(width, a, amount)
        }
        AluOp::Mov | AluOp::MovSx8 | AluOp::MovSx16 | AluOp::MovSx32 => b,
    }
}

/// Zero where `divisor` is zero, else `quotient`.
#[inline(always)]
fn unless_by_zero<D: Domain>(d: &mut D, width: u32, divisor: D::Value, quotient: D::Value) -> D::Value {
    let zero = d.constant(width, 0);
    let by_zero = d.eq(width, divisor, zero);
    d.ite(width, by_zero, zero, quotient)
}

/// A shift amount: modulo the width, for immediates as for registers.
#[inline(always)]
fn masked<D: Domain>(d: &mut D, width: u32, amount: D::Value) -> D::Value {
    let mask = d.constant(width, u64::from(width) - 1);
    d.and(width, amount, mask)
}

/// What a move makes of its source: itself, or its low bits sign-extended.
#[inline(always)]
fn moved<M: Machine, const WIDTH: u32>(m: &mut M, op: AluOp, source: Value<M>) -> Value<M> {
    let from = match op {
        AluOp::MovSx8 => 8,
        AluOp::MovSx16 => 16,
        AluOp::MovSx32 => 32,
        _ => return source,
    };
    let low = m.domain().truncate(WIDTH, from, source);
    m.domain().sign_extend(from, WIDTH, low)
}

/// `dst = -dst`.
#[inline(always)]
pub(super) fn neg<M: Machine>(m: &mut M, width: Width, dst: Reg) {
    let value = m.get(dst);
    let d = m.domain();
    let low = d.truncate(64, width.bits(), value);
    let negated = d.neg(width.bits(), low);
    let result = d.zero_extend(width.bits(), 64, negated);
    m.set(dst, result);
}

/// The low `bits` of `dst` in the wanted byte order, zero-extended (RFC 9669 section 4.2). The host order is little-endian.
#[inline(always)]
pub(super) fn end<M: Machine>(m: &mut M, kind: EndKind, bits: u32, dst: Reg) {
    let value = m.get(dst);
    let d = m.domain();
    let low = d.truncate(64, bits, value);
    let converted = match kind {
        EndKind::ToLe => low,
        EndKind::ToBe | EndKind::Swap => d.swap_bytes(bits, low),
    };
    let result = d.zero_extend(bits, 64, converted);
    m.set(dst, result);
}
