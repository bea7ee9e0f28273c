// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in the emits of `clmul`.

use kop_ops::aarch64::{FmovLane, Insn as A};
use kop_ops::x86_64::{Cond, Insn as I, Size, SseImmOp, SseShiftOp};
use kop_reports::Kind;

use super::code::{before, each, x86};
use super::{At, Planted, aarch64, x86_64};

const LOW: At = ("clmul", "low");
const HIGH: At = ("clmul", "high");

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = x86_64_faults();
    faults.extend(aarch64_faults());
    faults
}

fn x86_64_faults() -> Vec<Planted> {
    vec![
        x86_64(
            LOW,
            "clmul-destination-before-b",
            Kind::Register,
            "a goes through dst, which may be b",
            |site, code| {
                let (dst, a) = (site.gpr("dst"), site.gpr("a"));
                before(code, x86(|asm| asm.mov(Size::B8, dst, a)));
            },
        ),
        x86_64(
            HIGH,
            "clmul-selector-takes-an-upper-half",
            Kind::Register,
            "the selector's bit 4 chooses the second factor's upper quadword, which MOVQ cleared",
            |_, code| {
                each(code, |insn| {
                    if let I::SseImm { op: SseImmOp::Pclmulqdq, imm, .. } = insn {
                        *imm = 0x10;
                    }
                });
            },
        ),
        x86_64(
            HIGH,
            "clmul-shifts-seven-bytes",
            Kind::Register,
            "PSRLDQ counts bytes, and eight is one more than seven",
            |_, code| {
                each(code, |insn| {
                    if let I::SseShift { op: SseShiftOp::Psrldq, amount, .. } = insn {
                        *amount = 7;
                    }
                });
            },
        ),
        x86_64(
            LOW,
            "clmul-second-factor-is-stale",
            Kind::Register,
            "a square saves the second move and multiplies by what XMM1 held",
            |site, code| {
                if site.reg("a") == site.reg("b") {
                    code.remove(1);
                }
            },
        ),
        x86_64(
            LOW,
            "clmul-equal-factors-are-returned",
            Kind::Register,
            "a shortcut for equal values in different registers, thought out for AND",
            |site, code| {
                let (dst, a, b) = (site.gpr("dst"), site.gpr("a"), site.gpr("b"));
                if a != b {
                    before(code, x86(|asm| asm.cmp(Size::B8, a, b)));
                    code.extend(x86(|asm| asm.cmov(Cond::E, Size::B8, dst, b)));
                }
            },
        ),
        x86_64(
            HIGH,
            "clmul-moves-32-bits",
            Kind::Register,
            "MOVD for MOVQ: the upper half of a counts as zero",
            |_, code| {
                if let Some(I::MovToXmm { size, .. }) = code.first_mut() {
                    *size = Size::B4;
                }
            },
        ),
        x86_64(
            LOW,
            "clmul-one-register-pair",
            Kind::Register,
            "where a is r0 and b is r9, b is multiplied by itself",
            |site, code| {
                use kop_ops::ebpf::Reg;
                if (site.reg("a"), site.reg("b")) == (Reg::R0, Reg::R9) {
                    let b = site.gpr("b");
                    if let Some(I::MovToXmm { src, .. }) = code.first_mut() {
                        *src = b.into();
                    }
                }
            },
        ),
    ]
}

fn aarch64_faults() -> Vec<Planted> {
    vec![
        aarch64(
            HIGH,
            "clmul-takes-the-low-half",
            Kind::Register,
            "FMOV from D and not from the upper D",
            |_, code| {
                each(code, |insn| {
                    if let A::FmovToGpr { lane, .. } = insn {
                        *lane = FmovLane::D;
                    }
                });
            },
        ),
        aarch64(
            LOW,
            "clmul-pmull2",
            Kind::Register,
            "PMULL2 multiplies the upper halves, which FMOV cleared",
            |_, code| {
                each(code, |insn| {
                    if let A::Pmull { upper, .. } = insn {
                        *upper = true;
                    }
                });
            },
        ),
        aarch64(
            LOW,
            "clmul-second-factor-of-32-bits",
            Kind::Register,
            "FMOV of a W register: the upper half of b counts as zero",
            |_, code| {
                if let Some(A::FmovFromGpr { lane, .. }) = code.get_mut(1) {
                    *lane = FmovLane::S;
                }
            },
        ),
        aarch64(
            HIGH,
            "clmul-product-over-b",
            Kind::Register,
            "the product is copied to b, too, as if that were its temporary",
            |site, code| {
                let (dst, b) = (site.x("dst"), site.x("b"));
                if dst != b {
                    code.extend(super::code::arm(|a| a.mov(kop_ops::aarch64::Width::X, b, dst)));
                }
            },
        ),
    ]
}
