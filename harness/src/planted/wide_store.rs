// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in `wide_store`.

use kop_ops::aarch64::{Gpr as X, Insn as A, Mem as ArmMem, OneSourceOp, Width as W};
use kop_ops::x86_64::{Gpr, Insn as I, Mem, Operand, Rm, ShiftOp, Size};
use kop_reports::Kind;

use super::code::each;
use super::{At, Planted, aarch64, x86_64};

const LE16: At = ("wide_store", "le16");
const LE32: At = ("wide_store", "le32");
const LE64: At = ("wide_store", "le64");
const BE16: At = ("wide_store", "be16");
const BE32: At = ("wide_store", "be32");
const BE64: At = ("wide_store", "be64");

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = x86_64_faults();
    faults.extend(aarch64_faults());
    faults
}

fn x86_64_faults() -> Vec<Planted> {
    vec![
        x86_64(
            LE32,
            "wide-store-writes-eight-bytes",
            Kind::Memory,
            "the register is stored whole: four bytes too many",
            |_, code| {
                each(code, |insn| {
                    if let I::Mov { size, dst: Rm::Mem(_), .. } = insn {
                        *size = Size::B8;
                    }
                });
            },
        ),
        x86_64(
            BE64,
            "wide-store-swaps-the-source",
            Kind::Register,
            "without MOVBE, BSWAP in place of a copy: src is another number afterwards",
            |site, code| {
                let src = site.gpr("src");
                if code.len() == 3 {
                    code.remove(0);
                    each(code, |insn| match insn {
                        I::Bswap { dst, .. } => *dst = src,
                        I::Mov { src: from @ Operand::Reg(Gpr::R10), .. } => *from = Operand::Reg(src),
                        _ => (),
                    });
                }
            },
        ),
        x86_64(
            BE16,
            "wide-store-rotates-the-doubleword",
            Kind::Memory,
            "a rotation of 32 bits by 8: one of the bytes comes from bits 24 to 31",
            |_, code| {
                each(code, |insn| {
                    if let I::Shift { op: ShiftOp::Rol, size, .. } = insn {
                        *size = Size::B4;
                    }
                });
            },
        ),
        x86_64(
            LE16,
            "wide-store-disp8-of-128",
            Kind::Memory,
            "128 is taken for a displacement of one signed byte",
            |_, code| {
                each(code, |insn| {
                    if let I::Mov { dst: Rm::Mem(Mem { disp: disp @ 128, .. }), .. } = insn {
                        *disp = -128;
                    }
                });
            },
        ),
    ]
}

fn aarch64_faults() -> Vec<Planted> {
    vec![
        aarch64(
            BE32,
            "wide-store-swaps-the-doubleword",
            Kind::Memory,
            "REV of 64 bits: the lower half of the result is the upper half of src",
            |_, code| {
                each(code, |insn| {
                    if let A::OneSource { width, .. } = insn {
                        *width = W::X;
                    }
                });
            },
        ),
        aarch64(
            BE16,
            "wide-store-swaps-the-word",
            Kind::Memory,
            "REV of 32 bits for REV16: the lower half of the result is the upper half of the word",
            |_, code| {
                each(code, |insn| {
                    if let A::OneSource { op, .. } = insn {
                        *op = OneSourceOp::Rev;
                    }
                });
            },
        ),
        aarch64(
            BE64,
            "wide-store-reverses-the-source",
            Kind::Register,
            "REV in place of a copy: src is another number afterwards",
            |site, code| {
                let src = site.x("src");
                each(code, |insn| match insn {
                    A::OneSource { rd, .. } => *rd = src,
                    A::Store { rt: rt @ X::X9, .. } => *rt = src,
                    _ => (),
                });
            },
        ),
        aarch64(
            LE64,
            "wide-store-moves-the-base",
            Kind::Register,
            "a pre-indexed store for negative offsets: the base moves",
            |site, code| {
                let (base, offset) = (site.x("base"), site.imm("off") as i32);
                if offset < 0 && base != site.x("src") {
                    each(code, |insn| {
                        if let A::Store { mem, .. } = insn {
                            *mem = ArmMem::PreIndex { base, offset };
                        }
                    });
                }
            },
        ),
        aarch64(
            LE32,
            "wide-store-offset-in-units",
            Kind::Memory,
            "the offset is divided by four for the field, whatever the remainder",
            |_, code| {
                each(code, |insn| {
                    if let A::Store { mem: ArmMem::Offset { offset, .. }, .. } = insn
                        && *offset > 0
                    {
                        *offset &= !3;
                    }
                });
            },
        ),
    ]
}
