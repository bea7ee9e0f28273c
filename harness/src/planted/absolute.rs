// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in the emits of `absolute`.

use kop_ops::aarch64::{Cond as ArmCond, CondSelectOp, Insn as A, Width as W};
use kop_ops::x86_64::{Cond, Gpr, Insn as I, Size};
use kop_reports::Kind;

use super::code::{each, x86};
use super::{At, Planted, aarch64, x86_64};

const ABS64: At = ("absolute", "abs64");
const ABS32: At = ("absolute", "abs32");

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = x86_64_faults();
    faults.extend(aarch64_faults());
    faults
}

fn x86_64_faults() -> Vec<Planted> {
    vec![
        x86_64(
            ABS64,
            "absolute-in-place",
            Kind::Register,
            "dst is negated and replaced by the source where that is positive, which is dst: always negated",
            |site, code| {
                let (dst, src) = (site.gpr("dst"), site.gpr("src"));
                if dst == src {
                    *code = x86(|a| {
                        a.neg(Size::B8, dst);
                        a.cmov(Cond::S, Size::B8, dst, src);
                    });
                }
            },
        ),
        x86_64(
            ABS64,
            "absolute-of-the-least-number",
            Kind::Register,
            "saturating, as for audio samples: the least number becomes the greatest",
            |site, code| {
                let (dst, src) = (site.gpr("dst"), site.gpr("src"));
                if dst != src {
                    code.extend(x86(|a| {
                        a.mov(Size::B8, Gpr::R10, dst);
                        a.shr(Size::B8, Gpr::R10, 63);
                        a.sub(Size::B8, dst, Gpr::R10);
                    }));
                }
            },
        ),
        x86_64(
            ABS32,
            "absolute-of-64-bits",
            Kind::Register,
            "REX.W in the 32-bit form: the sign is that of the upper half, which stays",
            |_, code| {
                each(code, |insn| match insn {
                    I::Mov { size, .. } | I::Unary { size, .. } | I::Cmov { size, .. } => *size = Size::B8,
                    _ => (),
                });
            },
        ),
        x86_64(
            ABS32,
            "absolute-condition-is-not-inverted",
            Kind::Register,
            "in place, CMOVS as for other registers: the negative one of the two",
            |site, code| {
                if site.reg("dst") == site.reg("src") {
                    each(code, |insn| {
                        if let I::Cmov { cond, .. } = insn {
                            *cond = Cond::S;
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
            ABS64,
            "absolute-csinv",
            Kind::Register,
            "CSINV for CSNEG: the complement, one less",
            |_, code| {
                each(code, |insn| {
                    if let A::CondSelect { op, .. } = insn {
                        *op = CondSelectOp::Csinv;
                    }
                });
            },
        ),
        aarch64(
            ABS32,
            "absolute-compares-x-registers",
            Kind::Register,
            "the sign of 64 bits decides about 32",
            |_, code| {
                each(code, |insn| {
                    if let A::AddSubImm { width, .. } = insn {
                        *width = W::X;
                    }
                });
            },
        ),
        aarch64(
            ABS64,
            "absolute-hs-for-ge",
            Kind::Register,
            "HS holds for every number compared with zero: nothing is negated",
            |_, code| {
                each(code, |insn| {
                    if let A::CondSelect { cond, .. } = insn {
                        *cond = ArmCond::Hs;
                    }
                });
            },
        ),
    ]
}
