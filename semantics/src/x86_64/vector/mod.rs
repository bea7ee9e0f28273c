// SPDX-License-Identifier: GPL-2.0-or-later
//! SSE instructions on integers, in their legacy encodings, and VPOPCNTD and VPOPCNTQ of 128 bits (Intel SDM vol. 2, under each
//! mnemonic). A register is a pair of 64-bit halves, which are taken apart into lanes where an operation needs them; what is above
//! is no part of it.

mod lanes;
mod order;
mod transfer;

use kop_ops::x86_64::{Gpr, Size, Xmm};

use super::flags::{Flag, is_zero, set_to};
use super::insn::{Mem, Place, XmmOrMem};
use super::{Machine, Value};
use crate::circuits::carryless_product;
use crate::domain::Domain;

/// An SSE instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "operands are called dst and src as in the manual; the variants say the rest"
)]
pub enum VectorInsn {
    /// `movdqa`, `movdqu`, `movups` and their like, to a register.
    Load { dst: Xmm, src: XmmOrMem, aligned: bool },
    /// The same, to memory; `movntdq`.
    Store { dst: Mem, src: Xmm, aligned: bool },
    /// `movd`, `movq` from a general register or memory: zero-extended.
    FromGeneral { size: Size, dst: Xmm, src: Place },
    /// `movd`, `movq` to a general register or memory.
    ToGeneral { size: Size, dst: Place, src: Xmm },
    /// `movq` between SSE registers: zero-extended.
    LowHalf { dst: Xmm, src: Xmm },
    /// `movlps`, `movhps`, `movhlps`, `movlhps` and their like: into one half; the source is memory or one half of a register.
    LoadHalf { dst: Xmm, to_high: bool, src: XmmOrMem, from_high: bool },
    /// `movlps`, `movhps` and their like, to memory.
    StoreHalf { dst: Mem, src: Xmm, from_high: bool },
    /// `pand`, `pandn`, `por`, `pxor`, `andps` and their like.
    Logic { op: Logic, dst: Xmm, src: XmmOrMem },
    /// `paddb` and its like: lane by lane.
    Lanes { op: LaneOp, size: Size, dst: Xmm, src: XmmOrMem },
    /// `psllw` and its like, by a constant.
    Shift { op: LaneShift, size: Size, dst: Xmm, amount: u8 },
    /// `psllw` and its like, by the low half of the source.
    ShiftBy { op: LaneShift, size: Size, dst: Xmm, src: XmmOrMem },
    /// `pslldq`, `psrldq`.
    ShiftBytes { left: bool, dst: Xmm, amount: u8 },
    /// `punpcklbw` and its like.
    Unpack { high: bool, size: Size, dst: Xmm, src: XmmOrMem },
    /// `pshufd`, `pshuflw`, `pshufhw`.
    Shuffle { lanes: Shuffled, dst: Xmm, src: XmmOrMem, order: u8 },
    /// `pshufb`.
    ShuffleBytes { dst: Xmm, src: XmmOrMem },
    /// `palignr`.
    AlignRight { dst: Xmm, src: XmmOrMem, amount: u8 },
    /// `pmovmskb`.
    ByteMask { dst: Gpr, src: Xmm },
    /// `pextrb` and its like; registers are zero-extended.
    ExtractLane { size: Size, dst: Place, src: Xmm, lane: u8 },
    /// `pinsrb` and its like.
    InsertLane { size: Size, dst: Xmm, src: Place, lane: u8 },
    /// `pmovzxbw` and its like: as many of the lowest lanes as fit, wider.
    Widen { signed: bool, from: Size, to: Size, dst: Xmm, src: XmmOrMem },
    /// `pmuludq`, `pmuldq`.
    MultiplyEven { signed: bool, dst: Xmm, src: XmmOrMem },
    /// `pclmulqdq`.
    CarrylessMultiply { dst: Xmm, src: XmmOrMem, halves: u8 },
    /// `ptest`.
    Test { dst: Xmm, src: XmmOrMem },
    /// `vpopcntd`, `vpopcntq` of 128 bits of a register.
    CountOnes { size: Size, dst: Xmm, src: Xmm },
}

/// Bitwise operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a name says it all")]
pub enum Logic {
    And,
    /// The destination is inverted.
    AndNot,
    Or,
    Xor,
}

/// Operations on each pair of lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a name says it all")]
pub enum LaneOp {
    Add,
    Sub,
    Equal,
    Greater,
    MultiplyLow,
    MinUnsigned,
    MaxUnsigned,
    MinSigned,
    MaxSigned,
    /// Of the source alone.
    Absolute,
}

/// Shifts of each lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a name says it all")]
pub enum LaneShift {
    Left,
    Right,
    RightSigned,
}

/// What a shuffle with a constant orders anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shuffled {
    /// The four doublewords.
    Doublewords,
    /// The four words of the low half.
    LowWords,
    /// The four words of the high half.
    HighWords,
}

type Halves<V> = [V; 2];

/// Runs an SSE instruction.
pub(super) fn vector<M: Machine>(m: &mut M, insn: VectorInsn) -> Result<(), M::Stop> {
    use VectorInsn as I;
    match insn {
        I::Load { dst, src, aligned } => transfer::move_whole(m, dst, src, aligned)?,
        I::Store { dst, src, aligned } => transfer::store(m, dst, src, aligned)?,
        I::FromGeneral { size, dst, src } => transfer::from_general(m, size, dst, src)?,
        I::ToGeneral { size, dst, src } => transfer::to_general(m, size, dst, src)?,
        I::LowHalf { dst, src } => transfer::low_half(m, dst, src),
        I::LoadHalf { dst, to_high, src, from_high } => {
            transfer::load_half(m, (dst, to_high), (src, from_high))?
        }
        I::StoreHalf { dst, src, from_high } => transfer::store_half(m, dst, src, from_high)?,
        I::Logic { op, dst, src } => binary(m, dst, src, |d, a, b| [0, 1].map(|i| logic(d, op, a[i], b[i])))?,
        I::Lanes { op, size, dst, src } => {
            binary(m, dst, src, |d, a, b| lanes::lanes(d, op, size.bits(), a, b))?
        }
        I::Shift { op, size, dst, amount } => {
            let value = m.vector(dst);
            let shifted = lanes::shift_lanes(m.domain(), op, size.bits(), value, amount);
            m.set_vector(dst, shifted);
        }
        I::ShiftBy { op, size, dst, src } => {
            binary(m, dst, src, |d, a, [count, _]| lanes::shift_lanes_by(d, op, size.bits(), a, count))?;
        }
        I::ShiftBytes { left, dst, amount } => {
            let value = m.vector(dst);
            let shifted = order::shift_bytes(m.domain(), left, value, amount);
            m.set_vector(dst, shifted);
        }
        I::Unpack { high, size, dst, src } => {
            binary(m, dst, src, |d, a, b| order::unpack(d, high, size.bits(), a, b))?
        }
        I::Shuffle { lanes, dst, src, order } => {
            binary(m, dst, src, |d, _, value| order::shuffle(d, lanes, value, order))?;
        }
        I::ShuffleBytes { dst, src } => binary(m, dst, src, order::shuffle_bytes)?,
        I::AlignRight { dst, src, amount } => {
            binary(m, dst, src, |d, a, b| order::align_right(d, a, b, amount))?
        }
        I::ByteMask { dst, src } => lanes::byte_mask(m, dst, src),
        I::ExtractLane { size, dst, src, lane } => lanes::extract_lane(m, size, dst, src, lane)?,
        I::InsertLane { size, dst, src, lane } => lanes::insert_lane(m, size, dst, src, lane)?,
        I::Widen { signed, from, to, dst, src } => lanes::widen(m, signed, (from, to), dst, src)?,
        I::MultiplyEven { signed, dst, src } => {
            binary(m, dst, src, |d, a, b| [0, 1].map(|i| lanes::multiply_low_halves(d, signed, a[i], b[i])))?;
        }
        I::CarrylessMultiply { dst, src, halves } => binary(m, dst, src, |d, a, b| {
            carryless_product(d, 64, a[usize::from(halves & 1)], b[usize::from(halves >> 4 & 1)])
        })?,
        I::Test { dst, src } => test(m, dst, src)?,
        I::CountOnes { size, dst, src } => {
            let value = m.vector(src);
            let counts = lanes::count_ones(m.domain(), size.bits(), value);
            m.set_vector(dst, counts);
        }
    }
    Ok(())
}

/// The source of an operation on whole registers: memory has to be aligned.
fn source<M: Machine>(m: &mut M, src: XmmOrMem) -> Result<Halves<Value<M>>, M::Stop> {
    match src {
        XmmOrMem::Xmm(xmm) => Ok(m.vector(xmm)),
        XmmOrMem::Mem(mem) => transfer::load(m, mem, true),
    }
}

/// `dst = operation(dst, src)`.
fn binary<M: Machine>(
    m: &mut M,
    dst: Xmm,
    src: XmmOrMem,
    operation: impl FnOnce(&mut M::Domain, Halves<Value<M>>, Halves<Value<M>>) -> Halves<Value<M>>,
) -> Result<(), M::Stop> {
    let (a, b) = (m.vector(dst), source(m, src)?);
    let result = operation(m.domain(), a, b);
    m.set_vector(dst, result);
    Ok(())
}

fn logic<D: Domain>(d: &mut D, op: Logic, a: D::Value, b: D::Value) -> D::Value {
    match op {
        Logic::And => d.and(64, a, b),
        Logic::Or => d.or(64, a, b),
        Logic::Xor => d.xor(64, a, b),
        Logic::AndNot => {
            let inverted = d.not(64, a);
            d.and(64, inverted, b)
        }
    }
}

/// `ptest`: ZF for no common ones, CF for no ones of the source outside of the destination.
fn test<M: Machine>(m: &mut M, dst: Xmm, src: XmmOrMem) -> Result<(), M::Stop> {
    let (a, b) = (m.vector(dst), source(m, src)?);
    let d = m.domain();
    let none = [Logic::And, Logic::AndNot].map(|op| {
        let [low, high] = [0, 1].map(|i| logic(d, op, a[i], b[i]));
        let both = d.or(64, low, high);
        is_zero(d, 64, both)
    });
    for flag in Flag::STATUS {
        set_to(m, flag, false);
    }
    m.set_flag(Flag::Zero, none[0]);
    m.set_flag(Flag::Carry, none[1]);
    Ok(())
}
