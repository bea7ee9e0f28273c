// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in the emits of `min_max`.

use kop_ops::aarch64::{Cond as ArmCond, Insn as A, Width as W};
use kop_ops::x86_64::{Cond, Insn as I, Nullary, Size};
use kop_reports::Kind;

use super::code::{each, x86};
use super::{At, Planted, aarch64, x86_64};

const UMIN64: At = ("min_max", "umin64");
const UMAX32: At = ("min_max", "umax32");
const SMIN32: At = ("min_max", "smin32");
const SMAX64: At = ("min_max", "smax64");
const UMAX64: At = ("min_max", "umax64");
const SMIN64: At = ("min_max", "smin64");

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = x86_64_faults();
    faults.extend(aarch64_faults());
    faults
}

fn x86_64_faults() -> Vec<Planted> {
    vec![
        x86_64(
            UMIN64,
            "min-max-signed-condition",
            Kind::Register,
            "G for A: right unless one of the two has its sign set",
            |_, code| {
                each(code, |insn| {
                    if let I::Cmov { cond: cond @ Cond::A, .. } = insn {
                        *cond = Cond::G;
                    }
                });
            },
        ),
        x86_64(
            SMAX64,
            "min-max-destination-is-b",
            Kind::Register,
            "a is copied to dst even where that is b, which CMOV then moves to itself",
            |site, code| {
                let (dst, a, b) = (site.gpr("dst"), site.gpr("a"), site.gpr("b"));
                if dst == b && a != b {
                    *code = x86(|asm| {
                        asm.cmp(Size::B8, a, b);
                        asm.mov(Size::B8, dst, a);
                        asm.cmov(Cond::L, Size::B8, dst, b);
                    });
                }
            },
        ),
        x86_64(
            UMAX32,
            "min-max-compares-64-bits",
            Kind::Register,
            "CMP with REX.W in the 32-bit form: upper halves decide",
            |_, code| {
                each(code, |insn| {
                    if let I::Alu { size, .. } = insn {
                        *size = Size::B8;
                    }
                });
            },
        ),
        x86_64(
            SMIN32,
            "min-max-moves-64-bits",
            Kind::Register,
            "CMOV with REX.W in the 32-bit form: the upper half is that of a source",
            |_, code| {
                each(code, |insn| {
                    if let I::Cmov { size, .. } = insn {
                        *size = Size::B8;
                    }
                });
            },
        ),
        x86_64(
            SMIN64,
            "min-max-copy-before-comparison",
            Kind::Register,
            "dst gets a before the comparison, which then compares a with itself where dst is b",
            |site, code| {
                let (dst, a, b) = (site.gpr("dst"), site.gpr("a"), site.gpr("b"));
                *code = x86(|asm| {
                    asm.mov(Size::B8, dst, a);
                    asm.cmp(Size::B8, dst, b);
                    asm.cmov(Cond::G, Size::B8, dst, b);
                });
            },
        ),
        x86_64(
            UMAX32,
            "min-max-nothing-to-do-in-place",
            Kind::Register,
            "no code where all three are one register: the upper half stays",
            |site, code| {
                if site.reg("dst") == site.reg("a") && site.reg("dst") == site.reg("b") {
                    *code = vec![I::Nullary(Nullary::Nop)];
                }
            },
        ),
    ]
}

fn aarch64_faults() -> Vec<Planted> {
    vec![
        aarch64(
            UMAX64,
            "min-max-csel-exchanged",
            Kind::Register,
            "CSEL's operands exchanged: the smaller one",
            |site, code| {
                let (a, b) = (site.x("a"), site.x("b"));
                each(code, |insn| {
                    if let A::CondSelect { rn, rm, .. } = insn {
                        (*rn, *rm) = (b, a);
                    }
                });
            },
        ),
        aarch64(
            SMIN64,
            "min-max-mi-for-le",
            Kind::Register,
            "MI looks at the difference's sign alone: wrong where it overflows",
            |_, code| {
                each(code, |insn| {
                    if let A::CondSelect { cond, .. } = insn {
                        *cond = ArmCond::Mi;
                    }
                });
            },
        ),
        aarch64(
            UMAX32,
            "min-max-csel-of-x-registers",
            Kind::Register,
            "CSEL of 64 bits in the 32-bit form: the upper half is that of a source",
            |_, code| {
                each(code, |insn| {
                    if let A::CondSelect { width, .. } = insn {
                        *width = W::X;
                    }
                });
            },
        ),
        aarch64(
            SMIN32,
            "min-max-compares-x-registers",
            Kind::Register,
            "CMP of 64 bits in the 32-bit form",
            |_, code| {
                each(code, |insn| {
                    if let A::AddSubShifted { width, .. } = insn {
                        *width = W::X;
                    }
                });
            },
        ),
    ]
}
