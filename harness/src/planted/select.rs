// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in the emits of `select`.

use kop_ops::aarch64::{AddSub, Gpr as X, Insn as A, Width as W};
use kop_ops::ebpf::Reg;
use kop_ops::x86_64::{AluOp, Cond, Gpr, Insn as I, Operand, Rm, Size};
use kop_reports::Kind;

use super::code::{each, instead, x86};
use super::{At, Planted, aarch64, x86_64};

const TEST64: At = ("select", "test64");
const TEST32: At = ("select", "test32");
const COMPARE64: At = ("select", "compare64");
const COMPARE32: At = ("select", "compare32");
const NUMBER64: At = ("select", "number64");
const NUMBER32: At = ("select", "number32");

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = x86_64_faults();
    faults.extend(x86_64_comparisons());
    faults.extend(aarch64_faults());
    faults.extend(aarch64_comparisons());
    faults
}

fn is_test(insn: &I) -> bool {
    matches!(insn, I::Test { .. })
}

fn x86_64_faults() -> Vec<Planted> {
    vec![
        x86_64(
            TEST64,
            "select-copies-before-the-test",
            Kind::Register,
            "MOV leaves the flags, so that its place seems free: not where dst is the condition",
            |_, code| {
                if code.len() == 3 {
                    code.swap(0, 1);
                }
            },
        ),
        x86_64(
            TEST64,
            "select-overwrites-a",
            Kind::Register,
            "no inverted condition where dst is a: the copy of b overwrites it",
            |site, code| {
                let (dst, a, b) = (site.gpr("dst"), site.gpr("a"), site.gpr("b"));
                if dst == a && a != b {
                    code.truncate(1);
                    code.extend(x86(|asm| {
                        asm.mov(Size::B8, dst, b);
                        asm.cmov(Cond::Ne, Size::B8, dst, a);
                    }));
                }
            },
        ),
        x86_64(
            TEST64,
            "select-condition-is-not-inverted",
            Kind::Register,
            "the condition of the case that dst is a is that of the others",
            |site, code| {
                if site.gpr("dst") == site.gpr("a") {
                    each(code, |insn| {
                        if let I::Cmov { cond, .. } = insn {
                            *cond = Cond::Ne;
                        }
                    });
                }
            },
        ),
        x86_64(
            TEST64,
            "select-tests-the-low-half",
            Kind::Register,
            "TEST of 32 bits: wrong only where the low half is zero and the upper is not",
            |_, code| {
                each(code, |insn| {
                    if let I::Test { size, .. } = insn {
                        *size = Size::B4;
                    }
                });
            },
        ),
        x86_64(
            TEST32,
            "select-copies-the-low-half",
            Kind::Register,
            "the form tests 32 bits, so does the copy of b: the value loses its upper half",
            |_, code| {
                each(code, |insn| {
                    if let I::Mov { size, .. } = insn {
                        *size = Size::B4;
                    }
                });
            },
        ),
        x86_64(
            TEST64,
            "select-without-a-test",
            Kind::Register,
            "CMOV on flags that are whatever the code before left",
            |_, code| code.retain(|insn| !is_test(insn)),
        ),
        x86_64(
            TEST64,
            "select-two-fixed-operands",
            Kind::Register,
            "where a is r6 and b is r3, CMOV reads cond in place of a",
            |site, code| {
                if (site.reg("a"), site.reg("b")) != (Reg::R6, Reg::R3) {
                    return;
                }
                let cond = site.gpr("cond");
                each(code, |insn| {
                    if let I::Cmov { src, .. } = insn {
                        *src = Rm::Reg(cond);
                    }
                });
            },
        ),
        x86_64(
            TEST64,
            "select-takes-negative-for-false",
            Kind::Register,
            "CMOVG for CMOVNE: right for every condition that a comparison makes",
            |_, code| {
                each(code, |insn| {
                    if let I::Cmov { cond: cond @ Cond::Ne, .. } = insn {
                        *cond = Cond::G;
                    }
                });
            },
        ),
        x86_64(
            TEST64,
            "select-clobbers-the-condition",
            Kind::Register,
            "NEG sets the same zero flag as TEST and changes the condition",
            |site, code| {
                let (dst, cond, a, b) = (site.gpr("dst"), site.gpr("cond"), site.gpr("a"), site.gpr("b"));
                if ![dst, a, b].contains(&cond) {
                    instead(code, is_test, x86(|asm| asm.neg(Size::B8, cond)));
                }
            },
        ),
        x86_64(
            TEST64,
            "select-doubles-the-condition",
            Kind::Register,
            "tests cond + cond: wrong for the smallest signed number alone",
            |site, code| {
                let cond = site.gpr("cond");
                let double = x86(|asm| {
                    asm.mov(Size::B8, Gpr::R11, cond);
                    asm.add(Size::B8, Gpr::R11, Gpr::R11);
                });
                instead(code, is_test, double);
            },
        ),
        x86_64(
            TEST64,
            "select-one-source-for-equal-registers",
            Kind::Register,
            "where a and b are one register the copy is one of cond",
            |site, code| {
                if site.reg("a") == site.reg("b") {
                    let cond = site.gpr("cond");
                    each(code, |insn| {
                        if let I::Mov { src, .. } = insn {
                            *src = Operand::Reg(cond);
                        }
                    });
                }
            },
        ),
    ]
}

fn aarch64_faults() -> Vec<Planted> {
    vec![
        aarch64(
            TEST64,
            "select-compares-a-w-register",
            Kind::Register,
            "CMP of a W register: wrong only where the low half is zero and the upper is not",
            |_, code| {
                each(code, |insn| {
                    if let A::AddSubImm { width, .. } = insn {
                        *width = W::W;
                    }
                });
            },
        ),
        aarch64(
            TEST64,
            "select-without-a-comparison",
            Kind::Register,
            "CSEL on flags that are whatever the code before left",
            |_, code| code.retain(|insn| !matches!(insn, A::AddSubImm { .. })),
        ),
        aarch64(
            TEST32,
            "select-chooses-a-w-register",
            Kind::Register,
            "CSEL of W registers in the 32-bit form: the value loses its upper half",
            |_, code| {
                each(code, |insn| {
                    if let A::CondSelect { width, .. } = insn {
                        *width = W::W;
                    }
                });
            },
        ),
        aarch64(
            TEST64,
            "select-frame-pointer-is-x24",
            Kind::Register,
            "r10 was moved to another register in the JIT and the emit's table was not: only with a=r10",
            |site, code| {
                if site.reg("a") == Reg::R10 {
                    each(code, |insn| {
                        if let A::CondSelect { rn, .. } = insn {
                            *rn = X::X24;
                        }
                    });
                }
            },
        ),
        aarch64(
            TEST32,
            "select-compares-the-destination",
            Kind::Register,
            "b is copied into dst before the comparison: wrong where dst is the condition",
            |site, code| {
                let (dst, cond, b) = (site.x("dst"), site.x("cond"), site.x("b"));
                if dst == cond && dst != site.x("a") {
                    super::code::before(code, super::code::arm(|a| a.mov(W::X, dst, b)));
                }
            },
        ),
    ]
}

fn x86_64_comparisons() -> Vec<Planted> {
    vec![
        x86_64(
            COMPARE64,
            "select-compares-signed",
            Kind::Register,
            "CMOVG for CMOVA: wrong only where the signs of both sides differ",
            |_, code| {
                each(code, |insn| {
                    if let I::Cmov { cond: cond @ Cond::A, .. } = insn {
                        *cond = Cond::G;
                    }
                });
            },
        ),
        x86_64(
            COMPARE64,
            "select-includes-equality",
            Kind::Register,
            "CMOVLE for CMOVL: wrong for equal sides alone",
            |_, code| {
                each(code, |insn| {
                    if let I::Cmov { cond: cond @ Cond::L, .. } = insn {
                        *cond = Cond::Le;
                    }
                });
            },
        ),
        x86_64(
            COMPARE64,
            "select-compares-dst-in-place-of-left",
            Kind::Register,
            "a two-operand form taken for one: dst is compared in place of left",
            |site, code| {
                let dst = site.gpr("dst");
                each(code, |insn| {
                    if let I::Alu { op: AluOp::Cmp, dst: left, .. } = insn {
                        *left = Rm::Reg(dst);
                    }
                });
            },
        ),
        x86_64(
            COMPARE32,
            "select-compares-all-bits",
            Kind::Register,
            "CMP of 64 bits in the form for 32: right for numbers that are zero-extended",
            |_, code| {
                each(code, |insn| {
                    if let I::Alu { op: AluOp::Cmp, size, .. } = insn {
                        *size = Size::B8;
                    }
                });
            },
        ),
        x86_64(
            NUMBER64,
            "select-number-without-a-sign",
            Kind::Register,
            "the number is taken without its sign: negative ones become 224 to 255",
            |site, code| {
                let number = site.imm("number") as u8;
                each(code, |insn| {
                    if let I::Alu { op: AluOp::Cmp, src, .. } = insn {
                        *src = Operand::Imm(number.into());
                    }
                });
            },
        ),
        x86_64(
            NUMBER32,
            "select-compares-where-it-tests",
            Kind::Register,
            "CMP for TEST: `&` becomes `!=`",
            |site, code| {
                let (left, number) = (site.gpr("left"), site.imm("number") as i32);
                if site.imm("when") == 3 {
                    instead(code, is_test, x86(|asm| asm.cmp(Size::B4, left, number)));
                }
            },
        ),
    ]
}

fn aarch64_comparisons() -> Vec<Planted> {
    vec![
        aarch64(
            COMPARE32,
            "select-compares-x-registers",
            Kind::Register,
            "CMP of X registers in the form for 32 bits: right for numbers that are zero-extended",
            |_, code| {
                each(code, |insn| {
                    if let A::AddSubShifted { width, .. } = insn {
                        *width = W::X;
                    }
                });
            },
        ),
        aarch64(
            COMPARE64,
            "select-exchanges-a-and-b",
            Kind::Register,
            "CSEL has what is selected first, CMOV last",
            |_, code| {
                each(code, |insn| {
                    if let A::CondSelect { rn, rm, .. } = insn {
                        std::mem::swap(rn, rm);
                    }
                });
            },
        ),
        aarch64(
            NUMBER64,
            "select-number-without-its-sign",
            Kind::Register,
            "CMP with the amount of a negative number in place of CMN",
            |_, code| {
                each(code, |insn| {
                    if let A::AddSubImm { op: op @ AddSub::Adds, .. } = insn {
                        *op = AddSub::Subs;
                    }
                });
            },
        ),
    ]
}
