// SPDX-License-Identifier: GPL-2.0-or-later
//! Computations with SIMD registers (Arm ARM, C4.1.96).

use disarm64_defn::InsnClass as Class;
use kop_ops::aarch64::{Arrangement, BitPermuteOp, FmovLane, Insn, PmullForm, Scalar, VLogical, Width};

use super::{Word, named};
use crate::aarch64::Operation;
use crate::aarch64::vector::{
    AcrossOp, BinaryOp, ImmediateOp, LongOp, PairwiseOp, PermuteOp, ShiftOp, UnaryOp, Vector,
};

pub(super) fn operation(word: Word, class: Class, name: &str) -> Option<Operation> {
    let known = match class {
        Class::FLOAT2INT if name == "fmov" => fmov(word),
        Class::ASIMDALL => sum(word, name),
        Class::ASIMDDIFF => pmull(word, name),
        Class::ASIMDEXT => ext(word),
        Class::ASIMDINS => lane(word, name),
        Class::ASIMDMISC if name == "cnt" => {
            let arrangement = plain(word)?;
            Some(Insn::Cnt { arrangement, vd: word.v(0), vn: word.v(5) })
        }
        Class::ASIMDSAME => logical(word, name),
        Class::SVE_SIZE_BHSD => bit_permute(word, name),
        _ => None,
    };
    if let Some(insn) = known {
        return Some(Operation::Insn(insn));
    }
    // What disarm64 leaves open: that a scalar of these is a doubleword.
    if matches!(class, Class::ASISDMISC | Class::ASISDPAIR) && word.field(22, 2) != 3 {
        return None;
    }
    let vector = match class {
        Class::FLOATDP1 if name == "fmov" => scalar_move(word),
        Class::ASIMDALL => across(word, name),
        Class::ASIMDDIFF => long(word, name),
        Class::ASIMDIMM => return immediate(word, name),
        Class::ASIMDINS if name == "smov" => smov(word),
        Class::ASISDONE => {
            let (lane, index) = element(word)?;
            Some(Vector::DupScalar { lane, vd: word.v(0), vn: word.v(5), index })
        }
        Class::ASIMDMISC => one_register(word, name),
        Class::ASISDMISC => unary(word, name, Arrangement::D1),
        Class::ASIMDSAME => two_registers(word, name),
        Class::ASISDSAME => binary(word, name, Arrangement::D1),
        Class::ASISDPAIR if name == "addp" => {
            let (op, arrangement) = (AcrossOp::Addp, Arrangement::D2);
            Some(Vector::Across { op, arrangement, vd: word.v(0), vn: word.v(5) })
        }
        Class::ASIMDSHF => shift(word, name),
        Class::ASISDSHF => scalar_shift(word, name),
        Class::ASIMDPERM => permute(word, name),
        Class::ASIMDTBL => table(word, name),
        _ => None,
    };
    vector.map(Operation::Vector)
}

/// BEXT, BDEP.
fn bit_permute(word: Word, name: &str) -> Option<Insn> {
    let op = named(BitPermuteOp::ALL, BitPermuteOp::mnemonic, name)?;
    let lane = Scalar::LANES[word.field(22, 2) as usize];
    Some(Insn::BitPermute { op, lane, zd: word.v(0), zn: word.v(5), zm: word.v(16) })
}

/// The arrangement by `size` and `Q`, 1D among them.
fn arrangement(word: Word) -> Arrangement {
    Arrangement::ALL[(word.field(22, 2) << 1 | word.field(30, 1)) as usize]
}

/// The arrangement of an instruction that has no single doubleword.
fn lanes(word: Word) -> Option<Arrangement> {
    Some(arrangement(word)).filter(|arrangement| *arrangement != Arrangement::D1)
}

/// The arrangement of an instruction that has no doublewords.
fn narrow(word: Word) -> Option<Arrangement> {
    Some(arrangement(word)).filter(|arrangement| arrangement.lane() < Scalar::D)
}

/// The arrangement of an instruction that has bytes alone.
fn plain(word: Word) -> Option<Arrangement> {
    Some(arrangement(word)).filter(|arrangement| arrangement.lane() == Scalar::B)
}

/// The arrangement of an instruction across lanes, of which there are at least four.
fn reduced(word: Word) -> Option<Arrangement> {
    narrow(word).filter(|arrangement| *arrangement != Arrangement::S2)
}

/// The size of a lane and its number by `imm5`: the lowest one is above the number.
fn element(word: Word) -> Option<(Scalar, u8)> {
    let imm5 = word.byte(16, 5);
    let log2 = imm5.trailing_zeros();
    let lane = *Scalar::LANES.get(log2 as usize)?;
    Some((lane, imm5 >> (log2 + 1)))
}

/// FMOV between registers: `sf:type:rmode`, of which disarm64 has checked the rest.
fn fmov(word: Word) -> Option<Insn> {
    let lane = match (word.field(31, 1), word.field(22, 2), word.field(19, 2)) {
        (0, 0, 0) => FmovLane::S,
        (1, 1, 0) => FmovLane::D,
        (1, 2, 1) => FmovLane::UpperD,
        _ => return None,
    };
    match word.field(16, 3) {
        6 => Some(Insn::FmovToGpr { lane, rd: word.rd(), vn: word.v(5) }),
        7 => Some(Insn::FmovFromGpr { lane, vd: word.v(0), rn: word.rn() }),
        _ => None,
    }
}

/// FMOV between scalars; not of halfwords, which FEAT_FP16 has.
fn scalar_move(word: Word) -> Option<Vector> {
    let size = *[Scalar::S, Scalar::D].get(word.field(22, 2) as usize)?;
    Some(Vector::FmovScalar { size, vd: word.v(0), vn: word.v(5) })
}

/// DUP, INS, UMOV.
fn lane(word: Word, name: &str) -> Option<Insn> {
    let (vd, vn, rn) = (word.v(0), word.v(5), word.rn());
    let (lane, index) = element(word)?;
    let arrangement = Arrangement::ALL[(2 * lane.log2() + word.field(30, 1)) as usize];
    match (name, word.field(11, 4)) {
        ("dup", _) if arrangement == Arrangement::D1 => None,
        ("dup", 0b0000) => Some(Insn::DupLane { arrangement, vd, vn, index }),
        ("dup", 0b0001) => Some(Insn::DupGpr { arrangement, vd, rn }),
        ("ins", 0b0011) if !word.bit(29) => Some(Insn::InsGpr { lane, vd, index, rn }),
        // The bits of the number below the size of the lane are ignored.
        ("ins", from) if word.bit(29) => {
            Some(Insn::InsLane { lane, vd, index, vn, from: from as u8 >> lane.log2() })
        }
        // A doubleword goes to X, all others to W.
        ("umov", _) if word.bit(30) == (lane == Scalar::D) => {
            Some(Insn::Umov { lane, rd: word.rd(), vn, index })
        }
        _ => None,
    }
}

fn smov(word: Word) -> Option<Vector> {
    let (lane, index) = element(word)?;
    let width = Width::ALL[word.field(30, 1) as usize];
    let narrower = 8 * lane.bytes() < width.bits();
    narrower.then_some(Vector::Smov { width, lane, rd: word.rd(), vn: word.v(5), index })
}

/// ADDV, UADDLV.
fn sum(word: Word, name: &str) -> Option<Insn> {
    let (arrangement, vd, vn) = (reduced(word)?, word.v(0), word.v(5));
    match name {
        "addv" => Some(Insn::Addv { arrangement, vd, vn }),
        "uaddlv" => Some(Insn::Uaddlv { arrangement, vd, vn }),
        _ => None,
    }
}

fn across(word: Word, name: &str) -> Option<Vector> {
    let op = named(AcrossOp::ALL, AcrossOp::mnemonic, name)?;
    Some(Vector::Across { op, arrangement: reduced(word)?, vd: word.v(0), vn: word.v(5) })
}

/// PMULL, PMULL2.
fn pmull(word: Word, name: &str) -> Option<Insn> {
    if !matches!(name, "pmull" | "pmull2") {
        return None;
    }
    let form = match word.field(22, 2) {
        0 => PmullForm::Bytes,
        3 => PmullForm::Doubleword,
        _ => return None,
    };
    Some(Insn::Pmull { form, upper: word.bit(30), vd: word.v(0), vn: word.v(5), vm: word.v(16) })
}

/// SADDL to UMLSL, and their like of the upper half, which end in 2.
fn long(word: Word, name: &str) -> Option<Vector> {
    let (signed, name) = match name.split_at_checked(1)? {
        ("s", name) => (true, name),
        ("u", name) => (false, name),
        _ => return None,
    };
    let op = named(LongOp::ALL, LongOp::mnemonic, name.trim_end_matches('2'))?;
    let (lane, upper) = (narrow(word)?.lane(), word.bit(30));
    Some(Vector::Long { op, signed, lane, upper, vd: word.v(0), vn: word.v(5), vm: word.v(16) })
}

fn ext(word: Word) -> Option<Insn> {
    let (arrangement, index) = (plain(word)?, word.byte(11, 4));
    let defined = arrangement == Arrangement::B16 || index < 8;
    defined.then_some(Insn::Ext { arrangement, vd: word.v(0), vn: word.v(5), vm: word.v(16), index })
}

/// AND to BIF, whose `size` is part of the operation.
fn logical(word: Word, name: &str) -> Option<Insn> {
    let op = named(VLogical::ALL, VLogical::mnemonic, name)?;
    let arrangement = [Arrangement::B8, Arrangement::B16][word.field(30, 1) as usize];
    Some(Insn::VLogical { op, arrangement, vd: word.v(0), vn: word.v(5), vm: word.v(16) })
}

/// MOVI, MVNI, ORR, BIC of an immediate (Arm ARM, `AdvSIMDExpandImm`); FMOV has other immediates.
fn immediate(word: Word, name: &str) -> Option<Operation> {
    let op = named(ImmediateOp::ALL, ImmediateOp::mnemonic, name)?;
    let (all, vd) = (word.bit(30), word.v(0));
    let bits = u64::from(word.field(16, 3) << 5 | word.field(5, 5));
    let cmode = word.field(12, 4);
    let repeated = |element: u64, size: usize| (0..64).step_by(size).fold(0, |all, low| all | element << low);
    let imm = match cmode {
        0b0000..=0b0111 => repeated(bits << (8 * (cmode >> 1)), 32),
        0b1000..=0b1011 => repeated(bits << (8 * (cmode >> 1 & 1)), 16),
        0b1100 => repeated(bits << 8 | 0xff, 32),
        0b1101 => repeated(bits << 16 | 0xffff, 32),
        0b1110 if word.bit(29) => {
            (0..8).filter(|i| bits >> i & 1 == 1).fold(0, |all, i| all | 0xff << (8 * i))
        }
        0b1110 => repeated(bits, 8),
        _ => return None,
    };
    if op == ImmediateOp::Move && cmode == 0b1110 && word.bit(29) && all {
        return Some(Operation::Insn(Insn::Movi { vd, imm }));
    }
    Some(Operation::Vector(Vector::Immediate { op, all, vd, imm }))
}

/// Operations on one register: on its lanes, on neighbours, or to lanes of another size.
fn one_register(word: Word, name: &str) -> Option<Vector> {
    let (vd, vn) = (word.v(0), word.v(5));
    match name {
        "saddlp" | "uaddlp" | "sadalp" | "uadalp" => {
            let (signed, accumulate) = (name.starts_with('s'), name.ends_with("dalp"));
            Some(Vector::PairwiseLong { signed, accumulate, arrangement: narrow(word)?, vd, vn })
        }
        "xtn" | "xtn2" => {
            let (lane, upper) = (narrow(word)?.lane(), word.bit(30));
            Some(Vector::ShiftNarrow { lane, upper, vd, vn, amount: 0 })
        }
        "shll" | "shll2" => {
            let (lane, upper) = (narrow(word)?.lane(), word.bit(30));
            Some(Vector::ShiftLong { signed: false, lane, upper, vd, vn, amount: 8 * lane.bytes() as u8 })
        }
        // Their `size` is part of the operation.
        "not" | "rbit" => unary(word, name, [Arrangement::B8, Arrangement::B16][word.field(30, 1) as usize]),
        "clz" | "cls" | "rev64" => unary(word, name, narrow(word)?),
        "rev32" => unary(word, name, narrow(word)?).filter(|_| word.field(22, 2) < 2),
        "rev16" => unary(word, name, plain(word)?),
        _ => unary(word, name, lanes(word)?),
    }
}

fn unary(word: Word, name: &str, arrangement: Arrangement) -> Option<Vector> {
    let op = named(UnaryOp::ALL, UnaryOp::mnemonic, name)?;
    Some(Vector::Unary { op, arrangement, vd: word.v(0), vn: word.v(5) })
}

/// Operations on two registers of the same size, lane by lane or on neighbours.
fn two_registers(word: Word, name: &str) -> Option<Vector> {
    if let Some(op) = named(PairwiseOp::ALL, PairwiseOp::mnemonic, name) {
        let arrangement = if op == PairwiseOp::Addp { lanes(word)? } else { narrow(word)? };
        let (vd, vn, vm) = (word.v(0), word.v(5), word.v(16));
        return Some(Vector::Pairwise { op, arrangement, vd, vn, vm });
    }
    let arrangement = match name {
        "pmul" => plain(word)?,
        "mul" | "mla" | "mls" | "smax" | "smin" | "umax" | "umin" => narrow(word)?,
        _ => lanes(word)?,
    };
    binary(word, name, arrangement)
}

fn binary(word: Word, name: &str, arrangement: Arrangement) -> Option<Vector> {
    let op = named(BinaryOp::ALL, BinaryOp::mnemonic, name)?;
    Some(Vector::Binary { op, arrangement, vd: word.v(0), vn: word.v(5), vm: word.v(16) })
}

/// Shifts by a constant: `immh:immb` is the size of a lane plus an amount to the left, or twice the size less one to the
/// right.
fn shift(word: Word, name: &str) -> Option<Vector> {
    let (vd, vn, upper) = (word.v(0), word.v(5), word.bit(30));
    let imm = word.byte(16, 7);
    let log2 = (imm >> 3).checked_ilog2()?;
    let lane = Scalar::LANES[log2 as usize];
    let bits = 8 * lane.bytes() as u8;
    let (left, right) = (imm - bits, 2 * bits - imm);
    match name {
        "sshll" | "sshll2" | "ushll" | "ushll2" if lane < Scalar::D => {
            Some(Vector::ShiftLong { signed: name.starts_with('s'), lane, upper, vd, vn, amount: left })
        }
        "shrn" | "shrn2" if lane < Scalar::D => {
            Some(Vector::ShiftNarrow { lane, upper, vd, vn, amount: right })
        }
        _ => {
            let arrangement = Arrangement::ALL[(2 * log2 + word.field(30, 1)) as usize];
            let op = named(ShiftOp::ALL, ShiftOp::mnemonic, name)?;
            let amount = if matches!(op, ShiftOp::Shl | ShiftOp::Sli) { left } else { right };
            (arrangement != Arrangement::D1).then_some(Vector::Shift { op, arrangement, vd, vn, amount })
        }
    }
}

/// The same of a doubleword alone.
fn scalar_shift(word: Word, name: &str) -> Option<Vector> {
    let op = named(ShiftOp::ALL, ShiftOp::mnemonic, name)?;
    let imm = word.byte(16, 7);
    let amount = if matches!(op, ShiftOp::Shl | ShiftOp::Sli) { imm.checked_sub(64)? } else { 128 - imm };
    let (arrangement, vd, vn) = (Arrangement::D1, word.v(0), word.v(5));
    (imm >= 64).then_some(Vector::Shift { op, arrangement, vd, vn, amount })
}

fn permute(word: Word, name: &str) -> Option<Vector> {
    let op = named(PermuteOp::ALL, PermuteOp::mnemonic, name)?;
    Some(Vector::Permute { op, arrangement: lanes(word)?, vd: word.v(0), vn: word.v(5), vm: word.v(16) })
}

fn table(word: Word, name: &str) -> Option<Vector> {
    let (keep, registers, arrangement) = (name == "tbx", word.byte(13, 2) + 1, plain(word)?);
    Some(Vector::Table { keep, registers, arrangement, vd: word.v(0), vn: word.v(5), vm: word.v(16) })
}
