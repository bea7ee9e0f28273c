// SPDX-License-Identifier: GPL-2.0-or-later
//! The site contract: what a program must grant an operation at the place where it stands.

use crate::ebpf::{Reg, RegSet};
use crate::state::Access;

/// The published conditions of one site, beyond its operands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contract {
    /// Registers that must be dead after the site: proof and native code may leave different garbage in them.
    pub dead: RegSet,
    /// The memory that the operation touches.
    pub memory: Vec<MemoryUse>,
    /// The SIMD registers that the native code overwrites.
    pub vectors: Vectors,
}

impl Contract {
    /// A contract that declares `dead` registers and nothing else.
    pub fn with_dead(dead: RegSet) -> Self {
        Self { dead, ..Self::default() }
    }
}

/// One access of an operation: `size` bytes at `base + offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// Read or write.
    pub access: Access,
    /// The register that holds the address.
    pub base: Reg,
    /// The displacement in bytes.
    pub offset: i32,
    /// How many bytes are touched.
    pub size: u32,
}

/// The SIMD registers that an emit may overwrite, as bit sets by register number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vectors {
    /// Of XMM0..XMM15.
    pub x86_64: u16,
    /// Of V0..V31.
    pub aarch64: u32,
}
