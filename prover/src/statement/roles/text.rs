// SPDX-License-Identifier: GPL-2.0-or-later
//! The text of a claim: records one after another, which can be read back in one way only. A record is a tag, which fixes how many numbers
//! follow, or that the first of them says how many more do; a number says by itself where it ends. So texts are equal only where all of
//! their records are.
//!
//! It is hashed by BLAKE3, of whose 256 bits 128 are kept. A hash that is only well mixed will not do: numbers in a text are constants
//! of whoever wrote the operation, and for such a hash two that collide are found within a second.

use super::Key;

/// What a record is about.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Tag {
    Arch,
    Vectors,
    Grants,
    Proof,
    Code,
    Dead,
    Get,
    Set,
    Flag,
    SetFlag,
    Vector,
    SetVector,
    Load,
    Store,
    Begin,
    Undefined,
    Address,
    Monitor,
    /// The end of an instruction of a proof sequence.
    Then,
    /// The end of a native instruction.
    Next,
    /// An instruction that is not written down step by step.
    Whole,
    Roles,
    /// The first of the operations on values; the others follow.
    Operation,
}

/// A text while it is written.
pub(super) struct Text(Vec<u8>);

impl Default for Text {
    fn default() -> Self {
        // As long as most are.
        Text(Vec::with_capacity(1 << 10))
    }
}

impl Text {
    /// A record of as many numbers as all records with this tag.
    pub fn record<const N: usize>(&mut self, tag: Tag, numbers: [u64; N]) {
        self.0.push(tag as u8);
        numbers.into_iter().for_each(|number| self.number(number));
    }

    /// An operation on values, by its number.
    pub fn operation<const N: usize>(&mut self, operation: u8, numbers: [u32; N]) {
        self.0.push(Tag::Operation as u8 + operation);
        numbers.into_iter().for_each(|number| self.number(number.into()));
    }

    /// A record of numbers after their count.
    pub fn list(&mut self, tag: Tag, numbers: &[u64]) {
        self.record(tag, [numbers.len() as u64]);
        numbers.iter().for_each(|number| self.number(*number));
    }

    /// A record of bytes after their count.
    pub fn bytes(&mut self, tag: Tag, bytes: &[u8]) {
        self.record(tag, [bytes.len() as u64]);
        self.0.extend_from_slice(bytes);
    }

    /// Seven bits in each byte, the lowest first; the highest bit says that more follow (DWARF 5, section 7.6, unsigned LEB128).
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// The key of the text.
    pub fn key(&self) -> Key {
        let hash = blake3::hash(&self.0);
        let half = |from: usize| {
            u64::from_le_bytes(hash.as_bytes()[from..from + 8].try_into().expect("there are 32 bytes"))
        };
        Key(half(0), half(8))
    }
}
