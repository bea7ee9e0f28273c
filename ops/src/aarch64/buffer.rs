// SPDX-License-Identifier: GPL-2.0-or-later
//! Instructions straight into bytes: what a compiler of whole programs writes to, without labels and without a listing.

use super::encode::EncodeError;
use super::insn::{
    AddSub, AtomicOp, BarrierScope, BitfieldOp, Cond, Insn, Logical, LogicalImm, Mem, MoveWide, MulAddOp,
    OneSourceOp, Order, Shift, TwoSourceOp,
};
use super::register::{Gpr, Size, Width};

/// Machine code that grows at its end.
///
/// Operands are destination first. A method panics when the instruction has no encoding: a compiler asks for those that
/// exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buffer {
    bytes: Vec<u8>,
}

impl Buffer {
    /// An empty buffer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Adds an instruction.
    ///
    /// # Panics
    /// When it has no encoding.
    pub fn push(&mut self, insn: Insn) {
        self.put(insn.encode());
    }

    #[inline]
    fn put(&mut self, word: Result<u32, EncodeError>) {
        match word {
            Ok(word) => self.bytes.extend_from_slice(&word.to_le_bytes()),
            Err(error) => refuse(&error),
        }
    }

    /// Adds bytes as they are.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Replaces the instruction at `offset` by another.
    ///
    /// # Panics
    /// When it has no encoding or does not fit the buffer.
    pub fn replace(&mut self, offset: usize, insn: Insn) {
        let word = insn.encode().unwrap_or_else(|error| refuse(&error));
        self.bytes[offset..offset + 4].copy_from_slice(&word.to_le_bytes());
    }

    /// Makes room for an instruction before each of the ascending `offsets`; the bytes of the room are unspecified.
    ///
    /// # Panics
    /// When an offset is not in the buffer.
    pub fn spread(&mut self, offsets: &[usize]) {
        let mut end = self.bytes.len();
        self.bytes.resize(end + 4 * offsets.len(), 0);
        for (before, &offset) in offsets.iter().enumerate().rev() {
            self.bytes.copy_within(offset..end, offset + 4 * (before + 1));
            end = offset;
        }
    }
}

#[cold]
#[inline(never)]
fn refuse(error: &EncodeError) -> ! {
    panic!("the instruction has no encoding: {error}")
}

/// One method per kind of instruction that programs are compiled to; the variants of [`Insn`] say which operands exist.
impl Buffer {
    /// MOVZ, MOVN, MOVK.
    #[inline(always)]
    pub fn move_wide(&mut self, op: MoveWide, width: Width, rd: Gpr, imm: u16, shift: u8) {
        self.put(Insn::MoveWide { op, width, rd, imm, shift }.encode_immediate());
    }

    /// `mov rd, rn`; either can be SP.
    #[inline(always)]
    pub fn mov(&mut self, width: Width, rd: Gpr, rn: Gpr) {
        self.push(Insn::mov(width, rd, rn));
    }

    /// `add rd, rn, rm` and its like.
    #[inline(always)]
    pub fn add_sub(&mut self, op: AddSub, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.add_sub_shifted(op, width, rd, rn, rm, 0);
    }

    /// `add rd, rn, rm, lsl #amount` and its like.
    #[inline(always)]
    pub fn add_sub_shifted(&mut self, op: AddSub, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, amount: u8) {
        self.put(Insn::AddSubShifted { op, width, rd, rn, rm, shift: Shift::Lsl, amount }.encode_register());
    }

    /// `add rd, rn, #imm` and its like.
    #[inline(always)]
    pub fn add_sub_imm(&mut self, op: AddSub, width: Width, rd: Gpr, rn: Gpr, imm: u32) {
        self.put(Insn::AddSubImm { op, width, rd, rn, imm }.encode_immediate());
    }

    /// `and rd, rn, rm` and its like.
    #[inline(always)]
    pub fn logical(&mut self, op: Logical, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.put(
            Insn::LogicalShifted { op, width, rd, rn, rm, shift: Shift::Lsl, amount: 0 }.encode_register(),
        );
    }

    /// `and rd, rn, #imm` and its like.
    #[inline(always)]
    pub fn logical_imm(&mut self, op: LogicalImm, width: Width, rd: Gpr, rn: Gpr, imm: u64) {
        self.put(Insn::LogicalImm { op, width, rd, rn, imm }.encode_immediate());
    }

    /// SBFM, BFM, UBFM.
    #[inline(always)]
    pub fn bitfield(&mut self, op: BitfieldOp, width: Width, rd: Gpr, rn: Gpr, immr: u8, imms: u8) {
        self.put(Insn::Bitfield { op, width, rd, rn, immr, imms }.encode_immediate());
    }

    /// REV and its like.
    #[inline(always)]
    pub fn one_source(&mut self, op: OneSourceOp, width: Width, rd: Gpr, rn: Gpr) {
        self.put(Insn::OneSource { op, width, rd, rn }.encode_register());
    }

    /// Divisions and shifts by a register.
    #[inline(always)]
    pub fn two_source(&mut self, op: TwoSourceOp, width: Width, rd: Gpr, rn: Gpr, rm: Gpr) {
        self.put(Insn::TwoSource { op, width, rd, rn, rm }.encode_register());
    }

    /// MADD, MSUB.
    #[inline(always)]
    pub fn mul_add(&mut self, op: MulAddOp, width: Width, rd: Gpr, rn: Gpr, rm: Gpr, ra: Gpr) {
        self.put(Insn::MulAdd { op, width, rd, rn, rm, ra }.encode_register());
    }

    /// A zero-extending load.
    #[inline(always)]
    pub fn load(&mut self, size: Size, rt: Gpr, mem: Mem) {
        self.put(Insn::Load { size, rt, mem }.encode_load_store());
    }

    /// A load that sign-extends to 64 bits.
    #[inline(always)]
    pub fn load_signed(&mut self, size: Size, rt: Gpr, mem: Mem) {
        self.put(Insn::LoadSigned { width: Width::X, size, rt, mem }.encode_load_store());
    }

    /// A store.
    #[inline(always)]
    pub fn store(&mut self, size: Size, rt: Gpr, mem: Mem) {
        self.put(Insn::Store { size, rt, mem }.encode_load_store());
    }

    /// `ldp rt, rt2, mem` of doublewords.
    #[inline(always)]
    pub fn load_pair(&mut self, rt: Gpr, rt2: Gpr, mem: Mem) {
        self.put(Insn::LoadPair { width: Width::X, rt, rt2, mem }.encode_load_store());
    }

    /// `stp rt, rt2, mem` of doublewords.
    #[inline(always)]
    pub fn store_pair(&mut self, rt: Gpr, rt2: Gpr, mem: Mem) {
        self.put(Insn::StorePair { width: Width::X, rt, rt2, mem }.encode_load_store());
    }

    /// LDXR.
    #[inline(always)]
    pub fn load_exclusive(&mut self, size: Size, rt: Gpr, base: Gpr) {
        self.push(Insn::LoadExclusive { size, acquire: false, rt, base });
    }

    /// STXR, or STLXR when `release`; `rs` is the status.
    #[inline(always)]
    pub fn store_exclusive(&mut self, size: Size, release: bool, rs: Gpr, rt: Gpr, base: Gpr) {
        self.push(Insn::StoreExclusive { size, release, rs, rt, base });
    }

    /// LDAR.
    #[inline(always)]
    pub fn load_acquire(&mut self, size: Size, rt: Gpr, base: Gpr) {
        self.push(Insn::LoadAcquire { size, rt, base });
    }

    /// STLR.
    #[inline(always)]
    pub fn store_release(&mut self, size: Size, rt: Gpr, base: Gpr) {
        self.push(Insn::StoreRelease { size, rt, base });
    }

    /// LDADD and its like (FEAT_LSE).
    #[inline(always)]
    pub fn atomic(&mut self, op: AtomicOp, size: Size, order: Order, rs: Gpr, rt: Gpr, base: Gpr) {
        self.push(Insn::Atomic { op, size, order, rs, rt, base });
    }

    /// CAS (FEAT_LSE).
    #[inline(always)]
    pub fn cas(&mut self, size: Size, order: Order, rs: Gpr, rt: Gpr, base: Gpr) {
        self.push(Insn::Cas { size, order, rs, rt, base });
    }

    /// DMB.
    #[inline(always)]
    pub fn dmb(&mut self, scope: BarrierScope) {
        self.push(Insn::Dmb(scope));
    }

    /// BR.
    #[inline(always)]
    pub fn br(&mut self, rn: Gpr) {
        self.push(Insn::Br { rn });
    }

    /// BLR.
    #[inline(always)]
    pub fn blr(&mut self, rn: Gpr) {
        self.push(Insn::Blr { rn });
    }

    /// RET to the address in X30.
    #[inline(always)]
    pub fn ret(&mut self) {
        self.push(Insn::Ret { rn: Gpr::X30 });
    }

    /// A branch forward; returns where it stands, for [`Buffer::land`].
    #[inline(always)]
    pub fn skip(&mut self, branch: Insn) -> Skip {
        let at = self.len();
        self.push(branch);
        Skip { at, branch }
    }

    /// Makes `skip` land here.
    ///
    /// # Panics
    /// When that is out of its reach.
    pub fn land(&mut self, skip: Skip) {
        let offset = i32::try_from(self.len() - skip.at).expect("a buffer is below 2 GiB");
        self.replace(skip.at, skip.branch.with_offset(offset));
    }

    /// A branch back to `offset`.
    ///
    /// # Panics
    /// When that is out of its reach.
    pub fn back(&mut self, branch: Insn, offset: usize) {
        let offset = -i32::try_from(self.len() - offset).expect("a buffer is below 2 GiB");
        self.push(branch.with_offset(offset));
    }
}

/// A forward branch whose target is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it branches to itself until it lands"]
pub struct Skip {
    at: usize,
    branch: Insn,
}

/// Branches without their distance.
impl Insn {
    /// `b.cond`.
    pub const fn b_cond(cond: Cond) -> Insn {
        Insn::BCond { cond, offset: 0 }
    }

    /// `cbz rt`.
    pub const fn cbz(width: Width, rt: Gpr) -> Insn {
        Insn::CompareBranch { nonzero: false, width, rt, offset: 0 }
    }

    /// `cbnz rt`.
    pub const fn cbnz(width: Width, rt: Gpr) -> Insn {
        Insn::CompareBranch { nonzero: true, width, rt, offset: 0 }
    }

    /// `tbz rt, #bit`.
    pub const fn tbz(rt: Gpr, bit: u8) -> Insn {
        Insn::TestBranch { nonzero: false, rt, bit, offset: 0 }
    }

    /// `tbnz rt, #bit`.
    pub const fn tbnz(rt: Gpr, bit: u8) -> Insn {
        Insn::TestBranch { nonzero: true, rt, bit, offset: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aarch64::Assembler;

    #[test]
    fn bytes_are_those_of_the_assembler() {
        let samples: Vec<Insn> = crate::aarch64::forms::samples().into_iter().take(2000).collect();
        let mut buffer = Buffer::with_capacity(64);
        samples.iter().for_each(|insn| buffer.push(*insn));
        let assembled = Assembler::from_insns(samples).finish().expect("samples encode");
        assert_eq!(buffer.into_bytes(), assembled.bytes);
    }

    #[test]
    fn skips_land() {
        let mut buffer = Buffer::default();
        let skip = buffer.skip(Insn::cbz(Width::X, Gpr::X1));
        let start = buffer.len();
        buffer.ret();
        buffer.back(Insn::b_cond(Cond::Ne), start);
        buffer.land(skip);
        let words = [0xb400_0061u32, 0xd65f_03c0, 0x54ff_ffe1];
        assert_eq!(buffer.into_bytes(), words.map(u32::to_le_bytes).concat());
    }

    #[test]
    fn room_is_made_before_each_offset() {
        let mut buffer = Buffer::default();
        buffer.push_bytes(&[1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]);
        buffer.spread(&[0, 8]);
        let bytes = buffer.into_bytes();
        assert_eq!((&bytes[4..12], &bytes[16..]), (&[1, 1, 1, 1, 2, 2, 2, 2][..], &[3; 4][..]));
    }
}
