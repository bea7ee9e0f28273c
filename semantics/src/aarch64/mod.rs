// SPDX-License-Identifier: GPL-2.0-or-later
//! What A64 instructions do (Arm ARM, DDI 0487, chapters C3 to C7), for any [`Domain`] of values.
//!
//! [`decode`] takes bytes apart with disarm64 and refuses what is not covered; [`step`] runs one instruction on a
//! [`Machine`] and says where control goes. Execution is that of one processor at EL0 or EL1, little-endian: barriers, hints
//! and the order of acquires and releases change nothing, and a store-exclusive fails only for want of its
//! load-exclusive. Alignment of the stack pointer is not checked.

mod arithmetic;
mod atomic;
mod bits;
mod control;
mod decode;
mod memory;
mod operand;
mod operation;
pub mod vector;

use kop_ops::aarch64::{Gpr, Group, Insn, V};

pub use self::decode::decode;
pub use self::operation::{Operation, Other};
use crate::domain::Domain;
use crate::native::Next;

/// The values of a machine.
pub type Value<M> = <<M as Machine>::Domain as Domain>::Value;

/// A condition flag (Arm ARM, C5.2.10, NZCV).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flag {
    /// Negative.
    N,
    /// Zero.
    Z,
    /// Carry; after a subtraction, that there was no borrow.
    C,
    /// Signed overflow.
    V,
}

impl Flag {
    /// Every flag, in the order of the bits 31 to 28 of NZCV.
    pub const ALL: [Flag; 4] = [Flag::N, Flag::Z, Flag::C, Flag::V];
}

/// What a load-exclusive has marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Monitor<V> {
    /// The address, of 64 bits.
    pub address: V,
    /// How many bytes from there on: 1, 2, 4, 8 or 16.
    pub bytes: u32,
}

/// Registers, flags and memory that instructions act on.
pub trait Machine {
    /// What values are.
    type Domain: Domain;
    /// Why an instruction cannot be completed: a fault, or a value that had to be known.
    type Stop;

    /// The operations on values.
    fn domain(&mut self) -> &mut Self::Domain;

    /// The 64 bits of X0 to X30 or SP; never asked for XZR.
    fn get(&mut self, register: Gpr) -> Value<Self>;

    /// Sets X0 to X30 or SP to 64 bits; never asked for XZR.
    fn set(&mut self, register: Gpr, value: Value<Self>);

    /// One bit: a condition flag.
    fn flag(&mut self, flag: Flag) -> Value<Self>;

    /// Sets a condition flag to one bit.
    fn set_flag(&mut self, flag: Flag, value: Value<Self>);

    /// The low and the high half of a SIMD register, 64 bits each.
    fn vector(&mut self, register: V) -> [Value<Self>; 2];

    /// Sets the low and the high half of a SIMD register, 64 bits each.
    fn set_vector(&mut self, register: V, value: [Value<Self>; 2]);

    /// The 1, 2, 4 or 8 bytes at an address of 64 bits, as a number of `8 * bytes` bits.
    ///
    /// # Errors
    /// The fault, when one of them cannot be read.
    fn load(&mut self, bytes: u32, address: Value<Self>) -> Result<Value<Self>, Self::Stop>;

    /// Stores a number of `8 * bytes` bits in the 1, 2, 4 or 8 bytes at an address of 64 bits.
    ///
    /// # Errors
    /// The fault, when one of the bytes cannot be written; nothing is stored then.
    fn store(&mut self, bytes: u32, address: Value<Self>, value: Value<Self>) -> Result<(), Self::Stop>;

    /// Comes before the loads and stores of an instruction that wants its address aligned to `bytes`, 1 to 16: exclusive,
    /// acquiring, releasing and atomic ones (Arm ARM, B2.9.2). What a misaligned address does is for the machine to say;
    /// processors with FEAT_LSE2 accept some.
    ///
    /// # Errors
    /// The fault, when there is one.
    fn begin_atomic(&mut self, bytes: u32, address: Value<Self>) -> Result<(), Self::Stop>;

    /// What the last load-exclusive marked, unless a store-exclusive or CLREX came since.
    fn monitor(&mut self) -> Option<Monitor<Value<Self>>>;

    /// Sets what [`Machine::monitor`] says.
    fn set_monitor(&mut self, monitor: Option<Monitor<Value<Self>>>);

    /// A value of `width` bits, 1 to 64, that the manual leaves open; over terms, a variable of its own.
    fn undefined(&mut self, width: u32) -> Value<Self>;

    /// Whether one bit is 1, where memory or control depends on it; over terms, of a constant alone.
    ///
    /// # Errors
    /// The reason, when the bit is not known.
    fn decide(&mut self, bit: Value<Self>) -> Result<bool, Self::Stop>;

    /// The address, of 64 bits, of what is `offset` bytes from the first byte of the code.
    fn code_address(&mut self, offset: i64) -> Value<Self>;
}

/// An instruction of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decoded {
    /// Where it stands, in bytes from the first byte of the code: a multiple of four.
    pub offset: usize,
    /// How many bytes it has: four.
    pub len: usize,
    /// What it does.
    pub operation: Operation,
}

/// Runs one instruction.
///
/// # Errors
/// What the machine's memory says, or that a value had to be known; general registers, SIMD registers and flags are as
/// before then.
#[inline]
pub fn step<M: Machine>(m: &mut M, decoded: &Decoded) -> Result<Next<Value<M>>, M::Stop> {
    let offset = decoded.offset as i64;
    match &decoded.operation {
        Operation::Insn(insn) => match insn.group() {
            Group::Immediate | Group::Register => integer(m, offset, insn),
            Group::LoadStore => memory::transfer(m, offset, insn)?,
            Group::Atomic => atomic::access(m, insn)?,
            Group::BranchOrSystem => return Ok(control::go(m, offset, insn)),
            Group::Simd => vector::compute(m, insn),
        },
        Operation::Other(other) => self::other(m, offset, other)?,
        Operation::Vector(vector) => vector::other(m, vector),
        Operation::Nothing => {}
    }
    Ok(Next::Fall)
}

/// Data processing on general registers (Arm ARM, C4.1.92 and C4.1.95).
fn integer<M: Machine>(m: &mut M, offset: i64, insn: &Insn) {
    match *insn {
        Insn::MoveWide { op, width, rd, imm, shift } => bits::move_wide(m, op, width, rd, (imm, shift)),
        Insn::LogicalImm { op, width, rd, rn, imm } => bits::logical_imm(m, op, width, (rd, rn), imm),
        Insn::LogicalShifted { op, width, rd, rn, rm, shift, amount } => {
            bits::logical(m, op, width, (rd, rn, rm), (shift, amount));
        }
        Insn::Bitfield { op, width, rd, rn, immr, imms } => {
            bits::field(m, op, width, (rd, rn), (immr, imms));
        }
        Insn::Extract { width, rd, rn, rm, lsb } => bits::extract(m, width, (rd, rn, rm), lsb),
        Insn::OneSource { op, width, rd, rn } => bits::one_source(m, op, width, rd, rn),
        Insn::Crc32 { castagnoli, size, rd, rn, rm } => bits::crc32(m, castagnoli, size, (rd, rn, rm)),
        _ => arithmetic::compute(m, offset, insn),
    }
}

/// What our assembler does not have.
fn other<M: Machine>(m: &mut M, offset: i64, other: &Other) -> Result<(), M::Stop> {
    match *other {
        Other::LoadPairSigned { .. } | Other::VLoadLiteral { .. } => memory::other(m, offset, other),
        Other::LoadExclusivePair { .. }
        | Other::StoreExclusivePair { .. }
        | Other::CasPair { .. }
        | Other::ClearExclusive => atomic::pair(m, other),
        Other::InvertCarry | Other::RotateIntoFlags { .. } | Other::SetFlags { .. } => {
            control::flags(m, other);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
