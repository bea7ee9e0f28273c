// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults in the emits of `table_lookup`.

use kop_ops::Feature;
use kop_ops::aarch64::{Insn as A, Width as W};
use kop_ops::x86_64::{AluOp, Cond, Gpr, Insn as I, Operand, Rm, Size};
use kop_reports::Kind;

use super::code::each;
use super::{At, Planted, aarch64, x86_64};

const NIBBLE64: At = ("table_lookup", "nibble64");
const NIBBLE32: At = ("table_lookup", "nibble32");

pub(super) fn faults() -> Vec<Planted> {
    let mut faults = x86_64_faults();
    faults.extend(aarch64_faults());
    faults
}

fn x86_64_faults() -> Vec<Planted> {
    vec![
        x86_64(
            NIBBLE64,
            "table-lookup-without-a-bound",
            Kind::Register,
            "the shift counts modulo 64: from 16 on, entries again, and no default",
            |_, code| code.retain(|insn| !matches!(insn, I::Cmov { .. })),
        ),
        x86_64(
            NIBBLE64,
            "table-lookup-signed-bound",
            Kind::Register,
            "CMOVGE for CMOVAE: negative numbers are an index",
            |_, code| {
                each(code, |insn| {
                    if let I::Cmov { cond, .. } = insn {
                        *cond = Cond::Ge;
                    }
                });
            },
        ),
        x86_64(
            NIBBLE64,
            "table-lookup-bound-of-32-bits",
            Kind::Register,
            "CMP lacks REX.W: the upper half of the index does not count",
            |_, code| {
                each(code, |insn| {
                    if let I::Alu { op: AluOp::Cmp, size, .. } = insn {
                        *size = Size::B4;
                    }
                });
            },
        ),
        x86_64(
            NIBBLE32,
            "table-lookup-last-entry-is-the-default",
            Kind::Register,
            "CMOVA with one less: the last entry is never chosen",
            |_, code| {
                each(code, |insn| {
                    if let I::Alu { op: AluOp::Cmp, src: Operand::Imm(imm), .. } = insn {
                        *imm -= 1;
                    }
                });
            },
        ),
        x86_64(
            NIBBLE32,
            "table-lookup-rcx-is-r4",
            Kind::Register,
            "without BMI2, what was in rcx, which is r4, is not put back",
            |site, code| {
                if !site.features.has(Feature::Bmi2) {
                    let back = I::Mov { size: Size::B8, dst: Rm::Reg(Gpr::Rcx), src: Operand::Reg(Gpr::R10) };
                    code.retain(|insn| *insn != back);
                }
            },
        ),
        x86_64(
            NIBBLE64,
            "table-lookup-table-is-rcx",
            Kind::Register,
            "without BMI2, the amount is moved to cl before the table is read, which may be rcx",
            |site, code| {
                if !site.features.has(Feature::Bmi2) && code.len() > 4 {
                    let table = code.remove(0);
                    code.insert(2, table);
                }
            },
        ),
    ]
}

fn aarch64_faults() -> Vec<Planted> {
    vec![
        aarch64(
            NIBBLE64,
            "table-lookup-compares-a-w-register",
            Kind::Register,
            "the upper half of the index does not count",
            |_, code| {
                each(code, |insn| {
                    if let A::AddSubImm { width, .. } = insn {
                        *width = W::W;
                    }
                });
            },
        ),
        aarch64(
            NIBBLE32,
            "table-lookup-of-eight-entries",
            Kind::Register,
            "LSRV of a W register: the upper eight entries are the lower ones again",
            |_, code| {
                each(code, |insn| {
                    if let A::TwoSource { width, .. } = insn {
                        *width = W::W;
                    }
                });
            },
        ),
        aarch64(
            NIBBLE64,
            "table-lookup-selects-64-bits",
            Kind::Register,
            "no mask: all entries from the chosen one on",
            |_, code| {
                code.retain(|insn| !matches!(insn, A::LogicalImm { .. }));
                each(code, |insn| {
                    if let A::CondSelect { width, .. } = insn {
                        *width = W::X;
                    }
                });
            },
        ),
    ]
}
