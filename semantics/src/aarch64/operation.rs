// SPDX-License-Identifier: GPL-2.0-or-later
//! Decoded instructions.

use kop_ops::aarch64::{Gpr, Insn, Mem, Scalar, V, Width};

use super::vector::Vector;

/// What an instruction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// What our assembler has, too.
    Insn(Insn),
    /// What it does not have.
    Other(Other),
    /// What it does not have of SIMD registers.
    Vector(Vector),
    /// Nothing that a single processor can tell: hints, barriers, prefetches.
    Nothing,
}

/// An instruction that our assembler does not have. The fields are the manual's operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "the fields are the manual's operands, and the variant states what is special"
)]
pub enum Other {
    /// LDPSW; the memory operand is an offset, or pre- or post-indexed.
    LoadPairSigned { rt: Gpr, rt2: Gpr, mem: Mem },
    /// LDR of a SIMD register, S, D or Q, from a literal.
    VLoadLiteral { size: Scalar, vt: V, offset: i32 },
    /// LDXP, LDAXP.
    LoadExclusivePair { width: Width, rt: Gpr, rt2: Gpr, base: Gpr },
    /// STXP, STLXP; `rs` is the status.
    StoreExclusivePair { width: Width, rs: Gpr, rt: Gpr, rt2: Gpr, base: Gpr },
    /// CASP (FEAT_LSE): the pair from `rs` on is compared and becomes the old value, that from `rt` on is stored. The
    /// first of a pair has an even number.
    CasPair { width: Width, rs: Gpr, rt: Gpr, base: Gpr },
    /// CLREX.
    ClearExclusive,
    /// CFINV (FEAT_FlagM).
    InvertCarry,
    /// RMIF (FEAT_FlagM): the low four bits of `rn` rotated right by `amount`, 0 to 63, into the flags in `mask`.
    RotateIntoFlags { rn: Gpr, amount: u8, mask: u8 },
    /// SETF8, SETF16 (FEAT_FlagM): N, Z and V from the low `bits`, 8 or 16, of `rn`, and the bit above.
    SetFlags { bits: u32, rn: Gpr },
}
