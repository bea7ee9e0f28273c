// SPDX-License-Identifier: GPL-2.0-or-later
//! Moves of immediates, logical operations, bit fields, reversals, counts and checksums.

use kop_ops::aarch64::{BitfieldOp, Gpr, Logical, LogicalImm, MoveWide, OneSourceOp, Shift, Size, Width};

use super::operand::{read, read_bits, set_nz, shifted, write};
use super::{Flag, Machine, Value};
use crate::circuits::{Crc, crc, leading_zeros};
use crate::domain::Domain;

/// MOVN, MOVZ, MOVK; the immediate has 16 bits and is shifted by 0, 16, 32 or 48.
pub(super) fn move_wide<M: Machine>(m: &mut M, op: MoveWide, width: Width, rd: Gpr, imm: (u16, u8)) {
    let (imm, shift) = imm;
    let bits = width.bits();
    let value = u64::from(imm) << shift;
    let result = match op {
        MoveWide::Movz => m.domain().constant(bits, value),
        MoveWide::Movn => m.domain().constant(bits, !value),
        MoveWide::Movk => {
            let old = read(m, width, rd);
            let imm = m.domain().constant(16, u64::from(imm));
            insert(m.domain(), bits, old, (u32::from(shift), 16), imm)
        }
    };
    write(m, width, rd, result);
}

/// AND, ORR, EOR, ANDS of a bitmask immediate. The destination can be SP.
pub(super) fn logical_imm<M: Machine>(
    m: &mut M,
    op: LogicalImm,
    width: Width,
    (rd, rn): (Gpr, Gpr),
    imm: u64,
) {
    let a = read(m, width, rn);
    let b = m.domain().constant(width.bits(), imm);
    let op = match op {
        LogicalImm::And => Logical::And,
        LogicalImm::Orr => Logical::Orr,
        LogicalImm::Eor => Logical::Eor,
        LogicalImm::Ands => Logical::Ands,
    };
    logical_of(m, op, width, rd, (a, b));
}

/// AND to BICS of a shifted register.
pub(super) fn logical<M: Machine>(
    m: &mut M,
    op: Logical,
    width: Width,
    (rd, rn, rm): (Gpr, Gpr, Gpr),
    by: (Shift, u8),
) {
    let operands = (read(m, width, rn), shifted(m, width, rm, by));
    logical_of(m, op, width, rd, operands);
}

fn logical_of<M: Machine>(m: &mut M, op: Logical, width: Width, rd: Gpr, (a, b): (Value<M>, Value<M>)) {
    let bits = width.bits();
    let d = m.domain();
    let b = match op {
        Logical::And | Logical::Orr | Logical::Eor | Logical::Ands => b,
        Logical::Bic | Logical::Orn | Logical::Eon | Logical::Bics => d.not(bits, b),
    };
    let result = match op {
        Logical::And | Logical::Bic | Logical::Ands | Logical::Bics => d.and(bits, a, b),
        Logical::Orr | Logical::Orn => d.or(bits, a, b),
        Logical::Eor | Logical::Eon => d.xor(bits, a, b),
    };
    if matches!(op, Logical::Ands | Logical::Bics) {
        set_nz(m, bits, result);
        let zero = m.domain().constant(1, 0);
        m.set_flag(Flag::C, zero);
        m.set_flag(Flag::V, zero);
    }
    write(m, width, rd, result);
}

/// SBFM, BFM, UBFM (Arm ARM, C6.2): the bits `immr..=imms` go to bit 0, or the bits `0..=imms` to bit `width - immr`.
pub(super) fn field<M: Machine>(
    m: &mut M,
    op: BitfieldOp,
    width: Width,
    (rd, rn): (Gpr, Gpr),
    (immr, imms): (u8, u8),
) {
    let (bits, immr, imms) = (width.bits(), u32::from(immr), u32::from(imms));
    let (from, len, to) = if imms >= immr { (immr, imms - immr + 1, 0) } else { (0, imms + 1, bits - immr) };
    let source = read(m, width, rn);
    let field = m.domain().extract(bits, from, len, source);
    let (field, len) = match op {
        BitfieldOp::Sbfm => (m.domain().sign_extend(len, bits - to, field), bits - to),
        BitfieldOp::Bfm | BitfieldOp::Ubfm => (field, len),
    };
    let around = match op {
        BitfieldOp::Bfm => read(m, width, rd),
        BitfieldOp::Sbfm | BitfieldOp::Ubfm => m.domain().constant(bits, 0),
    };
    let result = insert(m.domain(), bits, around, (to, len), field);
    write(m, width, rd, result);
}

/// `value` of `width` bits with the `len` bits from `low` on replaced by `field`.
pub(super) fn insert<D: Domain>(
    d: &mut D,
    width: u32,
    value: D::Value,
    (low, len): (u32, u32),
    field: D::Value,
) -> D::Value {
    let mut result = field;
    if low > 0 {
        let below = d.truncate(width, low, value);
        result = d.concat(low + len, low, result, below);
    }
    let top = low + len;
    if top < width {
        let above = d.extract(width, top, width - top, value);
        result = d.concat(width, top, above, result);
    }
    result
}

/// EXTR: the bits of `rn:rm` from `lsb` on, which is below the width.
pub(super) fn extract<M: Machine>(m: &mut M, width: Width, (rd, rn, rm): (Gpr, Gpr, Gpr), lsb: u8) {
    let (bits, lsb) = (width.bits(), u32::from(lsb));
    let (high, low) = (read(m, width, rn), read(m, width, rm));
    let result = if lsb == 0 {
        low
    } else {
        let d = m.domain();
        let (high, low) = (d.truncate(bits, lsb, high), d.extract(bits, lsb, bits - lsb, low));
        d.concat(bits, bits - lsb, high, low)
    };
    write(m, width, rd, result);
}

/// RBIT, REV16, REV32, REV, CLZ, CLS.
pub(super) fn one_source<M: Machine>(m: &mut M, op: OneSourceOp, width: Width, rd: Gpr, rn: Gpr) {
    let bits = width.bits();
    let value = read(m, width, rn);
    let d = m.domain();
    let result = match op {
        OneSourceOp::Rbit => reverse_bits(d, bits, value),
        OneSourceOp::Rev16 => reverse(d, bits, 16, 8, value),
        OneSourceOp::Rev32 => reverse(d, bits, 32, 8, value),
        OneSourceOp::Rev => d.swap_bytes(bits, value),
        OneSourceOp::Clz => leading_zeros(d, bits, value),
        OneSourceOp::Cls => leading_signs(d, bits, value),
    };
    write(m, width, rd, result);
}

/// The parts of `part` bits in reverse order within each container of `container` bits.
pub(super) fn reverse<D: Domain>(
    d: &mut D,
    width: u32,
    container: u32,
    part: u32,
    value: D::Value,
) -> D::Value {
    let parts = container / part;
    let from = |to: u32| (to / parts * parts + parts - 1 - to % parts) * part;
    let mut result = d.extract(width, from(0), part, value);
    for to in 1..width / part {
        let next = d.extract(width, from(to), part, value);
        result = d.concat((to + 1) * part, to * part, next, result);
    }
    result
}

/// The bits in reverse order.
pub(super) fn reverse_bits<D: Domain>(d: &mut D, width: u32, value: D::Value) -> D::Value {
    reverse(d, width, width, 1, value)
}

/// The number of bits after the sign that equal it, up to the first that does not.
pub(super) fn leading_signs<D: Domain>(d: &mut D, width: u32, value: D::Value) -> D::Value {
    let one = d.constant(width, 1);
    let signs = d.ashr(width, value, one);
    // Zeros where a bit equals the one above it; the sign bit is one of them and is not counted.
    let changes = d.xor(width, value, signs);
    let zeros = leading_zeros(d, width, changes);
    d.sub(width, zeros, one)
}

/// CRC32B to CRC32X, CRC32CB to CRC32CX (Arm ARM, C6.2).
pub(super) fn crc32<M: Machine>(m: &mut M, castagnoli: bool, size: Size, (rd, rn, rm): (Gpr, Gpr, Gpr)) {
    let generator = if castagnoli { Crc::Crc32c } else { Crc::Crc32 };
    let (sum, data) = (read(m, Width::W, rn), read_bits(m, 8 * size.bytes(), rm));
    let sum = crc(m.domain(), generator, sum, 8 * size.bytes(), data);
    write(m, Width::W, rd, sum);
}
