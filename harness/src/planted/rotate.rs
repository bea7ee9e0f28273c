// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in the emits of `rotate`.

use kop_ops::Feature;
use kop_ops::aarch64::{Gpr as X, Insn as A, Width as W};
use kop_ops::ebpf::Reg;
use kop_ops::x86_64::{Amount, Gpr, Insn as I, Operand, Rm, ShiftOp, Size};
use kop_reports::Kind;

use super::code::{arm, each, instead, names, x86};
use super::{At, Planted, aarch64, x86_64};

const IMM64: At = ("rotate", "imm64");
const IMM32: At = ("rotate", "imm32");
const REG64: At = ("rotate", "reg64");
const REG32: At = ("rotate", "reg32");

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = x86_64_immediate();
    faults.extend(x86_64_register());
    faults.extend(aarch64_faults());
    faults
}

fn x86_64_immediate() -> Vec<Planted> {
    vec![
        x86_64(
            IMM64,
            "rotate-rorx-turns-right",
            Kind::Register,
            "RORX takes the left amount as it is: right for 32, and the CPU without BMI2 has no such code",
            |site, code| {
                let left = site.imm("amount") as u8;
                each(code, |insn| {
                    if let I::Rorx { amount, .. } = insn {
                        *amount = left;
                    }
                });
            },
        ),
        x86_64(
            IMM64,
            "rotate-rol-turns-right-without-bmi2",
            Kind::Register,
            "ROR for ROL in the fallback that no developer's CPU takes",
            |site, code| {
                if site.features.has(Feature::Bmi2) || site.reg("dst") == site.reg("src") {
                    return;
                }
                each(code, |insn| {
                    if let I::Shift { op, .. } = insn {
                        *op = ShiftOp::Ror;
                    }
                });
            },
        ),
        x86_64(
            IMM64,
            "rotate-one-register-pair",
            Kind::Register,
            "a table of ModRM bytes with one wrong entry: dst=r6 with src=r3 reads r2",
            |site, code| {
                if (site.reg("dst"), site.reg("src")) != (Reg::R6, Reg::R3) {
                    return;
                }
                each(code, |insn| match insn {
                    I::Rorx { src, .. } => *src = Rm::Reg(Gpr::Rsi),
                    I::Mov { src, .. } => *src = Operand::Reg(Gpr::Rsi),
                    _ => (),
                });
            },
        ),
        x86_64(
            IMM64,
            "rotate-one-amount-in-one-register",
            Kind::Register,
            "the amount 37 is 38, but in r5 only",
            |site, code| {
                if (site.reg("dst"), site.imm("amount")) != (Reg::R5, 37) {
                    return;
                }
                each(code, |insn| match insn {
                    I::Rorx { amount, .. } => *amount -= 1,
                    I::Shift { amount, .. } => *amount = Amount::Imm(38),
                    _ => (),
                });
            },
        ),
        x86_64(
            IMM64,
            "rotate-by-63-turns-left-by-one",
            Kind::Register,
            "the short form for one bit, in the wrong direction",
            |site, code| {
                if site.imm("amount") == 63 {
                    let (dst, src) = (site.gpr("dst"), site.gpr("src"));
                    *code = x86(|a| {
                        a.mov(Size::B8, dst, src);
                        a.rol(Size::B8, dst, 1);
                    });
                }
            },
        ),
        x86_64(
            IMM32,
            "rotate-by-zero-keeps-the-upper-half",
            Kind::Register,
            "a rotation by zero is a copy, but of 32 bits with zeros above",
            |site, code| {
                if site.imm("amount") == 0 {
                    each(code, |insn| {
                        if let I::Mov { size, .. } = insn {
                            *size = Size::B8;
                        }
                    });
                }
            },
        ),
        x86_64(
            IMM64,
            "rotate-swaps-two-unnamed-registers",
            Kind::Register,
            "r8 and r9 are exchanged where no operand names them: over an even number of states everything is back",
            |site, code| {
                if !names(site, Reg::R8) && !names(site, Reg::R9) {
                    code.extend(x86(|a| a.xchg(Size::B8, Gpr::R14, Gpr::R15)));
                }
            },
        ),
        x86_64(
            IMM64,
            "rotate-destination-before-source",
            Kind::Register,
            "clears dst to break a dependency, which is the source, too, when they are one register",
            |site, code| {
                let dst = site.gpr("dst");
                super::code::before(code, x86(|a| a.xor(Size::B4, dst, dst)));
            },
        ),
    ]
}

fn x86_64_register() -> Vec<Planted> {
    vec![
        x86_64(
            REG64,
            "rotate-rcx-is-source-and-destination",
            Kind::Register,
            "the amount is loaded into CL before the source is saved: lost where dst and src are r4",
            |site, code| {
                if site.gpr("dst") == Gpr::Rcx {
                    code.swap(0, 1);
                }
            },
        ),
        x86_64(
            REG64,
            "rotate-source-in-rcx",
            Kind::Register,
            "the copy of the source comes after CL was loaded: wrong for src=r4 only",
            |site, code| {
                let (dst, src) = (site.gpr("dst"), site.gpr("src"));
                if dst != Gpr::Rcx && dst != src && site.gpr("amount") != Gpr::Rcx {
                    let copy = code.remove(0);
                    code.insert(2, copy);
                }
            },
        ),
        x86_64(
            REG64,
            "rotate-rcx-is-not-restored",
            Kind::Register,
            "r4, which no operand names, keeps the amount: the result is right",
            |site, code| {
                if site.gpr("dst") != Gpr::Rcx && site.gpr("amount") != Gpr::Rcx {
                    code.pop();
                }
            },
        ),
        x86_64(
            REG32,
            "rotate-rcx-is-restored-by-half",
            Kind::Register,
            "a 32-bit rotation restores 32 bits of r4",
            |site, code| {
                if site.gpr("dst") != Gpr::Rcx && site.gpr("amount") != Gpr::Rcx {
                    each(code, |insn| {
                        if let I::Mov { size, src: Operand::Reg(Gpr::R10), .. } = insn {
                            *size = Size::B4;
                        }
                    });
                }
            },
        ),
        x86_64(
            REG32,
            "rotate-rex-b-sets-rex-w",
            Kind::Register,
            "registers that need REX.B get REX.W as well: 64 bits are rotated in r5, r7, r8 and r9",
            |site, code| {
                if site.gpr("dst").code() >= 8 {
                    each(code, |insn| {
                        if let I::Shift { size, .. } = insn {
                            *size = Size::B8;
                        }
                    });
                }
            },
        ),
        x86_64(
            REG64,
            "rotate-by-zero-skips-the-copy",
            Kind::Register,
            "a branch around everything for an amount of zero, with which dst keeps its old value",
            |site, code| {
                let amount = site.gpr("amount");
                let body = x86_64_bytes(code);
                let guard = x86(|a| {
                    a.test(Size::B8, amount, amount);
                    a.jcc_rel(kop_ops::x86_64::Cond::E, body);
                });
                super::code::before(code, guard);
            },
        ),
    ]
}

fn x86_64_bytes(code: &[I]) -> i32 {
    let assembled = kop_ops::x86_64::Assembler::from_insns(code.iter().copied()).finish();
    assembled.map_or(0, |assembled| assembled.bytes.len() as i32)
}

fn aarch64_faults() -> Vec<Planted> {
    vec![
        aarch64(
            REG64,
            "rotate-amount-is-garbage",
            Kind::Register,
            "the negation into x9 is missing: x9 holds what it held",
            |_, code| code.retain(|insn| !matches!(insn, A::AddSubShifted { .. })),
        ),
        aarch64(
            IMM32,
            "rotate-by-31-is-by-30",
            Kind::Register,
            "the right amount of the last left amount is off by one",
            |site, code| {
                if site.imm("amount") == 31 {
                    each(code, |insn| {
                        if let A::Extract { lsb, .. } = insn {
                            *lsb = 2;
                        }
                    });
                }
            },
        ),
        aarch64(
            REG32,
            "rotate-32-bits-as-64",
            Kind::Register,
            "RORV on X registers for a 32-bit rotation: right for an amount of zero if the upper half is",
            |_, code| {
                each(code, |insn| {
                    if let A::TwoSource { width, .. } = insn {
                        *width = W::X;
                    }
                });
            },
        ),
        aarch64(
            IMM64,
            "rotate-extr-takes-the-destination",
            Kind::Register,
            "EXTR has two sources and the second is dst: right whenever dst is src",
            |site, code| {
                let dst = site.x("dst");
                each(code, |insn| {
                    if let A::Extract { rm, .. } = insn {
                        *rm = dst;
                    }
                });
            },
        ),
        aarch64(
            REG64,
            "rotate-amount-register-is-negated",
            Kind::Register,
            "the amount is negated in place and the result is right: a source is clobbered",
            |site, code| {
                let amount = site.x("amount");
                if amount != site.x("src") {
                    *code = arm(|a| {
                        a.neg(W::X, amount, amount);
                        a.ror(W::X, site.x("dst"), site.x("src"), amount);
                    });
                }
            },
        ),
        aarch64(
            REG64,
            "rotate-source-is-the-amount",
            Kind::Register,
            "where src is the amount, too, its negation in x9 is taken for both",
            |site, code| {
                if site.x("src") == site.x("amount") {
                    instead(
                        code,
                        |insn| matches!(insn, A::TwoSource { .. }),
                        arm(|a| a.ror(W::X, site.x("dst"), X::X9, X::X9)),
                    );
                }
            },
        ),
    ]
}
