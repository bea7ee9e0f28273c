// SPDX-License-Identifier: GPL-2.0-or-later
//! Loads and stores.

use kop_ops::Feature;
use kop_ops::ebpf::{EndKind, Insn, Operand, Reg, Size as Bytes};
use kop_ops::x86_64::{Gpr, Mem, ShiftOp, Size};

use super::guard::Direction;
use super::{Compiler, gpr};
use crate::planted::Planted;

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// The displacement of an access.
    pub(super) fn displacement(&self, base: Reg, off: i16) -> i32 {
        if base == Reg::R10 && self.planted(Planted::FrameBase) {
            0
        } else if self.planted(Planted::OffsetSign) {
            i32::from(off as u16)
        } else {
            i32::from(off)
        }
    }

    /// A load, and the byte swap after it; returns how many instructions that was.
    pub(super) fn load(
        &mut self,
        index: usize,
        bytes: Bytes,
        signed: bool,
        dst: Reg,
        base: Reg,
        off: i16,
    ) -> usize {
        let mem = Mem::at(gpr(base), self.displacement(base, off));
        self.load_from(index, bytes, signed, dst, mem)
    }

    /// As [`Compiler::load`], from any address.
    pub(super) fn load_from(
        &mut self,
        index: usize,
        bytes: Bytes,
        signed: bool,
        dst: Reg,
        mem: Mem,
    ) -> usize {
        let mem = self.checked(index, mem, bytes, Direction::Read);
        if signed && !self.planted(Planted::SignedLoad) {
            self.code.movsx(Size::B8, gpr(dst), size_of(bytes), mem);
            return 1;
        }
        let swap = self.next(index).filter(|insn| !signed && swaps(insn, dst, bytes));
        if swap.is_some() && self.load_swapped(bytes, gpr(dst), mem) {
            return 2;
        }
        self.load_zero_extended(bytes, gpr(dst), mem);
        1
    }

    pub(super) fn load_zero_extended(&mut self, bytes: Bytes, dst: Gpr, mem: Mem) {
        match bytes {
            Bytes::B1 | Bytes::B2 => self.code.movzx(Size::B4, dst, size_of(bytes), mem),
            Bytes::B4 | Bytes::B8 => self.code.mov(size_of(bytes), dst, mem),
        }
    }

    /// Loads with the bytes swapped; whether there is a way that is better than a load and a swap.
    fn load_swapped(&mut self, bytes: Bytes, dst: Gpr, mem: Mem) -> bool {
        match bytes {
            Bytes::B1 => false,
            Bytes::B2 => {
                self.code.movzx(Size::B4, dst, Size::B2, mem);
                self.code.shift(ShiftOp::Rol, Size::B2, dst, 8);
                true
            }
            Bytes::B4 | Bytes::B8 => {
                let has = self.feature(Feature::Movbe);
                if has {
                    self.code.movbe_load(size_of(bytes), dst, mem);
                }
                has
            }
        }
    }

    /// A store.
    pub(super) fn store(&mut self, index: usize, bytes: Bytes, base: Reg, off: i16, src: Operand) {
        let mem = Mem::at(gpr(base), self.displacement(base, off));
        self.store_to(index, bytes, mem, src);
    }

    /// As [`Compiler::store`], to any address.
    pub(super) fn store_to(&mut self, index: usize, bytes: Bytes, mem: Mem, src: Operand) {
        let mem = self.checked(index, mem, bytes, Direction::Write);
        let size = size_of(bytes);
        match src {
            Operand::Reg(src) => self.code.mov(size, mem, gpr(src)),
            Operand::Imm(imm) => match bytes {
                Bytes::B1 => self.code.mov(size, mem, i32::from(imm as i8)),
                Bytes::B2 => self.code.mov(size, mem, i32::from(imm as i16)),
                Bytes::B8 if imm < 0 && self.planted(Planted::StoreImmediate) => {
                    self.load_imm(Gpr::R11, u64::from(imm as u32));
                    self.code.mov(size, mem, Gpr::R11);
                }
                Bytes::B4 | Bytes::B8 => self.code.mov(size, mem, imm),
            },
        }
    }
}

/// Whether `insn` swaps all of the `bytes` that were just loaded into `dst`.
fn swaps(insn: &Insn, dst: Reg, bytes: Bytes) -> bool {
    match *insn {
        Insn::End { kind, bits, dst: swapped } => {
            kind != EndKind::ToLe && swapped == dst && u32::from(bits) == bytes.bits()
        }
        _ => false,
    }
}

/// The operand size of an access.
pub(super) fn size_of(bytes: Bytes) -> Size {
    match bytes {
        Bytes::B1 => Size::B1,
        Bytes::B2 => Size::B2,
        Bytes::B4 => Size::B4,
        Bytes::B8 => Size::B8,
    }
}
