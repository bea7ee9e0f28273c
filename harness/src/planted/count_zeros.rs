// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in the emits of `count_zeros`.

use kop_ops::Feature;
use kop_ops::aarch64::{Insn as A, OneSourceOp, Width as W};
use kop_ops::x86_64::{AluOp, Cond, CountOp, Gpr, Insn as I, Operand, Rm, Size};
use kop_reports::Kind;

use super::code::{each, x86};
use super::{At, Planted, aarch64, x86_64};

const LEADING64: At = ("count_zeros", "leading64");
const LEADING32: At = ("count_zeros", "leading32");
const TRAILING64: At = ("count_zeros", "trailing64");
const TRAILING32: At = ("count_zeros", "trailing32");

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = x86_64_leading();
    faults.extend(x86_64_trailing());
    faults.extend(aarch64_faults());
    faults
}

fn x86_64_leading() -> Vec<Planted> {
    vec![
        x86_64(
            LEADING64,
            "count-zeros-zero-is-undefined",
            Kind::Register,
            "without LZCNT, BSR leaves dst as it was for a source of zero, and nothing mends it",
            |_, code| code.retain(|insn| !matches!(insn, I::Cmov { .. })),
        ),
        x86_64(
            LEADING64,
            "count-zeros-of-zero-is-63",
            Kind::Register,
            "without LZCNT, the value for zero is one less, before the exclusive or",
            |_, code| {
                each(code, |insn| {
                    if let I::Mov { src: Operand::Imm(imm @ 127), .. } = insn {
                        *imm = 64;
                    }
                });
            },
        ),
        x86_64(
            LEADING32,
            "count-zeros-of-32-as-of-64",
            Kind::Register,
            "without LZCNT, the index is taken from 63 in the 32-bit form, too",
            |_, code| {
                each(code, |insn| {
                    if let I::Alu { op: AluOp::Xor, src: Operand::Imm(imm), .. } = insn {
                        *imm = 63;
                    }
                });
            },
        ),
        x86_64(
            LEADING32,
            "count-zeros-lzcnt-is-bsr",
            Kind::Register,
            "with LZCNT, the F3 prefix is missing: BSR gives the index from below",
            |_, code| {
                if code.len() == 1 {
                    each(code, |insn| {
                        if let I::Count { op, .. } = insn {
                            *op = CountOp::Bsr;
                        }
                    });
                }
            },
        ),
        x86_64(
            LEADING64,
            "count-zeros-lzcnt-on-every-cpu",
            Kind::Frame,
            "LZCNT whatever the CPU has: older ones execute BSR, and no developer's does",
            |site, code| {
                if !site.features.has(Feature::Lzcnt) {
                    *code = x86(|a| a.lzcnt(Size::B8, site.gpr("dst"), site.gpr("src")));
                }
            },
        ),
    ]
}

fn x86_64_trailing() -> Vec<Planted> {
    vec![
        x86_64(
            TRAILING32,
            "count-zeros-bsf-of-64-bits",
            Kind::Register,
            "without BMI1, BSF looks at the upper half: wrong where the low half is zero",
            |_, code| {
                each(code, |insn| {
                    if let I::Count { op: CountOp::Bsf, size, .. } = insn {
                        *size = Size::B8;
                    }
                });
            },
        ),
        x86_64(
            TRAILING64,
            "count-zeros-tzcnt-of-32-bits",
            Kind::Register,
            "with BMI1, TZCNT lacks REX.W: 32 for every source with a zero low half",
            |_, code| {
                each(code, |insn| {
                    if let I::Count { op: CountOp::Tzcnt, size, .. } = insn {
                        *size = Size::B4;
                    }
                });
            },
        ),
        x86_64(
            TRAILING64,
            "count-zeros-scratch-is-garbage",
            Kind::Register,
            "without BMI1, the value for zero is never loaded into r10",
            |_, code| code.retain(|insn| !matches!(insn, I::Mov { src: Operand::Imm(_), .. })),
        ),
        x86_64(
            TRAILING64,
            "count-zeros-default-before-source",
            Kind::Register,
            "without BMI1, the value for zero goes into dst first, which may be the source",
            |site, code| {
                if !site.features.has(Feature::Bmi1) {
                    let (dst, src) = (site.gpr("dst"), site.gpr("src"));
                    *code = x86(|a| {
                        a.mov(Size::B4, dst, 64);
                        a.bsf(Size::B8, Gpr::R10, src);
                        a.cmov(Cond::Ne, Size::B8, dst, Gpr::R10);
                    });
                }
            },
        ),
        x86_64(
            TRAILING32,
            "count-zeros-of-zero-in-32-bits-is-64",
            Kind::Register,
            "without BMI1, the value for zero is that of the 64-bit form",
            |_, code| {
                each(code, |insn| {
                    if let I::Mov { src: Operand::Imm(imm @ 32), .. } = insn {
                        *imm = 64;
                    }
                });
            },
        ),
        x86_64(
            TRAILING64,
            "count-zeros-uses-carry",
            Kind::Register,
            "with BMI1, ADC of zero is taken for a no-operation: TZCNT sets carry for zero",
            |site, code| {
                if site.features.has(Feature::Bmi1) {
                    code.extend(x86(|a| a.adc(Size::B8, Rm::Reg(site.gpr("dst")), 0)));
                }
            },
        ),
    ]
}

fn aarch64_faults() -> Vec<Planted> {
    vec![
        aarch64(
            LEADING32,
            "count-zeros-clz-of-an-x-register",
            Kind::Register,
            "CLZ of 64 bits in the 32-bit form: 32 too many, or the upper half's",
            |_, code| {
                each(code, |insn| {
                    if let A::OneSource { width, .. } = insn {
                        *width = W::X;
                    }
                });
            },
        ),
        aarch64(
            LEADING64,
            "count-zeros-cls",
            Kind::Register,
            "CLS for CLZ, one letter: it counts ones as well and leaves out the first",
            |_, code| {
                each(code, |insn| {
                    if let A::OneSource { op, .. } = insn {
                        *op = OneSourceOp::Cls;
                    }
                });
            },
        ),
        aarch64(
            TRAILING64,
            "count-zeros-clz-of-the-source",
            Kind::Register,
            "CLZ reads the source and not its reversal: right where dst is src, and for palindromes",
            |site, code| {
                let src = site.x("src");
                each(code, |insn| {
                    if let A::OneSource { op: OneSourceOp::Clz, rn, .. } = insn {
                        *rn = src;
                    }
                });
            },
        ),
        aarch64(
            TRAILING32,
            "count-zeros-reverses-the-source",
            Kind::Register,
            "RBIT writes the source: the result is right",
            |site, code| {
                let src = site.x("src");
                each(code, |insn| match insn {
                    A::OneSource { op: OneSourceOp::Rbit, rd, .. } => *rd = src,
                    A::OneSource { op: OneSourceOp::Clz, rn, .. } => *rn = src,
                    _ => (),
                });
            },
        ),
    ]
}
