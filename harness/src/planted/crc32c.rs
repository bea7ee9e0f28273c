// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in the emits of `crc32c`.

use kop_ops::aarch64::{Insn as A, Size as ArmSize};
use kop_ops::x86_64::{Insn as I, Operand, Rm, Size};
use kop_reports::Kind;

use super::code::{each, x86};
use super::{At, Planted, aarch64, x86_64};

const U8: At = ("crc32c", "u8");
const U16: At = ("crc32c", "u16");
const U32: At = ("crc32c", "u32");
const U64: At = ("crc32c", "u64");

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = x86_64_faults();
    faults.extend(aarch64_faults());
    faults
}

fn x86_64_faults() -> Vec<Planted> {
    vec![
        x86_64(
            U32,
            "crc32c-destination-is-data",
            Kind::Register,
            "the checksum goes to dst even where that is the data",
            |site, code| {
                let (dst, crc, data) = (site.gpr("dst"), site.gpr("crc"), site.gpr("data"));
                if dst == data && dst != crc && !code.is_empty() {
                    *code = x86(|a| {
                        a.mov(Size::B4, dst, crc);
                        a.crc32(Size::B4, dst, data);
                    });
                }
            },
        ),
        x86_64(
            U64,
            "crc32c-four-of-eight-bytes",
            Kind::Register,
            "CRC32 lacks REX.W: the upper four bytes are left out",
            |_, code| {
                each(code, |insn| {
                    if let I::Crc32 { size, .. } = insn {
                        *size = Size::B4;
                    }
                });
            },
        ),
        x86_64(
            U16,
            "crc32c-sixteen-bits-without-the-prefix",
            Kind::Register,
            "without the prefix 66, CRC32 takes four bytes",
            |_, code| {
                each(code, |insn| {
                    if let I::Crc32 { size, .. } = insn {
                        *size = Size::B4;
                    }
                });
            },
        ),
        x86_64(
            U8,
            "crc32c-inverts-at-the-end",
            Kind::Register,
            "the final inversion of the whole checksum in each step",
            |site, code| code.extend(x86(|a| a.not(Size::B4, site.gpr("dst")))),
        ),
        x86_64(
            U64,
            "crc32c-checksum-is-the-data",
            Kind::Register,
            "operands exchanged: the data is continued over the checksum",
            |site, code| {
                let (dst, crc, data) = (site.gpr("dst"), site.gpr("crc"), site.gpr("data"));
                if dst != crc && dst != data {
                    each(code, |insn| match insn {
                        I::Mov { src, .. } => *src = Operand::Reg(data),
                        I::Crc32 { src, .. } => *src = Rm::Reg(crc),
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
            U32,
            "crc32c-of-ethernet",
            Kind::Register,
            "CRC32W for CRC32CW: another polynomial, one letter",
            |_, code| {
                each(code, |insn| {
                    if let A::Crc32 { castagnoli, .. } = insn {
                        *castagnoli = false;
                    }
                });
            },
        ),
        aarch64(
            U16,
            "crc32c-of-one-byte",
            Kind::Register,
            "CRC32CB for CRC32CH: the second byte is left out",
            |_, code| {
                each(code, |insn| {
                    if let A::Crc32 { size, .. } = insn {
                        *size = ArmSize::B1;
                    }
                });
            },
        ),
        aarch64(
            U8,
            "crc32c-checksum-in-place",
            Kind::Register,
            "the checksum is continued where it is and copied: the result is right, and crc is another",
            |site, code| {
                let (dst, crc, data) = (site.x("dst"), site.x("crc"), site.x("data"));
                *code = super::code::arm(|a| {
                    a.crc32c(ArmSize::B1, crc, crc, data);
                    a.mov(kop_ops::aarch64::Width::W, dst, crc);
                });
            },
        ),
    ]
}
