// SPDX-License-Identifier: GPL-2.0-or-later
//! The three things that a module holds for a form - proof sequence, x86-64 emit, AArch64 emit - as lists of encoded
//! instructions over points: operands on a CPU.

use kop_ops::ebpf::{Insn, Reg};
use kop_ops::{Arch, Features, Form, Kop, Operands, Reject, Site, aarch64, registers, x86_64};

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The proof sequence.
    Proof,
    /// The native code of an architecture.
    Native(Arch),
}

impl Target {
    /// The number that the register with this eBPF number has in the target's encoding.
    pub fn number(self, register: i64) -> u64 {
        let reg = Reg::new(register as u8).unwrap_or(Reg::R0);
        match self {
            Target::Proof => register as u64,
            Target::Native(Arch::X86_64) => registers::x86_64(reg).code().into(),
            Target::Native(Arch::Aarch64) => registers::aarch64(reg).number().into(),
        }
    }

    /// How many bits the encoding has for a register.
    pub const fn register_bits(self) -> u32 {
        match self {
            Target::Native(Arch::Aarch64) => 5,
            _ => 4,
        }
    }
}

/// Operands on a CPU with features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Point {
    /// The operands.
    pub operands: Operands,
    /// The features; none where they do not matter.
    pub features: Features,
}

impl Point {
    /// The value of the field with this index.
    pub fn value(&self, field: usize) -> i64 {
        self.operands.values()[field]
    }
}

/// Where an x86-64 instruction has its REX prefix, or would have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RexSlot {
    /// How many bytes are before it.
    pub at: u32,
    /// Whether it is there.
    pub present: bool,
}

/// One encoded instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The bytes as a little-endian number; an absent REX prefix counts as the byte 0x40.
    pub bits: u128,
    /// Their number.
    pub len: u32,
    /// The place of the REX prefix; none outside x86-64, and where there can be none.
    pub rex: Option<RexSlot>,
    /// The disassembly, empty where it was not asked for.
    pub text: String,
}

impl Item {
    /// The bytes as they are emitted.
    #[cfg(test)]
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.bits.to_le_bytes()[..self.len as usize].to_vec();
        if let Some(RexSlot { at, present: false }) = self.rex {
            bytes.remove(at as usize);
        }
        bytes
    }

    fn plain(bits: u128, len: u32, text: String) -> Self {
        Self { bits, len, rex: None, text }
    }
}

/// What a target is at a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Instructions.
    Code(Vec<Item>),
    /// There is no native form for this CPU.
    Absent,
    /// The operands are refused, for this reason.
    Refused(String),
}

/// A target of a form.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The operation.
    pub kop: &'a dyn Kop,
    /// The form.
    pub form: &'a Form,
    /// What of it.
    pub target: Target,
}

impl Subject<'_> {
    /// What the target is at `point`; `texts` says whether disassemblies are wanted.
    pub fn outcome(&self, point: &Point, texts: bool) -> Outcome {
        let site = Site { form: self.form, operands: point.operands, features: point.features };
        let items = match self.target {
            Target::Proof => self.kop.proof(&site).map(|proof| proof_items(&proof, texts)),
            Target::Native(Arch::X86_64) => self.x86_64(&site, texts),
            Target::Native(Arch::Aarch64) => self.aarch64(&site, texts),
        };
        match items {
            Ok(items) => Outcome::Code(items),
            Err(Reject::NoEmit { .. }) => Outcome::Absent,
            Err(reject) => Outcome::Refused(reject.to_string()),
        }
    }

    fn x86_64(&self, site: &Site, texts: bool) -> Result<Vec<Item>, Reject> {
        let mut asm = x86_64::Assembler::new();
        self.kop.x86_64(site, &mut asm)?;
        let code = asm.finish().map_err(|error| Reject::Encode(error.to_string()))?;
        let ends = code.insns.iter().skip(1).map(|insn| insn.0).chain([code.bytes.len()]);
        let items = code.insns.iter().zip(ends).map(|((start, insn), end)| {
            let text = if texts { insn.to_string() } else { String::new() };
            x86_64_item(&code.bytes[*start..end], text)
        });
        Ok(items.collect())
    }

    fn aarch64(&self, site: &Site, texts: bool) -> Result<Vec<Item>, Reject> {
        let mut asm = aarch64::Assembler::new();
        self.kop.aarch64(site, &mut asm)?;
        let code = asm.finish().map_err(|error| Reject::Encode(error.to_string()))?;
        let items = code.insns.iter().map(|(start, insn)| {
            let text = if texts { insn.to_string() } else { String::new() };
            Item::plain(number(&code.bytes[*start..*start + 4]), 4, text)
        });
        Ok(items.collect())
    }
}

fn proof_items(proof: &[Insn], texts: bool) -> Vec<Item> {
    let item = |insn: &Insn| {
        let slots: Vec<u8> = insn.encode().iter().flat_map(|slot| slot.to_le_bytes()).collect();
        let text = if texts { insn.to_string() } else { String::new() };
        Item::plain(number(&slots), slots.len() as u32, text)
    };
    proof.iter().map(item).collect()
}

/// Bytes as a little-endian number.
fn number(bytes: &[u8]) -> u128 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// Prefixes that come before REX (Intel SDM vol. 2, 2.1.1).
const LEGACY: [u8; 11] = [0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];

/// The first bytes of VEX and EVEX prefixes, which have no REX before them.
const VEX: [u8; 3] = [0xc4, 0xc5, 0x62];

fn x86_64_item(bytes: &[u8], text: String) -> Item {
    let at = bytes.iter().take_while(|byte| LEGACY.contains(byte)).count();
    let first = bytes.get(at).copied().unwrap_or_default();
    if VEX.contains(&first) {
        return Item::plain(number(bytes), bytes.len() as u32, text);
    }
    let present = first & 0xf0 == 0x40;
    let mut whole = bytes.to_vec();
    if !present {
        whole.insert(at, 0x40);
    }
    let rex = Some(RexSlot { at: at as u32, present });
    Item { bits: number(&whole), len: whole.len() as u32, rex, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_give_back_the_bytes() {
        let table: [(&[u8], u32, Option<bool>); 5] = [
            (&[0x48, 0x89, 0xf8], 3, Some(true)),
            (&[0x89, 0xf8], 3, Some(false)),
            (&[0x66, 0xc1, 0xc0, 0x08], 5, Some(false)),
            (&[0x66, 0x41, 0xc1, 0xc0, 0x08], 5, Some(true)),
            (&[0xc4, 0xe3, 0xfb, 0xf0, 0xc7, 0x05], 6, None),
        ];
        for (bytes, len, rex) in table {
            let item = x86_64_item(bytes, String::new());
            assert_eq!((item.len, item.rex.map(|slot| slot.present)), (len, rex), "{bytes:02x?}");
            assert_eq!(item.bytes(), bytes);
        }
    }
}
