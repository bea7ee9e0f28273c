// SPDX-License-Identifier: GPL-2.0-or-later
//! Arithmetic, logic, moves, shifts and byte orders. Instructions here have two sources and a destination, so that a move
//! before an operation is part of it.

use kop_ops::aarch64::{
    AddSub, BitfieldOp, Gpr, Logical, LogicalImm, MulAddOp, OneSourceOp, TwoSourceOp, Width,
};
use kop_ops::ebpf::{self, AluOp as Op, EndKind, Insn, Operand, Reg};

use super::{Compiler, SCRATCH, gpr, width_of};
use crate::planted::Planted;

/// A source operand in native terms.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Reg(Gpr),
    Imm(i32),
}

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// `dst = dst op src`, and instructions after it that become one with it; returns how many that was.
    pub(super) fn alu(&mut self, index: usize, op: Op, width: ebpf::Width, dst: Reg, src: Operand) -> usize {
        if matches!(op, Op::Mov | Op::Add | Op::Sub | Op::Lsh) {
            let done = self.add_up(index, width, dst);
            if done > 0 {
                return done;
            }
        }
        let fused = match (op, src) {
            (Op::Mov, Operand::Reg(src)) if src != dst => self.mov_and(index, width, dst, src),
            (Op::Lsh | Op::Rsh, Operand::Imm(amount)) => self.shift_and(index, op, width, dst, amount),
            _ => false,
        };
        if fused {
            return 2;
        }
        let src = match src {
            Operand::Reg(src) => Source::Reg(gpr(src)),
            Operand::Imm(imm) => Source::Imm(imm),
        };
        self.operation(op, width_of(width), gpr(dst), gpr(dst), src);
        1
    }

    /// `dst = from op src`.
    fn operation(&mut self, op: Op, width: Width, dst: Gpr, from: Gpr, src: Source) {
        let src = match src {
            Source::Imm(imm) if imm < 0 && self.zero_extends(op, width) => {
                self.load_imm(Width::X, SCRATCH, u64::from(imm as u32));
                Source::Reg(SCRATCH)
            }
            src => src,
        };
        match op {
            Op::Mov => self.mov(width, dst, src),
            Op::Add | Op::Sub => self.add_sub(op, width, dst, from, src),
            Op::Or | Op::And | Op::Xor => self.logical(op, width, dst, from, src),
            Op::Mul => self.multiply(width, dst, from, src),
            Op::Lsh | Op::Rsh | Op::Arsh => self.shift(op, width, dst, from, src),
            Op::Div | Op::SDiv | Op::Mod | Op::SMod => self.divide(op, width, dst, from, src),
            Op::MovSx8 => self.sign_extend(8, width, dst, src),
            Op::MovSx16 => self.sign_extend(16, width, dst, src),
            Op::MovSx32 => self.sign_extend(32, width, dst, src),
        }
    }

    /// Whether the mistake of zero-extending an immediate is to be made.
    fn zero_extends(&self, op: Op, width: Width) -> bool {
        let shifts = matches!(op, Op::Lsh | Op::Rsh | Op::Arsh);
        width == Width::X && !shifts && self.planted(Planted::ImmediateZeroExtended)
    }

    /// `dst = src` where the value is there already but for the upper half, which a 32-bit operation clears.
    pub(super) fn keep(&mut self, width: Width, dst: Gpr, src: Gpr) {
        let clears = width == Width::W && !(dst == src && self.planted(Planted::MissingZeroExtension));
        if dst != src || clears {
            self.code.mov(width, dst, src);
        }
    }

    fn mov(&mut self, width: Width, dst: Gpr, src: Source) {
        match src {
            Source::Reg(src) => self.keep(width, dst, src),
            Source::Imm(imm) => self.load_imm(width, dst, i64::from(imm) as u64),
        }
    }

    fn add_sub(&mut self, op: Op, width: Width, dst: Gpr, from: Gpr, src: Source) {
        match src {
            Source::Reg(src) => {
                let op = if op == Op::Add { AddSub::Add } else { AddSub::Sub };
                self.code.add_sub(op, width, dst, from, src);
            }
            Source::Imm(0) => self.keep(width, dst, from),
            Source::Imm(imm) => {
                let imm = i64::from(imm);
                self.add_imm(width, dst, from, if op == Op::Add { imm } else { -imm });
            }
        }
    }

    fn logical(&mut self, op: Op, width: Width, dst: Gpr, from: Gpr, src: Source) {
        let (by_reg, by_imm) = match op {
            Op::Or => (Logical::Orr, LogicalImm::Orr),
            Op::And => (Logical::And, LogicalImm::And),
            _ => (Logical::Eor, LogicalImm::Eor),
        };
        match (op, src) {
            (_, Source::Reg(src)) => self.code.logical(by_reg, width, dst, from, src),
            (Op::And, Source::Imm(0)) => self.load_imm(width, dst, 0),
            (_, Source::Imm(0)) | (Op::And, Source::Imm(-1)) => self.keep(width, dst, from),
            (Op::Or, Source::Imm(-1)) => self.load_imm(width, dst, u64::MAX),
            (Op::Xor, Source::Imm(-1)) => self.code.logical(Logical::Orn, width, dst, Gpr::Xzr, from),
            (_, Source::Imm(imm)) => {
                self.logical_imm(by_imm, width, dst, from, i64::from(imm) as u64 & width.mask());
            }
        }
    }

    fn multiply(&mut self, width: Width, dst: Gpr, from: Gpr, src: Source) {
        let imm = match src {
            Source::Reg(src) => return self.product(width, dst, from, src),
            Source::Imm(imm) => imm,
        };
        let power = |imm: i32| (imm > 1 && imm & (imm - 1) == 0).then(|| imm.trailing_zeros() as u8);
        if imm == 0 {
            self.load_imm(width, dst, 0);
        } else if imm == 1 {
            self.keep(width, dst, from);
        } else if imm == -1 {
            self.negate(width, dst, from);
        } else if let Some(amount) = power(imm) {
            self.shift_by(Op::Lsh, width, dst, from, amount);
        } else if let Some(amount) = imm.checked_sub(1).and_then(power) {
            self.code.add_sub_shifted(AddSub::Add, width, dst, from, from, amount);
        } else {
            self.load_imm(width, SCRATCH, i64::from(imm) as u64);
            self.product(width, dst, from, SCRATCH);
        }
    }

    fn product(&mut self, width: Width, dst: Gpr, from: Gpr, src: Gpr) {
        self.code.mul_add(MulAddOp::Madd, width, dst, from, src, Gpr::Xzr);
    }

    fn sign_extend(&mut self, bits: u8, width: Width, dst: Gpr, src: Source) {
        let Source::Reg(src) = src else {
            unreachable!("a sign-extending move takes a register");
        };
        let op = if self.planted(Planted::SignedMove) { BitfieldOp::Ubfm } else { BitfieldOp::Sbfm };
        self.code.bitfield(op, width, dst, src, 0, bits - 1);
    }

    fn shift(&mut self, op: Op, width: Width, dst: Gpr, from: Gpr, src: Source) {
        let width = if op == Op::Arsh && self.narrows(src) { Width::W } else { width };
        let src = match src {
            Source::Reg(_) if self.planted(Planted::ShiftAmountRegister) => from,
            Source::Reg(src) => src,
            Source::Imm(imm) if imm as u32 >= width.bits() && self.planted(Planted::ShiftNotMasked) => {
                return self.load_imm(Width::X, dst, 0);
            }
            Source::Imm(imm) => return self.shift_by(op, width, dst, from, masked(imm, width)),
        };
        let op = match op {
            Op::Lsh => TwoSourceOp::Lslv,
            Op::Rsh => TwoSourceOp::Lsrv,
            _ => TwoSourceOp::Asrv,
        };
        self.code.two_source(op, width, dst, from, src);
    }

    /// Whether the mistake of an arithmetic shift on 32 bits is to be made.
    fn narrows(&self, src: Source) -> bool {
        !matches!(src, Source::Imm(32..)) && self.planted(Planted::ArithmeticShiftNarrow)
    }

    /// A shift by an amount below the width.
    pub(super) fn shift_by(&mut self, op: Op, width: Width, dst: Gpr, from: Gpr, amount: u8) {
        let bits = width.bits() as u8;
        match op {
            _ if amount == 0 && dst == from && self.planted(Planted::ShiftByZeroKeepsUpper) => {}
            _ if amount == 0 => self.keep(width, dst, from),
            Op::Lsh => {
                self.code.bitfield(BitfieldOp::Ubfm, width, dst, from, bits - amount, bits - 1 - amount);
            }
            Op::Rsh => self.code.bitfield(BitfieldOp::Ubfm, width, dst, from, amount, bits - 1),
            _ => self.code.bitfield(BitfieldOp::Sbfm, width, dst, from, amount, bits - 1),
        }
    }

    /// `dst = -src`.
    pub(super) fn negate(&mut self, width: Width, dst: Gpr, src: Gpr) {
        self.code.add_sub(AddSub::Sub, width, dst, Gpr::Xzr, src);
    }

    /// A byte order conversion; this CPU is little-endian.
    pub(super) fn byte_order(&mut self, kind: EndKind, bits: u8, dst: Gpr) {
        let swaps = kind != EndKind::ToLe;
        match bits {
            16 => {
                if swaps {
                    self.code.one_source(OneSourceOp::Rev16, Width::W, dst, dst);
                }
                if !(swaps && self.planted(Planted::SwapUpper)) {
                    self.code.bitfield(BitfieldOp::Ubfm, Width::W, dst, dst, 0, 15);
                }
            }
            32 if swaps => self.code.one_source(OneSourceOp::Rev, Width::W, dst, dst),
            32 => self.code.mov(Width::W, dst, dst),
            _ if swaps => self.code.one_source(OneSourceOp::Rev, Width::X, dst, dst),
            _ => {}
        }
    }

    /// `dst = src` with the operation on `dst` after it, where that is as wide or narrower; whether it was.
    fn mov_and(&mut self, index: usize, width: ebpf::Width, dst: Reg, src: Reg) -> bool {
        let (op, wide, second) = match self.next(index) {
            Some(Insn::Alu { op, width, dst: changed, src }) if changed == dst && !op.is_move() => {
                (op, width, src)
            }
            _ => return false,
        };
        if wide > width {
            return false;
        }
        let second = match second {
            Operand::Reg(second) if second == dst => Source::Reg(gpr(src)),
            Operand::Reg(second) => Source::Reg(gpr(second)),
            Operand::Imm(imm) => Source::Imm(imm),
        };
        self.operation(op, width_of(wide), gpr(dst), gpr(src), second);
        true
    }

    /// A shift by an immediate and the one back, or the mask, after it as one bit field; whether it was.
    fn shift_and(&mut self, index: usize, op: Op, width: ebpf::Width, dst: Reg, amount: i32) -> bool {
        let (second, imm) = match self.next(index) {
            Some(Insn::Alu { op, width: same, dst: changed, src: Operand::Imm(imm) })
                if changed == dst && same == width && !self.planted(Planted::ShiftNotMasked) =>
            {
                (op, imm)
            }
            _ => return false,
        };
        let (width, dst) = (width_of(width), gpr(dst));
        let bits = width.bits() as u8;
        let amount = masked(amount, width);
        let (op, immr, imms) = match (op, second) {
            (Op::Lsh, Op::Rsh | Op::Arsh) => {
                let back = masked(imm, width);
                let op = if second == Op::Rsh { BitfieldOp::Ubfm } else { BitfieldOp::Sbfm };
                (op, (bits + back - amount) % bits, bits - 1 - amount)
            }
            (Op::Rsh, Op::And) if imm > 0 && imm & imm.wrapping_add(1) == 0 => {
                let kept = (32 - imm.leading_zeros() as u8).min(bits - amount);
                (BitfieldOp::Ubfm, amount, amount + kept - 1)
            }
            _ => return false,
        };
        self.code.bitfield(op, width, dst, dst, immr, imms);
        true
    }
}

/// The amount of a shift, modulo the width.
fn masked(amount: i32, width: Width) -> u8 {
    (amount as u32 % width.bits()) as u8
}
