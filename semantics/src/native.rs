// SPDX-License-Identifier: GPL-2.0-or-later
//! What the semantics of both native architectures have in common: where control goes after an instruction, and how
//! instructions that are not covered are named.

/// Where control goes after a native instruction. Offsets are in bytes from the first byte of the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<V> {
    /// To the next instruction.
    Fall,
    /// To this offset.
    Jump(i64),
    /// To this offset if the bit is 1, else to the next instruction.
    Branch {
        /// One bit.
        taken: V,
        /// The offset.
        target: i64,
    },
    /// To an address of 64 bits, which a register or memory held.
    Indirect(V),
    /// Nowhere: an instruction that raises an exception on purpose (`ud2`, `int3`, `brk`, `udf`).
    Trap,
}

/// An instruction that the semantics do not cover, or bytes that are none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("no semantics for `{text}` ({}) at +{offset:#x}", hex(.bytes))]
pub struct Unsupported {
    /// Where it stands, in bytes from the first byte of the code.
    pub offset: usize,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The instruction as the decoder prints it.
    pub text: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}
