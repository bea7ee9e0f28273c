// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in the emits of `compare_chain`.

use kop_ops::aarch64::{Insn as A, Width as W};
use kop_ops::x86_64::{AluOp, Cond, Gpr, Insn as I, Operand, Rm, Size};
use kop_reports::Kind;

use super::code::each;
use super::{At, Planted, aarch64, x86_64};

const BOTH64: At = ("compare_chain", "both64");
const BOTH32: At = ("compare_chain", "both32");

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = x86_64_faults();
    faults.extend(aarch64_faults());
    faults
}

fn x86_64_faults() -> Vec<Planted> {
    vec![
        x86_64(
            BOTH64,
            "compare-chain-setcc-into-dst",
            Kind::Register,
            "the first SETcc writes dst, which may be c or d",
            |site, code| {
                let dst = site.gpr("dst");
                each(code, |insn| match insn {
                    I::Setcc { dst: to, .. } if *to == Rm::Reg(Gpr::R10) => *to = Rm::Reg(dst),
                    I::Alu { op: AluOp::And, dst: to, .. } => *to = Rm::Reg(dst),
                    I::Movzx { src, .. } => *src = Rm::Reg(dst),
                    _ => (),
                });
            },
        ),
        x86_64(
            BOTH64,
            "compare-chain-setcc-writes-a-byte",
            Kind::Register,
            "MOV of four bytes: SETcc has written one of them, above are garbage's",
            |site, code| {
                let dst = site.gpr("dst");
                each(code, |insn| {
                    if matches!(insn, I::Movzx { .. }) {
                        *insn = I::Mov { size: Size::B4, dst: Rm::Reg(dst), src: Operand::Reg(Gpr::R10) };
                    }
                });
            },
        ),
        x86_64(
            BOTH32,
            "compare-chain-second-of-64-bits",
            Kind::Register,
            "the second CMP has REX.W: upper halves decide",
            |_, code| {
                if let Some(I::Alu { op: AluOp::Cmp, size, .. }) = code.get_mut(2) {
                    *size = Size::B8;
                }
            },
        ),
        x86_64(
            BOTH64,
            "compare-chain-either",
            Kind::Register,
            "OR for AND: one relation is enough",
            |_, code| {
                each(code, |insn| {
                    if let I::Alu { op: op @ AluOp::And, .. } = insn {
                        *op = AluOp::Or;
                    }
                });
            },
        ),
        x86_64(
            BOTH32,
            "compare-chain-sign-for-less",
            Kind::Register,
            "SETS for SETL: wrong where the difference overflows",
            |_, code| {
                each(code, |insn| {
                    if let I::Setcc { cond: cond @ Cond::L, .. } = insn {
                        *cond = Cond::S;
                    }
                });
            },
        ),
    ]
}

fn aarch64_faults() -> Vec<Planted> {
    vec![
        aarch64(
            BOTH64,
            "compare-chain-flags-of-none",
            Kind::Register,
            "CCMP's flags are zero whatever follows: with those, numbers are not equal, and one is less",
            |_, code| {
                each(code, |insn| {
                    if let A::CondCompare { nzcv, .. } = insn {
                        *nzcv = 0;
                    }
                });
            },
        ),
        aarch64(
            BOTH64,
            "compare-chain-condition-of-the-second",
            Kind::Register,
            "CCMP goes by the second relation's condition, which is about the first comparison there",
            |site, code| {
                let conds = [
                    kop_ops::aarch64::Cond::Eq,
                    kop_ops::aarch64::Cond::Ne,
                    kop_ops::aarch64::Cond::Lo,
                    kop_ops::aarch64::Cond::Lt,
                ];
                let second = conds[site.imm("second") as usize];
                each(code, |insn| {
                    if let A::CondCompare { cond, .. } = insn {
                        *cond = second;
                    }
                });
            },
        ),
        aarch64(
            BOTH32,
            "compare-chain-ccmp-of-x-registers",
            Kind::Register,
            "CCMP of 64 bits in the 32-bit form",
            |_, code| {
                each(code, |insn| {
                    if let A::CondCompare { width, .. } = insn {
                        *width = W::X;
                    }
                });
            },
        ),
    ]
}
