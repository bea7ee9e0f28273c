// SPDX-License-Identifier: GPL-2.0-or-later
//! Data processing on general registers (Arm ARM, C4.1.92 and C4.1.95).

use disarm64_defn::InsnClass as Class;
use kop_ops::aarch64::{
    AddSub, BitfieldOp, CarryOp, CondCompareOp, CondOperand, CondSelectOp, Extend, Gpr, Insn, Logical,
    LogicalImm, MoveWide, MulAddLongOp, MulAddOp, OneSourceOp, Shift, Size, TwoSourceOp, Width,
};

use super::{Word, named};

pub(super) fn insn(word: Word, class: Class, name: &str) -> Option<Insn> {
    let (width, rd, rn, rm) = (word.width(), word.rd(), word.rn(), word.rm());
    match class {
        Class::ADDSUB_IMM | Class::ADDSUB_SHIFT | Class::ADDSUB_EXT => add_sub(word, class, name),
        Class::ADDSUB_CARRY => {
            let op = named(CarryOp::ALL, CarryOp::mnemonic, name)?;
            Some(Insn::AddSubCarry { op, width, rd, rn, rm })
        }
        Class::LOG_IMM => {
            let op = named(LogicalImm::ALL, LogicalImm::mnemonic, name)?;
            Some(Insn::LogicalImm {
                op,
                width,
                rd: destination(word, op == LogicalImm::Ands),
                rn,
                imm: bitmask(word)?,
            })
        }
        Class::LOG_SHIFT => {
            let op = named(Logical::ALL, Logical::mnemonic, name)?;
            let (shift, amount) = (shift(word), word.byte(10, 6));
            fits(width, amount).then_some(Insn::LogicalShifted { op, width, rd, rn, rm, shift, amount })
        }
        Class::MOVEWIDE => {
            let op = named(MoveWide::ALL, MoveWide::mnemonic, name)?;
            let (imm, shift) = (word.field(5, 16) as u16, 16 * word.byte(21, 2));
            fits(width, shift).then_some(Insn::MoveWide { op, width, rd, imm, shift })
        }
        Class::BITFIELD => {
            let op = named(BitfieldOp::ALL, BitfieldOp::mnemonic, name)?;
            let (immr, imms) = (word.byte(16, 6), word.byte(10, 6));
            let defined = word.bit(22) == word.bit(31) && fits(width, immr) && fits(width, imms);
            defined.then_some(Insn::Bitfield { op, width, rd, rn, immr, imms })
        }
        Class::EXTRACT => {
            let lsb = word.byte(10, 6);
            let defined = word.bit(22) == word.bit(31) && fits(width, lsb);
            defined.then_some(Insn::Extract { width, rd, rn, rm, lsb })
        }
        Class::DP_1SRC => {
            let op = named(OneSourceOp::ALL, OneSourceOp::mnemonic, name)?;
            Some(Insn::OneSource { op, width, rd, rn })
        }
        Class::DP_2SRC => two_source(word, name),
        Class::DP_3SRC => three_source(word, name),
        Class::CONDSEL => {
            let op = named(CondSelectOp::ALL, CondSelectOp::mnemonic, name)?;
            Some(Insn::CondSelect { op, width, rd, rn, rm, cond: word.cond(12) })
        }
        Class::CONDCMP_REG => cond_compare(word, name, CondOperand::Reg(rm)),
        Class::CONDCMP_IMM => cond_compare(word, name, CondOperand::Imm(word.byte(16, 5))),
        Class::PCRELADDR => address(word, name),
        _ => None,
    }
}

/// Whether an amount, or the number of a bit, is below the width.
fn fits(width: Width, amount: u8) -> bool {
    u32::from(amount) < width.bits()
}

fn shift(word: Word) -> Shift {
    Shift::ALL[word.field(22, 2) as usize]
}

/// `rd`, which can be SP where the flags are not set.
fn destination(word: Word, sets_flags: bool) -> Gpr {
    if sets_flags { word.rd() } else { word.gpr_or_sp(0) }
}

fn add_sub(word: Word, class: Class, name: &str) -> Option<Insn> {
    let op = named(AddSub::ALL, AddSub::mnemonic, name)?;
    let (width, rm) = (word.width(), word.rm());
    let (rd, rn) = (destination(word, matches!(op, AddSub::Adds | AddSub::Subs)), word.gpr_or_sp(5));
    match class {
        Class::ADDSUB_IMM => {
            let imm = word.field(10, 12) << (12 * word.field(22, 1));
            // Where disarm64 sees a second bit of the shift, other instructions stand.
            (!word.bit(23)).then_some(Insn::AddSubImm { op, width, rd, rn, imm })
        }
        Class::ADDSUB_EXT => {
            let (extend, amount) = (Extend::ALL[word.field(13, 3) as usize], word.byte(10, 3));
            (amount <= 4).then_some(Insn::AddSubExtended { op, width, rd, rn, rm, extend, amount })
        }
        _ => {
            let (rd, rn, shift, amount) = (word.rd(), word.rn(), shift(word), word.byte(10, 6));
            let defined = shift != Shift::Ror && fits(width, amount);
            defined.then_some(Insn::AddSubShifted { op, width, rd, rn, rm, shift, amount })
        }
    }
}

/// A bitmask immediate: in every element, a run of ones rotated to the right (Arm ARM, `DecodeBitMasks`).
fn bitmask(word: Word) -> Option<u64> {
    let (n, immr, imms) = (word.field(22, 1), word.field(16, 6), word.field(10, 6));
    let log2 = (n << 6 | !imms & 0x3f).checked_ilog2().filter(|log2| *log2 > 0)?;
    let size = 1 << log2;
    let (ones, rotation) = ((imms & (size - 1)) + 1, immr & (size - 1));
    if ones == size || size > word.width().bits() {
        return None;
    }
    let run = (1u64 << ones) - 1;
    let element = if rotation == 0 { run } else { run >> rotation | run << (size - rotation) };
    let element = element & (u64::MAX >> (64 - size));
    let all = (0..64).step_by(size as usize).fold(0, |all, low| all | element << low);
    Some(all & word.width().mask())
}

fn two_source(word: Word, name: &str) -> Option<Insn> {
    let (width, rd, rn, rm) = (word.width(), word.rd(), word.rn(), word.rm());
    if name.starts_with("crc32") {
        let size = Size::ALL[word.field(10, 2) as usize];
        return Some(Insn::Crc32 { castagnoli: word.bit(12), size, rd, rn, rm });
    }
    let op = named(TwoSourceOp::ALL, TwoSourceOp::mnemonic, name)?;
    Some(Insn::TwoSource { op, width, rd, rn, rm })
}

fn three_source(word: Word, name: &str) -> Option<Insn> {
    let (width, rd, rn, rm, ra) = (word.width(), word.rd(), word.rn(), word.rm(), word.gpr(10));
    if let Some(op) = named(MulAddOp::ALL, MulAddOp::mnemonic, name) {
        return Some(Insn::MulAdd { op, width, rd, rn, rm, ra });
    }
    if let Some(op) = named(MulAddLongOp::ALL, MulAddLongOp::mnemonic, name) {
        return Some(Insn::MulAddLong { op, rd, rn, rm, ra });
    }
    // The field of `ra` should be ones, and what else does is not defined.
    let high = matches!(name, "smulh" | "umulh") && ra == Gpr::Xzr;
    high.then_some(Insn::MulHigh { signed: name == "smulh", rd, rn, rm })
}

fn cond_compare(word: Word, name: &str, operand: CondOperand) -> Option<Insn> {
    let op = named(CondCompareOp::ALL, CondCompareOp::mnemonic, name)?;
    let (width, rn, nzcv, cond) = (word.width(), word.rn(), word.byte(0, 4), word.cond(12));
    Some(Insn::CondCompare { op, width, rn, operand, nzcv, cond })
}

fn address(word: Word, name: &str) -> Option<Insn> {
    let (rd, distance) = (word.rd(), word.signed(5, 19) << 2 | word.field(29, 2) as i32);
    match name {
        "adr" => Some(Insn::Adr { rd, offset: distance }),
        "adrp" => Some(Insn::Adrp { rd, offset: i64::from(distance) << 12 }),
        _ => None,
    }
}
