// SPDX-License-Identifier: GPL-2.0-or-later
//! Instructions straight into bytes: what a compiler of whole programs writes to, without labels and without a listing.

use super::encode::{self, EncodeError, Packed};
use super::insn::{
    AluOp, Amount, BmiRmvOp, Cond, Insn, LockedOp, Mem, Nullary, Operand, Rel, Rm, ShiftOp, UnaryOp,
};
use super::register::{Gpr, Size};

/// Machine code that grows at its end.
///
/// Operands are destination first. A method panics when the instruction has no encoding: a compiler asks for those that
/// exist.
#[derive(Clone, Debug, Default)]
pub struct Buffer {
    /// The code, and room behind it.
    bytes: Vec<u8>,
    len: usize,
}

/// How much room there is kept at the end, so that an instruction is stored without looking at its length.
const SLACK: usize = 16;

impl Buffer {
    /// An empty buffer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity + SLACK], len: 0 }
    }

    /// How many bytes there are.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes.
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.truncate(self.len);
        self.bytes
    }

    /// Adds an instruction.
    ///
    /// # Panics
    /// When it has no encoding.
    pub fn push(&mut self, insn: Insn) {
        self.put(insn.pack());
    }

    #[inline(always)]
    fn put(&mut self, packed: Result<Packed, EncodeError>) {
        match packed {
            Ok(packed) => self.store(packed),
            Err(error) => refuse(&error),
        }
    }

    #[inline(always)]
    fn store(&mut self, packed: Packed) {
        if self.bytes.len() < self.len + SLACK {
            self.grow();
        }
        let out = self.bytes[self.len..].first_chunk_mut().expect("there is room for an instruction");
        packed.store(out);
        self.len += packed.len();
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        self.bytes.resize(self.bytes.len() * 2 + 16 * SLACK, 0);
    }

    /// Adds bytes as they are.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        while self.bytes.len() < end + SLACK {
            self.grow();
        }
        self.bytes[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }

    /// Replaces the instruction at `offset` by another of the same length.
    ///
    /// # Panics
    /// When it has no encoding or does not fit the buffer.
    pub fn replace(&mut self, offset: usize, insn: Insn) {
        let (mut new, packed) = ([0; 16], insn.pack().unwrap_or_else(|error| refuse(&error)));
        packed.store(&mut new);
        assert!(offset + packed.len() <= self.len, "what is replaced is in the buffer");
        self.bytes[offset..offset + packed.len()].copy_from_slice(&new[..packed.len()]);
    }

    /// Writes as few `nop` as there can be over the `len` bytes at `offset`: the multi-byte forms of AMD's and Intel's optimization manuals.
    ///
    /// # Panics
    /// When they are not all in the buffer.
    pub fn replace_with_nops(&mut self, mut offset: usize, len: usize) {
        const NOPS: [&[u8]; 9] = [
            &[0x90],
            &[0x66, 0x90],
            &[0x0f, 0x1f, 0x00],
            &[0x0f, 0x1f, 0x40, 0x00],
            &[0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
            &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
            &[0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
        ];
        let end = offset + len;
        assert!(end <= self.len, "what is replaced is in the buffer");
        while offset < end {
            let nop = NOPS[(end - offset).min(NOPS.len()) - 1];
            self.bytes[offset..offset + nop.len()].copy_from_slice(nop);
            offset += nop.len();
        }
    }

    /// Moves the `len` bytes at `from` to `to`, which lies before.
    ///
    /// # Panics
    /// When they are not all in the buffer.
    pub fn pull(&mut self, from: usize, to: usize, len: usize) {
        self.bytes.copy_within(from..from + len, to);
    }

    /// Drops the bytes from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

#[cold]
#[inline(never)]
fn refuse(error: &EncodeError) -> ! {
    panic!("the instruction has no encoding: {error}")
}

/// One method per instruction that programs are compiled to; the variants of [`Insn`] say which sizes and operands exist.
impl Buffer {
    /// `mov dst, src`.
    #[inline(always)]
    pub fn mov(&mut self, size: Size, dst: impl Into<Rm>, src: impl Into<Operand>) {
        match (dst.into(), src.into()) {
            (Rm::Reg(dst), Operand::Reg(src)) if size >= Size::B4 => {
                self.store(encode::mov_registers(size, dst, src));
            }
            (dst, src) => self.put_mov(size, dst, src),
        }
    }

    /// `movabs dst, imm`.
    #[inline(always)]
    pub fn movabs(&mut self, dst: Gpr, imm: u64) {
        self.push(Insn::Movabs { dst, imm });
    }

    /// `movzx dst, src`.
    #[inline(always)]
    pub fn movzx(&mut self, size: Size, dst: Gpr, src_size: Size, src: impl Into<Rm>) {
        self.put_movzx(size, dst, src_size, src.into());
    }

    /// `movsx dst, src`.
    #[inline(always)]
    pub fn movsx(&mut self, size: Size, dst: Gpr, src_size: Size, src: impl Into<Rm>) {
        self.put_movsx(size, dst, src_size, src.into());
    }

    /// `lea dst, [mem]`.
    #[inline(always)]
    pub fn lea(&mut self, size: Size, dst: Gpr, mem: Mem) {
        self.put_lea(size, dst, mem);
    }

    /// `add dst, src` and its like.
    #[inline(always)]
    pub fn alu(&mut self, op: AluOp, size: Size, dst: impl Into<Rm>, src: impl Into<Operand>) {
        match (dst.into(), src.into()) {
            (Rm::Reg(dst), Operand::Reg(src)) if size >= Size::B4 => {
                self.store(encode::alu_registers(op, size, dst, src));
            }
            (dst, src) => self.put_alu(op, size, dst, src),
        }
    }

    /// `test dst, src`.
    #[inline(always)]
    pub fn test(&mut self, size: Size, dst: impl Into<Rm>, src: impl Into<Operand>) {
        self.put_test(size, dst.into(), src.into());
    }

    /// `neg dst` and its like.
    #[inline(always)]
    pub fn unary(&mut self, op: UnaryOp, size: Size, dst: impl Into<Rm>) {
        self.put_unary(op, size, dst.into());
    }

    /// `imul dst, src`.
    #[inline(always)]
    pub fn imul(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>) {
        self.put_imul(size, dst, src.into());
    }

    /// `imul dst, src, imm`.
    #[inline(always)]
    pub fn imul_imm(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>, imm: i32) {
        self.put_imul_imm(size, dst, src.into(), imm);
    }

    /// `shl dst, amount` and its like.
    #[inline(always)]
    pub fn shift(&mut self, op: ShiftOp, size: Size, dst: impl Into<Rm>, amount: impl Into<Amount>) {
        self.put_shift(op, size, dst.into(), amount.into());
    }

    /// `shlx dst, src, control` and its like (BMI2).
    #[inline(always)]
    pub fn bmi_rmv(&mut self, op: BmiRmvOp, size: Size, dst: Gpr, src: impl Into<Rm>, control: Gpr) {
        self.push(Insn::BmiRmv { op, size, dst, src: src.into(), control });
    }

    /// `bswap dst`.
    #[inline(always)]
    pub fn bswap(&mut self, size: Size, dst: Gpr) {
        self.push(Insn::Bswap { size, dst });
    }

    /// `movbe dst, [src]` (MOVBE).
    #[inline(always)]
    pub fn movbe_load(&mut self, size: Size, dst: Gpr, src: Mem) {
        self.push(Insn::MovbeLoad { size, dst, src });
    }

    /// `xchg dst, src`.
    #[inline(always)]
    pub fn xchg(&mut self, size: Size, dst: impl Into<Rm>, src: Gpr) {
        self.push(Insn::Xchg { size, dst: dst.into(), src });
    }

    /// `lock op [dst], src`.
    #[inline(always)]
    pub fn locked(&mut self, op: LockedOp, size: Size, dst: Mem, src: Gpr) {
        self.put_locked(op, size, dst, src);
    }

    /// `push src`.
    #[inline(always)]
    pub fn push_operand(&mut self, src: impl Into<Operand>) {
        self.push(Insn::Push { src: src.into() });
    }

    /// `pop dst`.
    #[inline(always)]
    pub fn pop(&mut self, dst: Gpr) {
        self.push(Insn::Pop { dst: dst.into() });
    }

    /// `jmp` to the address in a register or in memory.
    #[inline(always)]
    pub fn jmp_rm(&mut self, target: impl Into<Rm>) {
        self.push(Insn::JmpRm { target: target.into() });
    }

    /// `call` the address in a register or in memory.
    #[inline(always)]
    pub fn call_rm(&mut self, target: impl Into<Rm>) {
        self.push(Insn::CallRm { target: target.into() });
    }

    /// `jcc` in its short form; returns where it stands, for [`Buffer::land`].
    #[inline(always)]
    pub fn skip(&mut self, cond: Cond) -> Skip {
        let at = self.len();
        self.push(Insn::JccRel { cond, rel: Rel::Short, disp: 0 });
        Skip { at, cond: Some(cond) }
    }

    /// `jmp` in its short form; returns where it stands, for [`Buffer::land`].
    #[inline(always)]
    pub fn skip_always(&mut self) -> Skip {
        let at = self.len();
        self.push(Insn::JmpRel { rel: Rel::Short, disp: 0 });
        Skip { at, cond: None }
    }

    /// Makes `skip` land here.
    ///
    /// # Panics
    /// When that is more than 127 bytes away.
    pub fn land(&mut self, skip: Skip) {
        let end = skip.at + 2;
        let disp = i32::try_from(self.len() - end).expect("a buffer is below 2 GiB");
        self.replace(
            skip.at,
            match skip.cond {
                Some(cond) => Insn::JccRel { cond, rel: Rel::Short, disp },
                None => Insn::JmpRel { rel: Rel::Short, disp },
            },
        );
    }

    /// `jcc` in its short form back to `offset`.
    ///
    /// # Panics
    /// When that is more than 128 bytes away.
    pub fn back(&mut self, cond: Cond, offset: usize) {
        let end = self.len() + 2;
        let disp = -i32::try_from(end - offset).expect("a buffer is below 2 GiB");
        self.push(Insn::JccRel { cond, rel: Rel::Short, disp });
    }

    /// An instruction without operands.
    #[inline(always)]
    pub fn nullary(&mut self, insn: Nullary) {
        self.push(Insn::Nullary(insn));
    }
}

/// Encoding and storing in one function each, so that no encoding goes through memory.
impl Buffer {
    #[inline(never)]
    fn put_mov(&mut self, size: Size, dst: Rm, src: Operand) {
        self.put(encode::mov(size, dst, src));
    }

    #[inline(never)]
    fn put_alu(&mut self, op: AluOp, size: Size, dst: Rm, src: Operand) {
        self.put(encode::alu(op, size, dst, src));
    }

    #[inline(never)]
    fn put_test(&mut self, size: Size, dst: Rm, src: Operand) {
        self.put(encode::test(size, dst, src));
    }

    #[inline(never)]
    fn put_shift(&mut self, op: ShiftOp, size: Size, dst: Rm, amount: Amount) {
        self.put(encode::shift(op, size, dst, amount));
    }

    #[inline(never)]
    fn put_movzx(&mut self, size: Size, dst: Gpr, src_size: Size, src: Rm) {
        self.put(encode::movzx(size, dst, src_size, src));
    }

    #[inline(never)]
    fn put_movsx(&mut self, size: Size, dst: Gpr, src_size: Size, src: Rm) {
        self.put(encode::movsx(size, dst, src_size, src));
    }

    #[inline(never)]
    fn put_lea(&mut self, size: Size, dst: Gpr, mem: Mem) {
        self.put(encode::lea(size, dst, mem));
    }

    #[inline(never)]
    fn put_unary(&mut self, op: UnaryOp, size: Size, dst: Rm) {
        self.put(encode::unary(op, size, dst));
    }

    #[inline(never)]
    fn put_imul_imm(&mut self, size: Size, dst: Gpr, src: Rm, imm: i32) {
        self.put(encode::imul_imm(size, dst, src, imm));
    }

    #[inline(never)]
    fn put_imul(&mut self, size: Size, dst: Gpr, src: Rm) {
        self.put(encode::imul(size, dst, src));
    }

    #[inline(never)]
    fn put_locked(&mut self, op: LockedOp, size: Size, dst: Mem, src: Gpr) {
        self.put(encode::locked(op, size, dst, src));
    }
}

/// A short forward branch whose target is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it branches to the next instruction until it lands"]
pub struct Skip {
    at: usize,
    cond: Option<Cond>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x86_64::Assembler;

    #[test]
    fn bytes_are_those_of_the_assembler() {
        let mut buffer = Buffer::with_capacity(64);
        let mut assembler = Assembler::new();
        for insn in crate::x86_64::forms::samples() {
            match insn {
                Insn::Mov { size, dst, src } => buffer.mov(size, dst, src),
                Insn::Alu { op, size, dst, src } => buffer.alu(op, size, dst, src),
                other => buffer.push(other),
            }
            assembler.push(insn);
        }
        assert!(buffer.into_bytes() == assembler.finish().expect("samples encode").bytes);
    }

    #[test]
    fn skips_land() {
        let mut buffer = Buffer::default();
        let skip = buffer.skip(Cond::E);
        let start = buffer.len();
        buffer.nullary(Nullary::Nop);
        let always = buffer.skip_always();
        buffer.land(skip);
        buffer.back(Cond::Ne, start);
        buffer.land(always);
        assert_eq!(buffer.into_bytes(), [0x74, 3, 0x90, 0xeb, 2, 0x75, 0xfb]);
    }
}
