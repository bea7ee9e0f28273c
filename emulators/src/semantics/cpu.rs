// SPDX-License-Identifier: GPL-2.0-or-later
//! The registers of either architecture, as an array that the semantics act on.

use kop_ops::choices::{Choices, Seeded};
use kop_semantics::Integers;
use kop_semantics::aarch64::Monitor;

use super::memory::Space;
use crate::native::RegisterFile;

/// Registers and memory over integers.
#[derive(Clone, Debug)]
pub struct Cpu {
    /// The operations on values.
    pub integers: Integers,
    /// General registers by number, in the order of [`RegisterFile::general`].
    pub general: [u64; 32],
    /// RFLAGS or NZCV.
    pub flags: u64,
    /// SIMD registers by number, in halves.
    pub vectors: [[u64; 2]; 32],
    /// What the last load-exclusive of AArch64 marked.
    pub monitor: Option<Monitor<u64>>,
    /// The memory.
    pub space: Space,
    undefined: Undefined,
}

/// What the manual leaves undefined.
#[derive(Clone, Debug)]
enum Undefined {
    /// Garbage, another one each time.
    Garbage(Seeded),
    /// Zeros or ones.
    Constant(bool),
}

impl Cpu {
    /// Zeroed registers and memory. What is undefined follows from `garbage`.
    pub fn new(garbage: u64) -> Self {
        Self {
            integers: Integers,
            general: [0; 32],
            flags: 0,
            vectors: [[0; 2]; 32],
            monitor: None,
            space: Space::new(),
            undefined: Undefined::Garbage(Seeded::new(garbage)),
        }
    }

    /// Takes the contents of a register file; nothing is marked.
    pub fn load(&mut self, file: &RegisterFile) {
        self.general[..file.general.len()].copy_from_slice(&file.general);
        self.flags = file.flags;
        self.monitor = None;
        for (halves, &vector) in self.vectors.iter_mut().zip(&file.vectors) {
            *halves = [vector as u64, (vector >> 64) as u64];
        }
    }

    /// A register file like `like` with what the registers hold.
    pub fn store(&self, like: &RegisterFile) -> RegisterFile {
        let vector = |halves: &[u64; 2]| u128::from(halves[1]) << 64 | u128::from(halves[0]);
        RegisterFile {
            general: self.general[..like.general.len()].to_vec(),
            flags: self.flags,
            vectors: self.vectors[..like.vectors.len()].iter().map(vector).collect(),
        }
    }

    /// A bit of the flags.
    #[inline]
    pub fn flag(&self, position: u32) -> u64 {
        self.flags >> position & 1
    }

    /// Sets a bit of the flags.
    #[inline]
    pub fn set_flag(&mut self, position: u32, bit: u64) {
        self.flags = self.flags & !(1 << position) | bit << position;
    }

    /// Determines what is undefined from here on.
    pub fn seed(&mut self, garbage: u64) {
        self.undefined = Undefined::Garbage(Seeded::new(garbage));
    }

    /// Makes all that is undefined from here on zeros or ones: bits that differ between two runs, with one and with the
    /// other, are those that the manual leaves undefined.
    pub fn set_undefined(&mut self, bit: bool) {
        self.undefined = Undefined::Constant(bit);
    }

    /// Something undefined of `width` bits.
    #[inline]
    pub fn undefined(&mut self, width: u32) -> u64 {
        match &mut self.undefined {
            Undefined::Garbage(choices) => choices.bits() >> (64 - width),
            Undefined::Constant(bit) => (u64::MAX * u64::from(*bit)) >> (64 - width),
        }
    }
}
