// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in the emits of `bitwise_not`.

use kop_ops::Feature;
use kop_ops::aarch64::{Insn as A, Logical, Width as W};
use kop_ops::x86_64::{AluOp, BmiRvmOp, Gpr, Insn as I, Rm, Size};
use kop_reports::Kind;

use super::code::{each, x86};
use super::{At, Planted, aarch64, x86_64};

const AND64: At = ("bitwise_not", "and64");
const AND32: At = ("bitwise_not", "and32");
const OR64: At = ("bitwise_not", "or64");
const OR32: At = ("bitwise_not", "or32");
const XOR64: At = ("bitwise_not", "xor64");
const XOR32: At = ("bitwise_not", "xor32");

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = x86_64_faults();
    faults.extend(aarch64_faults());
    faults
}

fn x86_64_faults() -> Vec<Planted> {
    vec![
        x86_64(
            AND64,
            "bitwise-not-inverts-the-second",
            Kind::Register,
            "ANDN inverts its first source, and the operation its second",
            |site, code| {
                let (a, b) = (site.gpr("a"), site.gpr("b"));
                each(code, |insn| {
                    if let I::BmiRvm { op: BmiRvmOp::Andn, src1, src2, .. } = insn {
                        (*src1, *src2) = (a, Rm::Reg(b));
                    }
                });
            },
        ),
        x86_64(
            OR64,
            "bitwise-not-destination-is-a",
            Kind::Register,
            "the complement goes through dst even where that is a, which is read last",
            |site, code| {
                let (dst, a, b) = (site.gpr("dst"), site.gpr("a"), site.gpr("b"));
                if dst == a && a != b {
                    *code = x86(|asm| {
                        asm.mov(Size::B8, dst, b);
                        asm.not(Size::B8, dst);
                        asm.or(Size::B8, dst, a);
                    });
                }
            },
        ),
        x86_64(
            AND32,
            "bitwise-not-bmi1-of-64-bits",
            Kind::Register,
            "ANDN with VEX.W: the upper half of a stays",
            |_, code| {
                each(code, |insn| {
                    if let I::BmiRvm { size, .. } = insn {
                        *size = Size::B8;
                    }
                });
            },
        ),
        x86_64(
            XOR32,
            "bitwise-not-complement-of-64-bits",
            Kind::Register,
            "NOT of 64 bits behind an exclusive or of 32: the upper half is all ones",
            |_, code| {
                each(code, |insn| {
                    if let I::Unary { size, .. } = insn {
                        *size = Size::B8;
                    }
                });
            },
        ),
        x86_64(
            XOR64,
            "bitwise-not-inverts-b-in-place",
            Kind::Register,
            "b is inverted and joined: the result is right, and b is not what it was",
            |site, code| {
                let (dst, a, b) = (site.gpr("dst"), site.gpr("a"), site.gpr("b"));
                if dst != b {
                    *code = x86(|asm| {
                        asm.not(Size::B8, b);
                        if dst != a {
                            asm.mov(Size::B8, dst, a);
                        }
                        asm.xor(Size::B8, dst, b);
                    });
                }
            },
        ),
        x86_64(
            OR32,
            "bitwise-not-nothing-of-itself",
            Kind::Register,
            "a shortcut for one register in both places, thought out for AND: zero, where it is all ones",
            |site, code| {
                let (dst, a, b) = (site.gpr("dst"), site.gpr("a"), site.gpr("b"));
                if a == b {
                    *code = x86(|asm| asm.xor(Size::B4, dst, dst));
                }
            },
        ),
        x86_64(
            AND64,
            "bitwise-not-scratch-is-preserved",
            Kind::Frame,
            "without BMI1, the complement is in r12, which is not the emit's",
            |site, code| {
                if !site.features.has(Feature::Bmi1) {
                    each(code, |insn| match insn {
                        I::Mov { dst: Rm::Reg(reg @ Gpr::R10), .. }
                        | I::Unary { dst: Rm::Reg(reg @ Gpr::R10), .. } => *reg = Gpr::R12,
                        I::Alu { op: AluOp::And, src, .. } if *src == Gpr::R10.into() => {
                            *src = Gpr::R12.into();
                        }
                        _ => (),
                    });
                }
            },
        ),
    ]
}

fn aarch64_faults() -> Vec<Planted> {
    vec![
        aarch64(
            AND64,
            "bitwise-not-operands-exchanged",
            Kind::Register,
            "BIC inverts its second source: exchanged, a is inverted",
            |site, code| {
                let (a, b) = (site.x("a"), site.x("b"));
                each(code, |insn| {
                    if let A::LogicalShifted { rn, rm, .. } = insn {
                        (*rn, *rm) = (b, a);
                    }
                });
            },
        ),
        aarch64(
            OR32,
            "bitwise-not-orn-of-x-registers",
            Kind::Register,
            "ORN of 64 bits in the 32-bit form: the upper half is all ones and more",
            |_, code| {
                each(code, |insn| {
                    if let A::LogicalShifted { width, .. } = insn {
                        *width = W::X;
                    }
                });
            },
        ),
        aarch64(
            XOR64,
            "bitwise-not-orn-for-eon",
            Kind::Register,
            "ORN for EON: right wherever a and the complement have no one in common",
            |_, code| {
                each(code, |insn| {
                    if let A::LogicalShifted { op, .. } = insn {
                        *op = Logical::Orn;
                    }
                });
            },
        ),
    ]
}
