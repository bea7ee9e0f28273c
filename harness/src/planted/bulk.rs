// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in `bulk_copy` and `bulk_fill`.

use kop_ops::Site;
use kop_ops::aarch64::{AddSub, Gpr as X, Insn as A, Mem as ArmMem, Width as W};
use kop_ops::x86_64::{AluOp, Gpr, Insn as I, Mem, Nullary, Operand, Rm, Size};
use kop_reports::{Blame, Kind};

use super::code::{arm, each, x86};
use super::faulty::Mistake;
use super::{At, Planted, aarch64, planted, x86_64};

const SHORT: At = ("bulk_copy", "short");
const LONG: At = ("bulk_copy", "long");
const WITHIN: At = ("bulk_copy", "within");
const ZERO: At = ("bulk_fill", "zero");
const BYTE: At = ("bulk_fill", "byte");

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = copies_x86_64();
    faults.extend(copies_aarch64());
    faults.extend(fills());
    faults
}

/// Changes the number that the distance is compared with.
fn compare_with(code: &mut [I], change: fn(i32) -> i32) {
    each(code, |insn| {
        if let I::Alu { op: AluOp::Cmp, src: Operand::Imm(imm), .. } = insn {
            *imm = change(*imm);
        }
    });
}

fn copies_x86_64() -> Vec<Planted> {
    vec![
        x86_64(
            SHORT,
            "bulk-copy-overlap-off-by-one",
            Kind::Memory,
            "the largest distance at which the ranges overlap is taken for one at which they do not",
            |_, code| compare_with(code, |number| number - 1),
        ),
        x86_64(
            LONG,
            "bulk-copy-by-eight",
            Kind::Memory,
            "REP MOVSQ where the ranges overlap: eight bytes at once are too many for a distance of less",
            |site, code| {
                let words = site.imm("words") as i32;
                let Some(at) = code.iter().position(|insn| matches!(insn, I::String { .. })) else { return };
                if let I::String { size, .. } = &mut code[at] {
                    *size = Size::B8;
                }
                code[at - 1] = I::Mov { size: Size::B4, dst: Gpr::Rcx.into(), src: words.into() };
                // MOVSQ has a prefix more.
                each(code, |insn| {
                    if let I::JmpRel { disp, .. } = insn {
                        *disp += 1;
                    }
                });
            },
        ),
        x86_64(
            LONG,
            "bulk-copy-keeps-no-rcx",
            Kind::Register,
            "RCX is r4, and holds zero after REP MOVSB",
            |_, code| {
                each(code, |insn| {
                    let is_taken = match insn {
                        I::Push { src } => *src == Operand::Reg(Gpr::Rcx),
                        I::Pop { dst } => *dst == Rm::Reg(Gpr::Rcx),
                        _ => false,
                    };
                    if is_taken {
                        *insn = I::Nullary(Nullary::Nop);
                    }
                });
            },
        ),
        x86_64(
            WITHIN,
            "bulk-copy-within-is-always-wide",
            Kind::Memory,
            "two loads and two stores whatever the distance: right unless the copy runs into itself",
            |site, code| {
                let length = site.imm("length") as i32;
                let (to, from) = (2 * site.imm("to") as i32, 2 * site.imm("from") as i32);
                let base = site.gpr("base");
                if length > 4 && (1..length).contains(&(to - from)) {
                    *code = x86(|a| {
                        a.mov(Size::B4, Gpr::R10, Mem::at(base, from));
                        a.mov(Size::B4, Gpr::R11, Mem::at(base, from + length - 4));
                        a.mov(Size::B4, Mem::at(base, to), Gpr::R10);
                        a.mov(Size::B4, Mem::at(base, to + length - 4), Gpr::R11);
                    });
                }
            },
        ),
    ]
}

fn copies_aarch64() -> Vec<Planted> {
    vec![
        aarch64(
            SHORT,
            "bulk-copy-forgets-the-slots",
            Kind::Memory,
            "the distance of the registers is compared, not that of the addresses",
            |_, code| {
                each(code, |insn| {
                    if let A::AddSubImm { op, rd: X::X9, imm, .. } = insn {
                        (*op, *imm) = (AddSub::Sub, 1);
                    }
                });
            },
        ),
        aarch64(
            SHORT,
            "bulk-copy-store-before-load",
            Kind::Memory,
            "the last bytes are loaded after the first are stored: wrong where the destination is a little below",
            |_, code| {
                let last = |insn: &A| matches!(insn, A::Load { rt: X::X10, .. });
                if let Some(at) = code.iter().position(last)
                    && matches!(code.get(at + 1), Some(A::Store { rt: X::X9, .. }))
                {
                    code.swap(at, at + 1);
                }
            },
        ),
        aarch64(
            LONG,
            "bulk-copy-loop-is-a-byte-short",
            Kind::Memory,
            "the loop ends before the last byte",
            |site, code| {
                let length = 8 * site.imm("words") as u32;
                each(code, |insn| {
                    if let A::AddSubImm { imm, .. } = insn
                        && *imm == length
                    {
                        *imm -= 1;
                    }
                });
            },
        ),
        planted(
            WITHIN,
            kop_ops::Arch::Aarch64,
            "bulk-copy-proof-goes-down",
            (Kind::Memory, Blame::Proof),
            "the proof copies from the highest byte down",
            Mistake::Proof(|_, proof| {
                let pairs: Vec<_> = proof.chunks(2).map(<[_]>::to_vec).rev().collect();
                *proof = pairs.concat();
            }),
        ),
    ]
}

fn fill_end(site: &Site) -> i32 {
    8 * site.imm("slot") as i32 + site.imm("length") as i32
}

fn fills() -> Vec<Planted> {
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
