// SPDX-License-Identifier: GPL-2.0-or-later
//! Loads and stores, and the operands that their addresses become.

use kop_ops::aarch64::{Gpr, Mem, Size, Width};
use kop_ops::ebpf::{Operand, Reg, Size as Bytes};

use super::guard::{ADDRESS, Direction};
use super::{Compiler, SCRATCH, gpr, size_of};
use crate::planted::Planted;

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// What is added to the base of an access.
    pub(super) fn displacement(&self, base: Reg, off: i16) -> i32 {
        if base == Reg::R10 && self.planted(Planted::FrameBase) {
            0
        } else if self.planted(Planted::OffsetSign) {
            i32::from(off as u16)
        } else {
            i32::from(off)
        }
    }

    /// The operand of an access, where its offset fits, or else with the offset in the address register.
    pub(super) fn operand(&mut self, base: Gpr, offset: i32, size: Size) -> Mem {
        let scaled = size.bytes() as i32;
        if (-256..256).contains(&offset) || (offset % scaled == 0 && (0..4096 * scaled).contains(&offset)) {
            return Mem::offset(base, offset);
        }
        self.load_imm(Width::X, ADDRESS, i64::from(offset) as u64);
        Mem::index(base, ADDRESS)
    }

    /// A load.
    pub(super) fn load(&mut self, index: usize, bytes: Bytes, signed: bool, dst: Reg, base: Reg, off: i16) {
        let mem = self.address(index, base, off, bytes, Direction::Read);
        self.load_from(bytes, signed, dst, mem);
    }

    /// As [`Compiler::load`], from an address that is checked already.
    pub(super) fn load_from(&mut self, bytes: Bytes, signed: bool, dst: Reg, mem: Mem) {
        if signed && !self.planted(Planted::SignedLoad) {
            self.code.load_signed(size_of(bytes), gpr(dst), mem);
        } else {
            self.code.load(size_of(bytes), gpr(dst), mem);
        }
    }

    /// A store.
    pub(super) fn store(&mut self, index: usize, bytes: Bytes, base: Reg, off: i16, src: Operand) {
        let mem = self.address(index, base, off, bytes, Direction::Write);
        self.store_to(bytes, mem, src);
    }

    /// As [`Compiler::store`], to an address that is checked already.
    pub(super) fn store_to(&mut self, bytes: Bytes, mem: Mem, src: Operand) {
        let src = match src {
            Operand::Reg(src) => gpr(src),
            Operand::Imm(0) => Gpr::Xzr,
            Operand::Imm(imm) => {
                self.load_stored(bytes, imm);
                SCRATCH
            }
        };
        self.code.store(size_of(bytes), src, mem);
    }

    /// The immediate of a store in the scratch register; bits that are not stored are what takes the fewest instructions.
    fn load_stored(&mut self, bytes: Bytes, imm: i32) {
        match bytes {
            Bytes::B1 => self.load_imm(Width::W, SCRATCH, u64::from(imm as u8)),
            Bytes::B2 => self.load_imm(Width::W, SCRATCH, u64::from(imm as u16)),
            Bytes::B8 if !self.planted(Planted::StoreImmediate) => {
                self.load_imm(Width::X, SCRATCH, i64::from(imm) as u64);
            }
            Bytes::B4 | Bytes::B8 => self.load_imm(Width::W, SCRATCH, u64::from(imm as u32)),
        }
    }
}
