// SPDX-License-Identifier: GPL-2.0-or-later
//! Loads, stores and atomic accesses (Arm ARM, C4.1.94).

use disarm64_defn::InsnClass as Class;
use kop_ops::aarch64::{AtomicOp, Extend, Gpr, Insn, Mem, Order, Scalar, Size, Width};

use super::Word;
use crate::aarch64::{Operation, Other};

pub(super) fn operation(word: Word, class: Class, name: &str) -> Option<Operation> {
    if name.starts_with("prf") {
        let defined = class != Class::LDST_REGOFF || is_index(word);
        return defined.then_some(Operation::Nothing);
    }
    match class {
        Class::LDSTPAIR_OFF | Class::LDSTPAIR_INDEXED | Class::LDSTNAPAIR_OFFS => pair(word, name),
        Class::LOADLIT => literal(word, name),
        Class::LDSTEXCL if word.bit(21) && !word.bit(23) => exclusive_pair(word, name).map(Operation::Other),
        Class::LDSTEXCL => exclusive(word, name).map(Operation::Insn),
        Class::LSE_ATOMIC if name.starts_with("casp") => cas_pair(word).map(Operation::Other),
        Class::LSE_ATOMIC => atomic(word, name).map(Operation::Insn),
        _ => single(word, class).map(Operation::Insn),
    }
}

/// The base, SP as number 31.
fn base(word: Word) -> Gpr {
    word.gpr_or_sp(5)
}

/// A load or store of one register.
fn single(word: Word, class: Class) -> Option<Insn> {
    let (size, opc) = (word.size(), word.field(22, 2));
    if word.bit(26) {
        let size = *Scalar::ALL.get((opc >> 1 << 2 | word.field(30, 2)) as usize)?;
        let (vt, mem) = (word.v(0), address(word, class, size.log2())?);
        return Some(if opc & 1 == 1 {
            Insn::VLoad { size, vt, mem }
        } else {
            Insn::VStore { size, vt, mem }
        });
    }
    let (rt, mem) = (word.gpr(0), address(word, class, size.log2())?);
    // What a base becomes that is transferred, too, is not defined.
    if mem.writes_back() && mem.base_register() == rt {
        return None;
    }
    let signed = |width| (size < Size::from(width)).then_some(Insn::LoadSigned { width, size, rt, mem });
    match opc {
        0 => Some(Insn::Store { size, rt, mem }),
        1 => Some(Insn::Load { size, rt, mem }),
        2 => signed(Width::X),
        _ => signed(Width::W),
    }
}

/// The operand of an access of `1 << log2` bytes.
fn address(word: Word, class: Class, log2: u32) -> Option<Mem> {
    let (base, offset) = (base(word), word.signed(12, 9));
    match class {
        Class::LDST_POS => Some(Mem::Offset { base, offset: (word.field(10, 12) << log2) as i32 }),
        Class::LDST_UNSCALED => Some(Mem::Unscaled { base, offset }),
        Class::LDST_IMM9 if word.bit(11) => Some(Mem::PreIndex { base, offset }),
        Class::LDST_IMM9 => Some(Mem::PostIndex { base, offset }),
        Class::LDST_REGOFF => {
            let extend = Extend::ALL[word.field(13, 3) as usize];
            let mem = Mem::Register { base, index: word.rm(), extend, scaled: word.bit(12) };
            is_index(word).then_some(mem)
        }
        _ => None,
    }
}

/// Whether the extension of an index is of a word or a doubleword.
fn is_index(word: Word) -> bool {
    word.bit(14)
}

/// LDP, STP, LDPSW, LDNP, STNP.
fn pair(word: Word, name: &str) -> Option<Operation> {
    let (loads, opc) = (word.bit(22), word.field(30, 2));
    if loads && word.field(0, 5) == word.field(10, 5) {
        return None;
    }
    if word.bit(26) {
        let size = *[Scalar::S, Scalar::D, Scalar::Q].get(opc as usize)?;
        let (vt, vt2, mem) = (word.v(0), word.v(10), pair_address(word, size.log2()));
        return Some(Operation::Insn(if loads {
            Insn::VLoadPair { size, vt, vt2, mem }
        } else {
            Insn::VStorePair { size, vt, vt2, mem }
        }));
    }
    let (rt, rt2) = (word.gpr(0), word.gpr(10));
    let width = if opc == 2 { Width::X } else { Width::W };
    let mem = pair_address(word, Size::from(width).log2());
    if mem.writes_back() && [rt, rt2].contains(&mem.base_register()) {
        return None;
    }
    match name {
        "ldp" | "ldnp" => Some(Operation::Insn(Insn::LoadPair { width, rt, rt2, mem })),
        "stp" | "stnp" => Some(Operation::Insn(Insn::StorePair { width, rt, rt2, mem })),
        "ldpsw" => Some(Operation::Other(Other::LoadPairSigned { rt, rt2, mem })),
        _ => None,
    }
}

/// The operand of a pair of `1 << log2` bytes each, by bits 24 and 23.
fn pair_address(word: Word, log2: u32) -> Mem {
    let (base, offset) = (base(word), word.signed(15, 7) << log2);
    match word.field(23, 2) {
        1 => Mem::PostIndex { base, offset },
        3 => Mem::PreIndex { base, offset },
        _ => Mem::Offset { base, offset },
    }
}

fn literal(word: Word, name: &str) -> Option<Operation> {
    let (rt, offset, opc) = (word.gpr(0), 4 * word.signed(5, 19), word.field(30, 2));
    if word.bit(26) {
        let size = *[Scalar::S, Scalar::D, Scalar::Q].get(opc as usize)?;
        return Some(Operation::Other(Other::VLoadLiteral { size, vt: word.v(0), offset }));
    }
    match (name, opc) {
        ("ldr", 0 | 1) => {
            let width = Width::ALL[opc as usize];
            Some(Operation::Insn(Insn::LoadLiteral { width, rt, offset }))
        }
        ("ldrsw", _) => Some(Operation::Insn(Insn::LoadSignedLiteral { rt, offset })),
        _ => None,
    }
}

/// LDXR to STLR with the suffix of the size, and LDLAR and STLLR, which order less than LDAR and STLR do. The fields that
/// they do not use should be ones, and what else does is not defined.
fn exclusive(word: Word, name: &str) -> Option<Insn> {
    let (size, rs, rt, base) = (word.size(), word.rm(), word.gpr(0), base(word));
    let (no_status, no_second) = (word.field(16, 5) == 31, word.field(10, 5) == 31);
    if !no_second && !name.starts_with("ldapr") {
        return None;
    }
    let ordered = word.bit(15);
    match name.trim_end_matches(['b', 'h']) {
        "ldxr" | "ldaxr" if no_status => Some(Insn::LoadExclusive { size, acquire: ordered, rt, base }),
        "stxr" | "stlxr" if rs != rt && rs != base => {
            Some(Insn::StoreExclusive { size, release: ordered, rs, rt, base })
        }
        "ldar" | "ldlar" if no_status => Some(Insn::LoadAcquire { size, rt, base }),
        "stlr" | "stllr" if no_status => Some(Insn::StoreRelease { size, rt, base }),
        "ldapr" if no_status => Some(Insn::LoadAcquirePc { size, rt, base }),
        _ => None,
    }
}

/// LDXP, LDAXP, STXP, STLXP.
fn exclusive_pair(word: Word, name: &str) -> Option<Other> {
    let width = Width::ALL[word.field(30, 1) as usize];
    let (rs, rt, rt2, base) = (word.rm(), word.gpr(0), word.gpr(10), base(word));
    match name {
        "ldxp" | "ldaxp" if rt != rt2 && rs == Gpr::Xzr => {
            Some(Other::LoadExclusivePair { width, rt, rt2, base })
        }
        "stxp" | "stlxp" if ![rt, rt2, base].contains(&rs) => {
            Some(Other::StoreExclusivePair { width, rs, rt, rt2, base })
        }
        _ => None,
    }
}

/// LDADD to LDUMIN, SWP, and CAS. Stores are loads to XZR.
fn atomic(word: Word, name: &str) -> Option<Insn> {
    let (size, rs, rt, base) = (word.size(), word.rm(), word.gpr(0), base(word));
    let order = |acquire, release| Order::ALL[usize::from(release) << 1 | usize::from(acquire)];
    if name.starts_with("cas") {
        return Some(Insn::Cas { size, order: order(word.bit(22), word.bit(15)), rs, rt, base });
    }
    let op = AtomicOp::ALL.iter().copied().find(|op| name.starts_with(op.mnemonic()))?;
    Some(Insn::Atomic { op, size, order: order(word.bit(23), word.bit(22)), rs, rt, base })
}

/// CASP, whose pairs start with even numbers.
fn cas_pair(word: Word) -> Option<Other> {
    let width = Width::ALL[word.field(30, 1) as usize];
    let defined = !word.bit(16) && !word.bit(0);
    defined.then_some(Other::CasPair { width, rs: word.rm(), rt: word.gpr(0), base: base(word) })
}
