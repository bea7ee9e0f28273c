// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in the emits of `popcount`.

use kop_ops::aarch64::{FmovLane, Gpr as X, Insn as A, LogicalImm};
use kop_ops::x86_64::{Insn as I, Size};
use kop_ops::{Feature, Site};
use kop_reports::Kind;

use super::code::{before, each, x86};
use super::{At, Planted, aarch64, x86_64};

const POP64: At = ("popcount", "pop64");
const POP32: At = ("popcount", "pop32");

fn general(site: &Site) -> bool {
    !site.features.has(Feature::AdvSimd)
}

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = avx512_faults();
    faults.extend(other_faults());
    faults
}

fn avx512_faults() -> Vec<Planted> {
    vec![
        x86_64(
            POP64,
            "popcount-vpopcnt-of-doublewords",
            Kind::Register,
            "with AVX-512 alone, VPOPCNTD for VPOPCNTQ: the upper half has a count of its own, and it is left there",
            |_, code| {
                each(code, |insn| {
                    if let I::Vpopcnt { size, .. } = insn {
                        *size = Size::B4;
                    }
                });
            },
        ),
        x86_64(
            POP32,
            "popcount-moves-a-quadword-to-xmm",
            Kind::Register,
            "with AVX-512 alone, MOVQ for MOVD: VPOPCNTQ counts the upper half as well",
            |_, code| {
                each(code, |insn| {
                    if let I::MovToXmm { size, .. } = insn {
                        *size = Size::B8;
                    }
                });
            },
        ),
    ]
}

fn other_faults() -> Vec<Planted> {
    vec![
        x86_64(
            POP32,
            "popcount-counts-the-upper-half",
            Kind::Register,
            "POPCNT of 64 bits in the 32-bit form: right wherever the upper half is zero",
            |_, code| {
                each(code, |insn| {
                    if let I::Count { size, .. } = insn {
                        *size = Size::B8;
                    }
                });
            },
        ),
        x86_64(
            POP64,
            "popcount-breaks-a-dependency",
            Kind::Register,
            "the well-known XOR before POPCNT, which clears the source where it is dst",
            |site, code| {
                let dst = site.gpr("dst");
                before(code, x86(|a| a.xor(Size::B4, dst, dst)));
            },
        ),
        x86_64(
            POP64,
            "popcount-counts-in-the-source",
            Kind::Register,
            "the count goes through the source register, which is lost",
            |site, code| {
                if !site.features.has(Feature::Popcnt) {
                    return;
                }
                let (dst, src) = (site.gpr("dst"), site.gpr("src"));
                *code = x86(|a| {
                    a.popcnt(Size::B8, src, src);
                    a.mov(Size::B8, dst, src);
                });
            },
        ),
        x86_64(
            POP64,
            "popcount-writes-a-word",
            Kind::Register,
            "the 16-bit POPCNT writes 16 bits and counts 16",
            |_, code| {
                each(code, |insn| {
                    if let I::Count { size, .. } = insn {
                        *size = Size::B2;
                    }
                });
            },
        ),
        aarch64(
            POP64,
            "popcount-mask-of-three-bits",
            Kind::Register,
            "without SIMD, the mask of the byte sums has three bits: wrong for a byte of ones alone",
            |site, code| {
                if general(site) {
                    each(code, |insn| {
                        if let A::LogicalImm { op: LogicalImm::And, imm, .. } = insn
                            && *imm == 0x0f0f_0f0f_0f0f_0f0f
                        {
                            *imm = 0x0707_0707_0707_0707;
                        }
                    });
                }
            },
        ),
        aarch64(
            POP32,
            "popcount-last-shift-is-short",
            Kind::Register,
            "without SIMD, the sum is taken from one bit too low",
            |site, code| {
                if let Some(A::Bitfield { immr, .. }) = code.last_mut().filter(|_| general(site)) {
                    *immr -= 1;
                }
            },
        ),
        aarch64(
            POP64,
            "popcount-sums-in-the-destination",
            Kind::Register,
            "without SIMD, dst serves as x9: lost is the source where it is dst",
            |site, code| {
                if !general(site) {
                    return;
                }
                let dst = site.x("dst");
                if let Some(A::LogicalImm { rd, .. }) = code.first_mut() {
                    *rd = dst;
                }
                if let Some(A::AddSubShifted { rn, .. }) = code.get_mut(3) {
                    *rn = dst;
                }
            },
        ),
        aarch64(
            POP64,
            "popcount-ones-are-left-over",
            Kind::Register,
            "without SIMD, the factor of the last step is in x10 already where it was used before: it was not",
            |site, code| {
                if general(site) {
                    code.retain(|insn| {
                        !matches!(insn, A::LogicalImm { op: LogicalImm::Orr, rn: X::Xzr, .. })
                    });
                }
            },
        ),
        aarch64(
            POP32,
            "popcount-moves-64-bits-to-simd",
            Kind::Register,
            "with SIMD, FMOV of 64 bits in the 32-bit form",
            |_, code| {
                each(code, |insn| {
                    if let A::FmovFromGpr { lane, .. } = insn {
                        *lane = FmovLane::D;
                    }
                });
            },
        ),
        aarch64(
            POP64,
            "popcount-does-not-add-up",
            Kind::Register,
            "with SIMD, ADDV is missing: right for a source below 256",
            |_, code| code.retain(|insn| !matches!(insn, A::Addv { .. })),
        ),
    ]
}
