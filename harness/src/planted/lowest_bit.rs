// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in the emits of `lowest_bit`.

use kop_ops::Feature;
use kop_ops::aarch64::{AddSub, Insn as A, Logical, Width as W};
use kop_ops::x86_64::{AluOp, BmiVmOp, Insn as I, Mem, Size, UnaryOp};
use kop_reports::Kind;

use super::code::{each, x86};
use super::{At, Planted, aarch64, x86_64};

const ISOLATE64: At = ("lowest_bit", "isolate64");
const ISOLATE32: At = ("lowest_bit", "isolate32");
const CLEAR64: At = ("lowest_bit", "clear64");
const CLEAR32: At = ("lowest_bit", "clear32");
const MASK64: At = ("lowest_bit", "mask64");
const MASK32: At = ("lowest_bit", "mask32");

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = x86_64_faults();
    faults.extend(aarch64_faults());
    faults
}

fn x86_64_faults() -> Vec<Planted> {
    vec![
        x86_64(
            CLEAR64,
            "lowest-bit-blsi-for-blsr",
            Kind::Register,
            "with BMI1, the instruction of the neighbour: they differ in three bits of the encoding",
            |_, code| {
                each(code, |insn| {
                    if let I::BmiVm { op, .. } = insn {
                        *op = BmiVmOp::Blsi;
                    }
                });
            },
        ),
        x86_64(
            MASK32,
            "lowest-bit-mask-of-64-bits",
            Kind::Register,
            "with BMI1, BLSMSK with VEX.W: the mask of a low half of zero reaches into the upper half",
            |_, code| {
                each(code, |insn| {
                    if let I::BmiVm { size, .. } = insn {
                        *size = Size::B8;
                    }
                });
            },
        ),
        x86_64(
            CLEAR64,
            "lowest-bit-in-place",
            Kind::Register,
            "without BMI1, LEA goes through dst even where that is the source, which is needed once more",
            |site, code| {
                if !site.features.has(Feature::Bmi1) {
                    let (dst, src) = (site.gpr("dst"), site.gpr("src"));
                    *code = x86(|a| {
                        a.lea(Size::B8, dst, Mem::at(src, -1));
                        a.and(Size::B8, dst, src);
                    });
                }
            },
        ),
        x86_64(
            CLEAR32,
            "lowest-bit-joined-in-64-bits",
            Kind::Register,
            "without BMI1, AND of 64 bits: the upper half is that of the source where LEA borrowed into it",
            |_, code| {
                each(code, |insn| match insn {
                    I::Alu { op: AluOp::And, size, .. } | I::Lea { size, .. } => *size = Size::B8,
                    _ => (),
                });
            },
        ),
        x86_64(
            ISOLATE64,
            "lowest-bit-bmi1-on-every-cpu",
            Kind::Frame,
            "BLSI whatever the CPU has, as every developer's has it",
            |site, code| {
                if !site.features.has(Feature::Bmi1) {
                    *code = x86(|a| a.blsi(Size::B8, site.gpr("dst"), site.gpr("src")));
                }
            },
        ),
        x86_64(
            ISOLATE32,
            "lowest-bit-complemented",
            Kind::Register,
            "without BMI1, NOT for NEG: one less, and nothing is common with the source",
            |_, code| {
                each(code, |insn| {
                    if let I::Unary { op, .. } = insn {
                        *op = UnaryOp::Not;
                    }
                });
            },
        ),
        x86_64(
            MASK64,
            "lowest-bit-and-for-xor",
            Kind::Register,
            "without BMI1, the line of the neighbour: AND, which clears the one that the mask ends with",
            |_, code| {
                each(code, |insn| {
                    if let I::Alu { op: op @ AluOp::Xor, .. } = insn {
                        *op = AluOp::And;
                    }
                });
            },
        ),
    ]
}

fn aarch64_faults() -> Vec<Planted> {
    vec![
        aarch64(
            ISOLATE32,
            "lowest-bit-and-of-x-registers",
            Kind::Register,
            "NEG and AND of 64 bits in the 32-bit form: the lowest one of the upper half counts",
            |_, code| {
                each(code, |insn| {
                    if let A::LogicalShifted { width, .. } | A::AddSubShifted { width, .. } = insn {
                        *width = W::X;
                    }
                });
            },
        ),
        aarch64(
            CLEAR64,
            "lowest-bit-cleared-by-bic",
            Kind::Register,
            "BIC for AND: what is cleared are the bits that stay",
            |_, code| {
                each(code, |insn| {
                    if let A::LogicalShifted { op: op @ Logical::And, .. } = insn {
                        *op = Logical::Bic;
                    }
                });
            },
        ),
        aarch64(
            MASK64,
            "lowest-bit-adds-one",
            Kind::Register,
            "ADD for SUB: the mask up to the lowest zero",
            |_, code| {
                each(code, |insn| {
                    if let A::AddSubImm { op, .. } = insn {
                        *op = AddSub::Add;
                    }
                });
            },
        ),
        aarch64(
            CLEAR32,
            "lowest-bit-joined-with-dst",
            Kind::Register,
            "AND reads dst, as on a machine with two operands: right where that is the source",
            |site, code| {
                let dst = site.x("dst");
                each(code, |insn| {
                    if let A::LogicalShifted { rn, .. } = insn {
                        *rn = dst;
                    }
                });
            },
        ),
    ]
}
