// SPDX-License-Identifier: GPL-2.0-or-later
//! Constants in registers and in operands: each in the fewest instructions.

use kop_ops::aarch64::{AddSub, Gpr, Logical, LogicalImm, MoveWide, Width, encode_bitmask, mov_imm};
use kop_ops::ebpf::Reg;

use super::{Compiler, SCRATCH, gpr};
use crate::error::CompileError;
use crate::planted::Planted;

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// `dst = value`; W takes the lower 32 bits and clears the others.
    pub(super) fn load_imm(&mut self, width: Width, dst: Gpr, value: u64) {
        let value = value & width.mask();
        // What fits 32 bits takes no more instructions on them, and the upper half is cleared by the way.
        let width = if value <= Width::W.mask() { Width::W } else { width };
        let count = width.bits() as usize / 16;
        let (zeros, ones) = (halfwords(value, count, 0), halfwords(value, count, 0xffff));
        let (op, skipped, kept) =
            if ones > zeros { (MoveWide::Movn, 0xffff, ones) } else { (MoveWide::Movz, 0, zeros) };
        let wide = (count - kept).max(1);
        if wide > 1 && encode_bitmask(value, width).is_some() {
            self.code.logical_imm(LogicalImm::Orr, width, dst, Gpr::Xzr, value);
        } else if wide > 2 {
            mov_imm(width, dst, value).into_iter().for_each(|insn| self.code.push(insn));
        } else {
            self.move_wide(op, width, dst, value, skipped);
        }
    }

    /// MOVZ or MOVN of the first halfword that is not `skipped`, and MOVK of the others.
    fn move_wide(&mut self, op: MoveWide, width: Width, dst: Gpr, value: u64, skipped: u16) {
        let mut op = Some(op);
        let all = halfwords(value, width.bits() as usize / 16, skipped) == width.bits() as usize / 16;
        for shift in (0..width.bits() as u8).step_by(16) {
            let half = (value >> shift) as u16;
            if half == skipped && !(all && shift == 0) {
                continue;
            }
            match op.take() {
                Some(MoveWide::Movn) => self.code.move_wide(MoveWide::Movn, width, dst, !half, shift),
                Some(first) => self.code.move_wide(first, width, dst, half, shift),
                None => self.code.move_wide(MoveWide::Movk, width, dst, half, shift),
            }
        }
    }

    /// The two-slot load of an immediate or of a map's address.
    pub(super) fn load_imm64(
        &mut self,
        index: usize,
        dst: Reg,
        kind: u8,
        imm: u64,
    ) -> Result<(), CompileError> {
        let value = self.options.addresses.resolve(kind, imm).ok_or_else(|| {
            let insn = self.body.insns[index];
            let reason =
                format!("`{insn}`: there is no such map, or its kind {kind} of address is not known here");
            CompileError::unsupported(self.body.origin(index) as usize, reason)
        })?;
        let truncated = self.planted(Planted::WideImmediateTruncated);
        self.load_imm(Width::X, gpr(dst), if truncated { value & 0xffff_ffff } else { value });
        Ok(())
    }

    /// `dst = src + imm`; `dst` and `src` can be the stack pointer where `imm` fits 12 bits. Changes the scratch register.
    pub(super) fn add_imm(&mut self, width: Width, dst: Gpr, src: Gpr, imm: i64) {
        let op = if imm < 0 { AddSub::Sub } else { AddSub::Add };
        let magnitude = imm.unsigned_abs();
        if let Some(imm) = add_sub_imm(magnitude) {
            return self.code.add_sub_imm(op, width, dst, src, imm);
        }
        let moved = imm as u64 & width.mask();
        if magnitude < 1 << 24 && !is_one_move(moved, width) {
            let (high, low) = (magnitude as u32 & !0xfff, magnitude as u32 & 0xfff);
            self.code.add_sub_imm(op, width, dst, src, high);
            return self.code.add_sub_imm(op, width, dst, dst, low);
        }
        self.load_imm(width, SCRATCH, moved);
        self.code.add_sub(AddSub::Add, width, dst, src, SCRATCH);
    }

    /// `dst = src op imm`, where `imm` has no bits above `width`. Changes the scratch register.
    pub(super) fn logical_imm(&mut self, op: LogicalImm, width: Width, dst: Gpr, src: Gpr, imm: u64) {
        // An and clears the upper half that its immediate does not have.
        let narrow = matches!(op, LogicalImm::And | LogicalImm::Ands) && imm <= Width::W.mask() >> 1;
        let width = if narrow { Width::W } else { width };
        if encode_bitmask(imm, width).is_some() {
            return self.code.logical_imm(op, width, dst, src, imm);
        }
        self.load_imm(width, SCRATCH, imm);
        let op = match op {
            LogicalImm::And => Logical::And,
            LogicalImm::Orr => Logical::Orr,
            LogicalImm::Eor => Logical::Eor,
            LogicalImm::Ands => Logical::Ands,
        };
        self.code.logical(op, width, dst, src, SCRATCH);
    }

    /// Sets the flags of `src - imm`. Changes the scratch register.
    pub(super) fn compare_imm(&mut self, width: Width, src: Gpr, imm: i32) {
        let op = if imm < 0 { AddSub::Adds } else { AddSub::Subs };
        if let Some(imm) = add_sub_imm(imm.unsigned_abs().into()) {
            return self.code.add_sub_imm(op, width, Gpr::Xzr, src, imm);
        }
        self.load_imm(width, SCRATCH, i64::from(imm) as u64);
        self.code.add_sub(AddSub::Subs, width, Gpr::Xzr, src, SCRATCH);
    }
}

/// How many of the lowest `count` halfwords are `half`.
fn halfwords(value: u64, count: usize, half: u16) -> usize {
    (0..count).filter(|i| (value >> (16 * i)) as u16 == half).count()
}

/// Whether one instruction sets a register to `value`, which has no bits above `width`.
fn is_one_move(value: u64, width: Width) -> bool {
    let count = width.bits() as usize / 16;
    halfwords(value, count, 0).max(halfwords(value, count, 0xffff)) + 1 >= count
        || encode_bitmask(value, width).is_some()
}

/// The immediate as addition and subtraction have it: 12 bits, shifted by none or 12.
fn add_sub_imm(magnitude: u64) -> Option<u32> {
    let fits = magnitude < 1 << 12 || (magnitude < 1 << 24 && magnitude & 0xfff == 0);
    fits.then_some(magnitude as u32)
}
