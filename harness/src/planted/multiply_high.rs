// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in the emits of `multiply_high`.

use kop_ops::Feature;
use kop_ops::aarch64::{Insn as A, Width as W};
use kop_ops::x86_64::{BmiRvmOp, Gpr, Insn as I, Operand, Rm, Size, UnaryOp};
use kop_reports::Kind;

use super::code::{each, x86};
use super::{At, Planted, aarch64, x86_64};

const UNSIGNED: At = ("multiply_high", "unsigned");
const SIGNED: At = ("multiply_high", "signed");

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = x86_64_faults();
    faults.extend(aarch64_faults());
    faults
}

/// Whether the instruction is `mov dst, src` of registers.
fn moves(insn: &I, to: Gpr, from: Gpr) -> bool {
    matches!(insn, I::Mov { dst, src, .. } if *dst == Rm::Reg(to) && *src == Operand::Reg(from))
}

fn x86_64_faults() -> Vec<Planted> {
    vec![
        x86_64(
            UNSIGNED,
            "multiply-high-rax-is-r0",
            Kind::Register,
            "MUL writes the low half to rax, which is r0, and nothing puts back what was there",
            |_, code| code.retain(|insn| !moves(insn, Gpr::Rax, Gpr::R10)),
        ),
        x86_64(
            SIGNED,
            "multiply-high-rdx-is-r3",
            Kind::Register,
            "IMUL writes the high half to rdx, which is r3 and not r2, and nothing puts back what was there",
            |_, code| code.retain(|insn| !moves(insn, Gpr::Rdx, Gpr::R11)),
        ),
        x86_64(
            SIGNED,
            "multiply-high-factor-is-rax",
            Kind::Register,
            "a is moved to rax even where b is there, and a is multiplied by itself",
            |site, code| {
                let (dst, a, b) = (site.gpr("dst"), site.gpr("a"), site.gpr("b"));
                if b == Gpr::Rax && a != b && dst != Gpr::Rdx {
                    *code = x86(|asm| {
                        asm.mov(Size::B8, Gpr::R10, Gpr::Rax);
                        asm.mov(Size::B8, Gpr::R11, Gpr::Rdx);
                        asm.mov(Size::B8, Gpr::Rax, a);
                        asm.imul1(Size::B8, b);
                        asm.mov(Size::B8, dst, Gpr::Rdx);
                        asm.mov(Size::B8, Gpr::Rdx, Gpr::R11);
                        asm.mov(Size::B8, Gpr::Rax, Gpr::R10);
                    });
                }
            },
        ),
        x86_64(
            UNSIGNED,
            "multiply-high-mulx-halves-exchanged",
            Kind::Register,
            "MULX names the high half first: exchanged, dst is the low one",
            |site, code| {
                let gpr = site.gpr("dst");
                each(code, |insn| {
                    if let I::BmiRvm { op: BmiRvmOp::Mulx, dst, src1, .. } = insn {
                        (*dst, *src1) = (Gpr::R11, gpr);
                    }
                });
            },
        ),
        x86_64(
            UNSIGNED,
            "multiply-high-mulx-keeps-rdx",
            Kind::Register,
            "with BMI2, MULX is said to change no register but its results; its factor had to go to rdx",
            |site, code| {
                if site.features.has(Feature::Bmi2) {
                    code.retain(|insn| !moves(insn, Gpr::Rdx, Gpr::R10));
                }
            },
        ),
        x86_64(
            UNSIGNED,
            "multiply-high-mulx-factor-is-rdx",
            Kind::Register,
            "with BMI2, where b is rdx already, it is multiplied by itself and not by a",
            |site, code| {
                if site.gpr("b") == Gpr::Rdx {
                    each(code, |insn| {
                        if let I::BmiRvm { op: BmiRvmOp::Mulx, src2, .. } = insn {
                            *src2 = Rm::Reg(Gpr::Rdx);
                        }
                    });
                }
            },
        ),
        x86_64(
            SIGNED,
            "multiply-high-unsigned",
            Kind::Register,
            "MUL for IMUL: right for factors that are not negative",
            |_, code| {
                each(code, |insn| {
                    if let I::Unary { op: op @ UnaryOp::Imul, .. } = insn {
                        *op = UnaryOp::Mul;
                    }
                });
            },
        ),
        x86_64(
            UNSIGNED,
            "multiply-high-saved-in-r12",
            Kind::Frame,
            "rax is kept in r12, which is not the emit's",
            |_, code| {
                each(code, |insn| {
                    if moves(insn, Gpr::R10, Gpr::Rax) {
                        *insn =
                            I::Mov { size: Size::B8, dst: Rm::Reg(Gpr::R12), src: Operand::Reg(Gpr::Rax) };
                    } else if moves(insn, Gpr::Rax, Gpr::R10) {
                        *insn =
                            I::Mov { size: Size::B8, dst: Rm::Reg(Gpr::Rax), src: Operand::Reg(Gpr::R12) };
                    }
                });
            },
        ),
    ]
}

fn aarch64_faults() -> Vec<Planted> {
    vec![
        aarch64(
            SIGNED,
            "multiply-high-umulh",
            Kind::Register,
            "UMULH for SMULH: right for factors that are not negative",
            |_, code| {
                each(code, |insn| {
                    if let A::MulHigh { signed, .. } = insn {
                        *signed = false;
                    }
                });
            },
        ),
        aarch64(
            UNSIGNED,
            "multiply-high-low-half",
            Kind::Register,
            "MUL for UMULH: the low half",
            |site, code| {
                let (dst, a, b) = (site.x("dst"), site.x("a"), site.x("b"));
                *code = super::code::arm(|asm| asm.mul(W::X, dst, a, b));
            },
        ),
        aarch64(
            UNSIGNED,
            "multiply-high-of-words",
            Kind::Register,
            "UMULL multiplies words, and its upper half is taken: the high half of the low halves' product",
            |site, code| {
                let (dst, a, b) = (site.x("dst"), site.x("a"), site.x("b"));
                *code = super::code::arm(|asm| {
                    asm.umull(dst, a, b);
                    asm.lsr_imm(W::X, dst, dst, 32);
                });
            },
        ),
    ]
}
