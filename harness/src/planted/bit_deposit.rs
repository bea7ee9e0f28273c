// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in the emits of `bit_deposit` and `bit_extract`, which mirror each other.

use kop_ops::aarch64::{Insn as A, Scalar, Shift, Width as W};
use kop_ops::x86_64::{BmiRvmOp, Gpr, Insn as I, Rm, Size};
use kop_ops::{Feature, Site};
use kop_reports::Kind;

use super::code::each;
use super::{At, Planted, aarch64, x86_64};

const DEPOSIT: At = ("bit_deposit", "stride");
const EXTRACT: At = ("bit_extract", "stride");

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = x86_64_faults();
    faults.extend(aarch64_faults());
    faults
}

/// Whether the code works on general registers.
fn general(site: &Site) -> bool {
    !site.features.has(Feature::SveBitperm)
}

fn x86_64_faults() -> Vec<Planted> {
    vec![
        x86_64(
            DEPOSIT,
            "bit-deposit-extracts",
            Kind::Register,
            "PEXT for PDEP: they differ in one prefix",
            |_, code| {
                each(code, |insn| {
                    if let I::BmiRvm { op, .. } = insn {
                        *op = BmiRvmOp::Pext;
                    }
                });
            },
        ),
        x86_64(
            DEPOSIT,
            "bit-deposit-of-32-bits",
            Kind::Register,
            "PDEP lacks VEX.W: places from 32 on get nothing",
            |_, code| {
                each(code, |insn| {
                    if let I::BmiRvm { size, .. } = insn {
                        *size = Size::B4;
                    }
                });
            },
        ),
        x86_64(
            DEPOSIT,
            "bit-deposit-mask-in-dst",
            Kind::Register,
            "the mask goes to dst, which may be the source",
            |site, code| {
                let gpr = site.gpr("dst");
                each(code, |insn| match insn {
                    I::Movabs { dst, .. } => *dst = gpr,
                    I::BmiRvm { src2, .. } => *src2 = Rm::Reg(gpr),
                    _ => (),
                });
            },
        ),
        x86_64(
            EXTRACT,
            "bit-extract-operands-exchanged",
            Kind::Register,
            "the mask is the second operand; exchanged, bits of it are chosen by the source",
            |site, code| {
                let src = site.gpr("src");
                each(code, |insn| {
                    if let I::BmiRvm { src1, src2, .. } = insn {
                        (*src1, *src2) = (Gpr::R10, Rm::Reg(src));
                    }
                });
            },
        ),
        x86_64(
            EXTRACT,
            "bit-extract-mask-of-32-bits",
            Kind::Register,
            "the mask is loaded by a move of 32 bits, as it is periodical",
            |_, code| {
                each(code, |insn| {
                    if let I::Movabs { imm, .. } = insn {
                        *imm &= 0xffff_ffff;
                    }
                });
            },
        ),
    ]
}

fn aarch64_faults() -> Vec<Planted> {
    vec![
        aarch64(
            DEPOSIT,
            "bit-deposit-of-words",
            Kind::Register,
            "with SVE, lanes of 32 bits: each half of the source goes into its own half",
            |_, code| {
                each(code, |insn| {
                    if let A::BitPermute { lane, .. } = insn {
                        *lane = Scalar::S;
                    }
                });
            },
        ),
        aarch64(
            EXTRACT,
            "bit-extract-mask-is-the-source",
            Kind::Register,
            "with SVE, the sources exchanged: the mask's bits are chosen by the source",
            |_, code| {
                each(code, |insn| {
                    if let A::BitPermute { zn, zm, .. } = insn {
                        std::mem::swap(zn, zm);
                    }
                });
            },
        ),
        aarch64(
            DEPOSIT,
            "bit-deposit-source-is-not-cut",
            Kind::Register,
            "the bits beyond the number of places are not cleared: the first mask leaves some of them",
            |site, code| {
                let (dst, src) = (site.x("dst"), site.x("src"));
                if let Some(first) = code.first_mut().filter(|_| general(site)) {
                    *first = super::code::arm(|a| a.mov(W::X, dst, src)).remove(0);
                }
            },
        ),
        aarch64(
            DEPOSIT,
            "bit-deposit-offset-first",
            Kind::Register,
            "the offset is applied to the source, as if the distance were one",
            |site, code| {
                if site.imm("offset") > 0 && general(site) {
                    let (dst, src, offset) = (site.x("dst"), site.x("src"), site.imm("offset") as u8);
                    code.pop();
                    super::code::before(code, super::code::arm(|a| a.lsl_imm(W::X, dst, src, offset)));
                    if let Some(A::LogicalImm { rn, .. }) = code.get_mut(1) {
                        *rn = dst;
                    }
                }
            },
        ),
        aarch64(
            EXTRACT,
            "bit-extract-left-shift",
            Kind::Register,
            "LSL for LSR in one of the stages",
            |_, code| {
                if let Some(A::LogicalShifted { shift, .. }) =
                    code.iter_mut().find(|insn| matches!(insn, A::LogicalShifted { .. }))
                {
                    *shift = Shift::Lsl;
                }
            },
        ),
        aarch64(
            EXTRACT,
            "bit-extract-from-place-zero",
            Kind::Register,
            "the offset is left out",
            |site, code| {
                let src = site.x("src");
                if site.imm("offset") > 0 && general(site) {
                    code.remove(0);
                    if let Some(A::LogicalImm { rn, .. }) = code.first_mut() {
                        *rn = src;
                    }
                }
            },
        ),
    ]
}
