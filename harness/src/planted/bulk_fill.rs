// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in the emits of `bulk_fill`.

use kop_ops::Site;
use kop_ops::aarch64::{Gpr as X, Insn as A, Mem as ArmMem, Width as W};
use kop_ops::x86_64::{Insn as I, Mem, Rm, Size};
use kop_reports::Kind;

use super::code::{arm, each};
use super::{At, Planted, aarch64, x86_64};

const ZERO: At = ("bulk_fill", "zero");
const BYTE: At = ("bulk_fill", "byte");

fn fill_end(site: &Site) -> i32 {
    8 * site.imm("slot") as i32 + site.imm("length") as i32
}

pub(super) fn faults() -> Vec<Planted> {
    vec![
        x86_64(
            ZERO,
            "bulk-fill-rounds-up",
            Kind::Memory,
            "what is left behind whole eights is stored as eight more",
            |site, code| {
                let (end, length) = (fill_end(site), site.imm("length") as i32);
                if length > 8 && length % 8 != 0 {
                    each(code, |insn| {
                        if let I::Mov { dst: Rm::Mem(Mem { disp, .. }), .. } = insn
                            && *disp == end - 8
                        {
                            *disp += 8 - length % 8;
                        }
                    });
                }
            },
        ),
        x86_64(
            BYTE,
            "bulk-fill-does-not-cut-the-byte",
            Kind::Memory,
            "src is multiplied as it is: right where it is a byte",
            |site, code| {
                let src = site.gpr("src");
                each(code, |insn| {
                    if let I::Movzx { dst, .. } = *insn {
                        *insn = I::Mov { size: Size::B8, dst: dst.into(), src: src.into() };
                    }
                });
            },
        ),
        aarch64(
            BYTE,
            "bulk-fill-in-place",
            Kind::Register,
            "the byte is repeated in src itself",
            |site, code| {
                let src = site.x("src");
                *code = arm(|a| {
                    a.and_imm(W::X, src, src, 0xff);
                    a.mov(W::X, X::X9, src);
                })
                .into_iter()
                .chain(code.drain(1..))
                .collect();
            },
        ),
        aarch64(
            ZERO,
            "bulk-fill-pair-at-unscaled-end",
            Kind::Memory,
            "the last bytes are part of a pair that is cut to a multiple of eight",
            |site, code| {
                let end = fill_end(site);
                each(code, |insn| {
                    if let A::Store { mem: ArmMem::Offset { offset, .. }, .. } = insn
                        && *offset == end - 8
                    {
                        *offset &= !7;
                    }
                });
            },
        ),
    ]
}
