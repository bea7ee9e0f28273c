// SPDX-License-Identifier: GPL-2.0-or-later
//! SSE instructions on integers, in their legacy encodings (Intel SDM vol. 2, under each mnemonic). A register is a pair of
//! 64-bit halves, which are taken apart into lanes where an operation needs them.

use kop_ops::x86_64::{Gpr, Size, Xmm};

use super::flags::{Flag, is_zero, set_to};
use super::insn::{Mem, Place, XmmOrMem};
use super::operand::{address, read, write};
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

/// The lanes of a register, the lowest first; of sixteen places, as many count as there are lanes.
type Lanes<V> = [V; 16];

fn split<D: Domain>(d: &mut D, width: u32, [low, high]: Halves<D::Value>) -> Lanes<D::Value> {
    let per_half = (64 / width) as usize;
    let mut lanes = [low; 16];
    for (i, lane) in lanes.iter_mut().enumerate().take(2 * per_half) {
        let half = if i < per_half { low } else { high };
        *lane = d.extract(64, (i % per_half) as u32 * width, width, half);
    }
    lanes
}

fn join<D: Domain>(d: &mut D, width: u32, lanes: &Lanes<D::Value>) -> Halves<D::Value> {
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

/// Loads sixteen bytes.
fn load<M: Machine>(m: &mut M, mem: Mem, aligned: bool) -> Result<Halves<Value<M>>, M::Stop> {
    let low = address(m, mem);
    m.begin_wide(low, false, aligned)?;
    let high = above(m, low);
    Ok([m.load(8, low)?, m.load(8, high)?])
}

/// The address eight bytes above.
fn above<M: Machine>(m: &mut M, address: Value<M>) -> Value<M> {
    let d = m.domain();
    let eight = d.constant(64, 8);
    d.add(64, address, eight)
}

/// The source of an operation on whole registers: memory has to be aligned.
fn source<M: Machine>(m: &mut M, src: XmmOrMem) -> Result<Halves<Value<M>>, M::Stop> {
    match src {
        XmmOrMem::Xmm(xmm) => Ok(m.vector(xmm)),
        XmmOrMem::Mem(mem) => load(m, mem, true),
    }
}

/// Runs an SSE instruction.
pub(super) fn vector<M: Machine>(m: &mut M, insn: VectorInsn) -> Result<(), M::Stop> {
    use VectorInsn as I;
    match insn {
        I::Load { dst, src, aligned } => {
            let value = match src {
                XmmOrMem::Xmm(xmm) => m.vector(xmm),
                XmmOrMem::Mem(mem) => load(m, mem, aligned)?,
            };
            m.set_vector(dst, value);
        }
        I::Store { dst, src, aligned } => store(m, dst, src, aligned)?,
        I::FromGeneral { size, dst, src } => from_general(m, size, dst, src)?,
        I::ToGeneral { size, dst, src } => {
            let [low, _] = m.vector(src);
            let value = m.domain().truncate(64, size.bits(), low);
            write(m, size, dst, value)?;
        }
        I::LowHalf { dst, src } => {
            let [low, _] = m.vector(src);
            let zero = m.domain().constant(64, 0);
            m.set_vector(dst, [low, zero]);
        }
        I::LoadHalf { dst, to_high, src, from_high } => load_half(m, (dst, to_high), (src, from_high))?,
        I::StoreHalf { dst, src, from_high } => {
            let value = m.vector(src)[usize::from(from_high)];
            let address = address(m, dst);
            m.store(8, address, value)?;
        }
        I::Logic { op, dst, src } => binary(m, dst, src, |d, a, b| [0, 1].map(|i| logic(d, op, a[i], b[i])))?,
        I::Lanes { op, size, dst, src } => binary(m, dst, src, |d, a, b| lanes(d, op, size.bits(), a, b))?,
        I::Shift { op, size, dst, amount } => {
            let value = m.vector(dst);
            let shifted = shift_lanes(m.domain(), op, size.bits(), value, amount);
            m.set_vector(dst, shifted);
        }
        I::ShiftBy { op, size, dst, src } => {
            binary(m, dst, src, |d, a, [count, _]| shift_lanes_by(d, op, size.bits(), a, count))?;
        }
        I::ShiftBytes { left, dst, amount } => {
            let value = m.vector(dst);
            let shifted = shift_bytes(m.domain(), left, value, amount);
            m.set_vector(dst, shifted);
        }
        I::Unpack { high, size, dst, src } => {
            binary(m, dst, src, |d, a, b| unpack(d, high, size.bits(), a, b))?
        }
        I::Shuffle { lanes, dst, src, order } => {
            binary(m, dst, src, |d, _, value| shuffle(d, lanes, value, order))?;
        }
        I::ShuffleBytes { dst, src } => binary(m, dst, src, shuffle_bytes)?,
        I::AlignRight { dst, src, amount } => binary(m, dst, src, |d, a, b| align_right(d, a, b, amount))?,
        I::ByteMask { dst, src } => byte_mask(m, dst, src),
        I::ExtractLane { size, dst, src, lane } => extract_lane(m, size, dst, src, lane)?,
        I::InsertLane { size, dst, src, lane } => insert_lane(m, size, dst, src, lane)?,
        I::Widen { signed, from, to, dst, src } => widen(m, signed, (from, to), dst, src)?,
        I::MultiplyEven { signed, dst, src } => {
            binary(m, dst, src, |d, a, b| [0, 1].map(|i| multiply_low_halves(d, signed, a[i], b[i])))?;
        }
        I::CarrylessMultiply { dst, src, halves } => binary(m, dst, src, |d, a, b| {
            carryless_product(d, 64, a[usize::from(halves & 1)], b[usize::from(halves >> 4 & 1)])
        })?,
        I::Test { dst, src } => test(m, dst, src)?,
    }
    Ok(())
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

fn store<M: Machine>(m: &mut M, dst: Mem, src: Xmm, aligned: bool) -> Result<(), M::Stop> {
    let [low, high] = m.vector(src);
    let address = address(m, dst);
    m.begin_wide(address, true, aligned)?;
    let next = above(m, address);
    m.store(8, address, low)?;
    m.store(8, next, high)
}

fn from_general<M: Machine>(m: &mut M, size: Size, dst: Xmm, src: Place) -> Result<(), M::Stop> {
    let value = read(m, size, src)?;
    let d = m.domain();
    let (low, zero) = (d.zero_extend(size.bits(), 64, value), d.constant(64, 0));
    m.set_vector(dst, [low, zero]);
    Ok(())
}

fn load_half<M: Machine>(
    m: &mut M,
    (dst, to_high): (Xmm, bool),
    (src, from_high): (XmmOrMem, bool),
) -> Result<(), M::Stop> {
    let value = match src {
        XmmOrMem::Xmm(xmm) => m.vector(xmm)[usize::from(from_high)],
        XmmOrMem::Mem(mem) => {
            let address = address(m, mem);
            m.load(8, address)?
        }
    };
    let mut halves = m.vector(dst);
    halves[usize::from(to_high)] = value;
    m.set_vector(dst, halves);
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

fn lanes<D: Domain>(
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
fn shift_lanes<D: Domain>(
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
fn shift_lanes_by<D: Domain>(
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

fn shift_bytes<D: Domain>(d: &mut D, left: bool, a: Halves<D::Value>, amount: u8) -> Halves<D::Value> {
    let zero = d.constant(8, 0);
    let bytes = split(d, 8, a);
    let mut shifted = [zero; 16];
    for (to, byte) in shifted.iter_mut().enumerate() {
        let from = if left { to.checked_sub(amount.into()) } else { to.checked_add(amount.into()) };
        if let Some(&value) = from.and_then(|from| bytes.get(from)) {
            *byte = value;
        }
    }
    join(d, 8, &shifted)
}

/// The lanes of one half of both operands in turn.
fn unpack<D: Domain>(
    d: &mut D,
    high: bool,
    width: u32,
    a: Halves<D::Value>,
    b: Halves<D::Value>,
) -> Halves<D::Value> {
    let (a, b) = (split(d, width, a), split(d, width, b));
    let per_half = 64 / width as usize;
    let first = if high { per_half } else { 0 };
    let mut lanes = a;
    for i in 0..per_half {
        lanes[2 * i] = a[first + i];
        lanes[2 * i + 1] = b[first + i];
    }
    join(d, width, &lanes)
}

fn shuffle<D: Domain>(d: &mut D, lanes: Shuffled, a: Halves<D::Value>, order: u8) -> Halves<D::Value> {
    let (width, first) = match lanes {
        Shuffled::Doublewords => (32, 0),
        Shuffled::LowWords => (16, 0),
        Shuffled::HighWords => (16, 4),
    };
    let old = split(d, width, a);
    let mut new = old;
    for i in 0..4 {
        new[first + i] = old[first + usize::from(order >> (2 * i) & 3)];
    }
    join(d, width, &new)
}

/// Each byte the one that the low bits of the control byte choose, or zero where its highest bit is set.
fn shuffle_bytes<D: Domain>(d: &mut D, a: Halves<D::Value>, control: Halves<D::Value>) -> Halves<D::Value> {
    let (bytes, controls) = (split(d, 8, a), split(d, 8, control));
    let zero = d.constant(8, 0);
    let mut shuffled = bytes;
    for (byte, control) in shuffled.iter_mut().zip(controls) {
        let chosen = choose(d, &bytes, control);
        let clear = d.extract(8, 7, 1, control);
        *byte = d.ite(8, clear, zero, chosen);
    }
    join(d, 8, &shuffled)
}

/// The byte whose number is in the low four bits of `number`: each bit halves what is left.
fn choose<D: Domain>(d: &mut D, bytes: &Lanes<D::Value>, number: D::Value) -> D::Value {
    let mut left = *bytes;
    for bit in 0..4 {
        let odd = d.extract(8, bit, 1, number);
        for i in 0..8 >> bit {
            left[i] = d.ite(8, odd, left[2 * i + 1], left[2 * i]);
        }
    }
    left[0]
}

/// Sixteen of the bytes of `src`, with those of `dst` above, from a place on.
fn align_right<D: Domain>(
    d: &mut D,
    dst: Halves<D::Value>,
    src: Halves<D::Value>,
    amount: u8,
) -> Halves<D::Value> {
    let (above, below) = (split(d, 8, dst), split(d, 8, src));
    let zero = d.constant(8, 0);
    let mut bytes = [zero; 16];
    for (byte, from) in bytes.iter_mut().zip(usize::from(amount)..) {
        if let Some(&value) = below.iter().chain(&above).nth(from) {
            *byte = value;
        }
    }
    join(d, 8, &bytes)
}

/// The highest bit of each byte.
fn byte_mask<M: Machine>(m: &mut M, dst: Gpr, src: Xmm) {
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

fn extract_lane<M: Machine>(m: &mut M, size: Size, dst: Place, src: Xmm, lane: u8) -> Result<(), M::Stop> {
    let (width, value) = (size.bits(), m.vector(src));
    let d = m.domain();
    let lane = split(d, width, value)[usize::from(lane) % (128 / width as usize)];
    let Place::Reg(register) = dst else { return write(m, size, dst, lane) };
    let extended = d.zero_extend(width, 64, lane);
    m.set(register, extended);
    Ok(())
}

fn insert_lane<M: Machine>(m: &mut M, size: Size, dst: Xmm, src: Place, lane: u8) -> Result<(), M::Stop> {
    let (width, value) = (size.bits(), read(m, size, src)?);
    let old = m.vector(dst);
    let d = m.domain();
    let mut lanes = split(d, width, old);
    lanes[usize::from(lane) % (128 / width as usize)] = value;
    let joined = join(d, width, &lanes);
    m.set_vector(dst, joined);
    Ok(())
}

/// `pmovzx` and `pmovsx`, of which memory has only as many bytes as are used.
fn widen<M: Machine>(
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

/// The product of the low doublewords of two quadwords.
fn multiply_low_halves<D: Domain>(d: &mut D, signed: bool, a: D::Value, b: D::Value) -> D::Value {
    let [a, b] = [a, b].map(|value| {
        let low = d.truncate(64, 32, value);
        if signed { d.sign_extend(32, 64, low) } else { d.zero_extend(32, 64, low) }
    });
    d.mul(64, a, b)
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
