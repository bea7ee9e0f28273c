// SPDX-License-Identifier: GPL-2.0-or-later
//! Branches, exceptions and system instructions (Arm ARM, C4.1.93).

use disarm64_defn::InsnClass as Class;
use kop_ops::aarch64::{Insn, SysReg};

use super::Word;
use crate::aarch64::{Operation, Other};

/// NZCV as MRS and MSR name it, op0:op1:CRn:CRm:op2 (Arm ARM, C5.2.10).
const NZCV: u32 = 3 << 14 | 3 << 11 | 4 << 7 | 2 << 3;

pub(super) fn operation(word: Word, class: Class, name: &str) -> Option<Operation> {
    match class {
        Class::IC_SYSTEM => system(word, name),
        _ => insn(word, name).map(Operation::Insn),
    }
}

fn insn(word: Word, name: &str) -> Option<Insn> {
    let (rt, rn, near, imm) = (word.gpr(0), word.rn(), 4 * word.signed(5, 19), word.field(5, 16) as u16);
    Some(match name {
        "b" => Insn::B { offset: 4 * word.signed(0, 26) },
        "bl" => Insn::Bl { offset: 4 * word.signed(0, 26) },
        "b.c" => Insn::BCond { cond: word.cond(0), offset: near },
        "cbz" | "cbnz" => {
            Insn::CompareBranch { nonzero: name == "cbnz", width: word.width(), rt, offset: near }
        }
        "tbz" | "tbnz" => {
            let bit = word.byte(31, 1) << 5 | word.byte(19, 5);
            Insn::TestBranch { nonzero: name == "tbnz", rt, bit, offset: 4 * word.signed(5, 14) }
        }
        "br" => Insn::Br { rn },
        "blr" => Insn::Blr { rn },
        "ret" => Insn::Ret { rn },
        "brk" => Insn::Brk { imm },
        "udf" => Insn::Udf { imm: word.field(0, 16) as u16 },
        // Calls of the system, returns from exceptions, pointer authentication.
        _ => return None,
    })
}

fn system(word: Word, name: &str) -> Option<Operation> {
    let rt = word.gpr(0);
    let names_flags = word.field(5, 16) == NZCV;
    Some(match name {
        "hint" if is_nothing(word.field(5, 7)) => Operation::Nothing,
        "dmb" | "dsb" | "isb" | "sb" => Operation::Nothing,
        "mrs" if names_flags => Operation::Insn(Insn::Mrs { rt, register: SysReg::Nzcv }),
        "msr" if names_flags => Operation::Insn(Insn::Msr { register: SysReg::Nzcv, rt }),
        "clrex" => Operation::Other(Other::ClearExclusive),
        "cfinv" => Operation::Other(Other::InvertCarry),
        "rmif" => {
            let (rn, amount, mask) = (word.rn(), word.byte(15, 6), word.byte(0, 4));
            Operation::Other(Other::RotateIntoFlags { rn, amount, mask })
        }
        "setf8" => Operation::Other(Other::SetFlags { bits: 8, rn: word.rn() }),
        "setf16" => Operation::Other(Other::SetFlags { bits: 16, rn: word.rn() }),
        _ => return None,
    })
}

/// Whether the hint CRm:op2 does nothing that its processor can tell: NOP, YIELD, WFE, WFI, SEV, SEVL, DGH, ESB, PSB, TSB,
/// CSDB, CLRBHB and BTI. Others authenticate pointers, or are not allocated.
fn is_nothing(hint: u32) -> bool {
    matches!(hint, 0..=6 | 16..=18 | 20 | 22 | 32 | 34 | 36 | 38)
}
