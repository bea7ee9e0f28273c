// SPDX-License-Identifier: GPL-2.0-or-later
//! Words taken apart.
//!
//! disarm64 says which instruction a word is. Its operand tables have no values, and it leaves reserved and unpredictable
//! combinations to its user, so fields are read from the word here, where the Arm ARM (C4.1) has them, and what it
//! does not define is refused.

mod control;
mod integer;
mod memory;
mod vector;

use disarm64::{InsnDisplay, InsnOpcode, Opcode, decoder};
use disarm64_defn::defn::Insn as Definition;
use disarm64_defn::{InsnClass as Class, InsnFeatureSet as Set};
use kop_ops::aarch64::{Cond, Gpr, Size, V, Width};

use super::{Decoded, Operation};
use crate::native::Unsupported;

/// Every instruction of a code, in order.
///
/// # Errors
/// The first word, or rest of one, that is no instruction or one that [`step`](super::step) does not cover.
pub fn decode(code: &[u8]) -> Result<Vec<Decoded>, Unsupported> {
    code.chunks(4).enumerate().map(|(index, bytes)| one(4 * index, bytes)).collect()
}

fn one(offset: usize, bytes: &[u8]) -> Result<Decoded, Unsupported> {
    let unsupported = |text: String| Unsupported { offset, bytes: bytes.to_vec(), text };
    let word = bytes.try_into().map_err(|_| unsupported("a part of a word".into()))?;
    let word = Word(u32::from_le_bytes(word));
    let opcode = decoder::decode(word.0).ok_or_else(|| unsupported("no instruction".into()))?;
    let operation = operation(word, opcode.definition()).ok_or_else(|| unsupported(text(word, &opcode)))?;
    Ok(Decoded { offset, len: 4, operation })
}

/// The instruction as disarm64 prints it, without its alignment.
fn text(word: Word, opcode: &Opcode) -> String {
    let definition = opcode.definition();
    // The formatter shifts by too much when a scalar shift has a reserved size.
    if definition.class == Class::ASISDSHF && word.field(19, 4) == 0 {
        return definition.mnemonic.into();
    }
    opcode.display_at(0).to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the word does, if it is covered.
fn operation(word: Word, definition: &Definition) -> Option<Operation> {
    let (class, name) = (definition.class, definition.mnemonic);
    if !is_covered(definition.feature_set) {
        return None;
    }
    match class {
        Class::ADDSUB_CARRY
        | Class::ADDSUB_EXT
        | Class::ADDSUB_IMM
        | Class::ADDSUB_SHIFT
        | Class::BITFIELD
        | Class::CONDCMP_IMM
        | Class::CONDCMP_REG
        | Class::CONDSEL
        | Class::DP_1SRC
        | Class::DP_2SRC
        | Class::DP_3SRC
        | Class::EXTRACT
        | Class::LOG_IMM
        | Class::LOG_SHIFT
        | Class::MOVEWIDE
        | Class::PCRELADDR => integer::insn(word, class, name).map(Operation::Insn),
        Class::LDST_IMM9
        | Class::LDST_POS
        | Class::LDST_REGOFF
        | Class::LDST_UNSCALED
        | Class::LDSTEXCL
        | Class::LDSTNAPAIR_OFFS
        | Class::LDSTPAIR_INDEXED
        | Class::LDSTPAIR_OFF
        | Class::LOADLIT
        | Class::LSE_ATOMIC => memory::operation(word, class, name),
        Class::BRANCH_IMM
        | Class::BRANCH_REG
        | Class::COMPBRANCH
        | Class::CONDBRANCH
        | Class::EXCEPTION
        | Class::IC_SYSTEM
        | Class::TESTBRANCH => control::operation(word, class, name),
        _ => vector::operation(word, class, name),
    }
}

/// Whether instructions of a feature can be covered; those of others share classes with them.
fn is_covered(set: Set) -> bool {
    matches!(
        set,
        Set::V8
            | Set::FP
            | Set::SIMD
            | Set::AES
            | Set::CRC
            | Set::FLAGM
            | Set::LOR
            | Set::LSE
            | Set::RCPC
            | Set::SB
            | Set::SVE2BITPERM
    )
}

/// The operation of this name.
fn named<T: Copy>(all: &[T], mnemonic: fn(T) -> &'static str, name: &str) -> Option<T> {
    all.iter().copied().find(|&op| mnemonic(op) == name)
}

/// An instruction word and its fields.
#[derive(Clone, Copy)]
struct Word(u32);

impl Word {
    /// The `width` bits from `low` on.
    fn field(self, low: u32, width: u32) -> u32 {
        self.0 >> low & ((1 << width) - 1)
    }

    fn byte(self, low: u32, width: u32) -> u8 {
        self.field(low, width) as u8
    }

    /// A field in two's complement.
    fn signed(self, low: u32, width: u32) -> i32 {
        (self.field(low, width) << (32 - width)) as i32 >> (32 - width)
    }

    fn bit(self, index: u32) -> bool {
        self.field(index, 1) == 1
    }

    /// The width by bit 31, `sf`.
    fn width(self) -> Width {
        Width::ALL[self.field(31, 1) as usize]
    }

    /// The size of an access by bits 31 and 30.
    fn size(self) -> Size {
        Size::ALL[self.field(30, 2) as usize]
    }

    /// A general register, XZR as number 31.
    fn gpr(self, low: u32) -> Gpr {
        Gpr::from_number(self.byte(low, 5)).unwrap_or(Gpr::Xzr)
    }

    /// A general register, SP as number 31.
    fn gpr_or_sp(self, low: u32) -> Gpr {
        Gpr::from_number(self.byte(low, 5)).unwrap_or(Gpr::Sp)
    }

    fn rd(self) -> Gpr {
        self.gpr(0)
    }

    fn rn(self) -> Gpr {
        self.gpr(5)
    }

    fn rm(self) -> Gpr {
        self.gpr(16)
    }

    /// A SIMD register.
    fn v(self, low: u32) -> V {
        V::ALL[self.field(low, 5) as usize]
    }

    fn cond(self, low: u32) -> Cond {
        Cond::ALL[self.field(low, 4) as usize]
    }
}
