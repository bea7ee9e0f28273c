// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in `bulk_copy`.

use kop_ops::Arch;
use kop_ops::aarch64::{AddSub, Gpr as X, Insn as A};
use kop_ops::x86_64::{AluOp, Gpr, Insn as I, Mem, Operand, Size};
use kop_reports::{Blame, Kind};

use super::code::{each, x86};
use super::faulty::Mistake;
use super::{At, Planted, aarch64, planted, x86_64};

const SHORT: At = ("bulk_copy", "short");
const LONG: At = ("bulk_copy", "long");
const WITHIN: At = ("bulk_copy", "within");

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = copies_x86_64();
    faults.extend(copies_aarch64());
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
            "bulk-copy-distance-the-other-way-round",
            Kind::Memory,
            "the destination is subtracted from the source: bytes go one by one where they need not, and not where they must",
            |site, code| {
                let (dst, src) = (site.gpr("dst"), site.gpr("src"));
                if dst != src {
                    let distance = x86(|a| {
                        a.lea(Size::B8, Gpr::R10, Mem::at(src, -1));
                        a.sub(Size::B8, Gpr::R10, dst);
                    });
                    code.splice(0..2, distance);
                }
            },
        ),
        x86_64(
            LONG,
            "bulk-copy-loop-leaves-one",
            Kind::Memory,
            "the loop ends before the last byte",
            |site, code| {
                let length = 8 * site.imm("words") as i32;
                each(code, |insn| {
                    if let I::Alu { op: AluOp::Cmp, src: Operand::Imm(imm), .. } = insn
                        && *imm == length
                        && length < 128
                    {
                        // As long as it was: 127 would have another encoding than 128.
                        *imm = length - 1;
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
            Arch::Aarch64,
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
