// SPDX-License-Identifier: GPL-2.0-or-later
//! Arithmetic, logic, moves, shifts and byte orders.

use kop_ops::Feature;
use kop_ops::ebpf::{AluOp as Op, EndKind, Insn, Operand, Reg, Width};
use kop_ops::x86_64::{AluOp, Amount, BmiRmvOp, Gpr, Mem, Scale, ShiftOp, Size, UnaryOp};

use super::{Compiler, gpr, size_of};
use crate::planted::Planted;

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// `dst = dst op src`, and instructions after it that become one with it; returns how many that was.
    pub(super) fn alu(&mut self, index: usize, op: Op, width: Width, dst: Reg, src: Operand) -> usize {
        let size = size_of(width);
        if matches!(op, Op::Mov | Op::Add | Op::Sub | Op::Lsh) {
            let done = self.add_up(index, width, dst);
            if done > 0 {
                return done;
            }
        }
        match op {
            Op::Mov => return self.mov(index, size, dst, src),
            Op::Add | Op::Sub | Op::Or | Op::And | Op::Xor => match src {
                Operand::Reg(src) => self.simple(op, size, gpr(dst), gpr(src)),
                Operand::Imm(imm) => self.simple_imm(op, size, gpr(dst), imm),
            },
            Op::Mul => match src {
                Operand::Reg(src) => self.code.imul(size, gpr(dst), gpr(src)),
                Operand::Imm(imm) => self.multiply_imm(size, gpr(dst), imm),
            },
            Op::Lsh | Op::Rsh | Op::Arsh => match src {
                Operand::Reg(src) => self.shift(op, size, gpr(dst), gpr(src)),
                Operand::Imm(imm) => return self.shift_imm(index, op, width, dst, imm),
            },
            Op::Div | Op::SDiv | Op::Mod | Op::SMod => self.divide(op, width, dst, src),
            Op::MovSx8 | Op::MovSx16 | Op::MovSx32 => {
                let src = src.reg().expect("a sign-extending move takes a register");
                self.sign_extend(op, size, gpr(dst), gpr(src));
            }
        }
        1
    }

    /// Makes a 32-bit result that is there already one of 64.
    pub(super) fn zero_extend(&mut self, size: Size, dst: Gpr) {
        if size == Size::B4 && !self.planted(Planted::MissingZeroExtension) {
            self.code.mov(Size::B4, dst, dst);
        }
    }

    fn simple(&mut self, op: Op, size: Size, dst: Gpr, src: Gpr) {
        // Clears without a dependency, and without a prefix.
        let clears = dst == src && matches!(op, Op::Sub | Op::Xor);
        self.code.alu(native(op), if clears { Size::B4 } else { size }, dst, src);
    }

    fn simple_imm(&mut self, op: Op, size: Size, dst: Gpr, imm: i32) {
        if size == Size::B8 && imm < 0 && self.planted(Planted::ImmediateZeroExtended) {
            self.load_imm(Gpr::R11, u64::from(imm as u32));
            return self.simple(op, size, dst, Gpr::R11);
        }
        match (op, imm) {
            (Op::And, 0) => self.load_imm(dst, 0),
            (_, 0) => self.zero_extend(size, dst),
            (Op::Add, 1) | (Op::Sub, -1) => self.code.unary(UnaryOp::Inc, size, dst),
            (Op::Sub, 1) | (Op::Add, -1) => self.code.unary(UnaryOp::Dec, size, dst),
            // The negated immediate is a byte.
            (Op::Add, 128) => self.code.alu(AluOp::Sub, size, dst, -128),
            (Op::Sub, 128) => self.code.alu(AluOp::Add, size, dst, -128),
            (Op::Xor, -1) => self.code.unary(UnaryOp::Not, size, dst),
            (Op::And, -1) => self.zero_extend(size, dst),
            (Op::And, 0xff) => self.code.movzx(Size::B4, dst, Size::B1, dst),
            (Op::And, 0xffff) => self.code.movzx(Size::B4, dst, Size::B2, dst),
            // The upper half is zero either way.
            (Op::And, 1..) => self.code.alu(AluOp::And, Size::B4, dst, imm),
            _ => self.code.alu(native(op), size, dst, imm),
        }
    }

    fn multiply_imm(&mut self, size: Size, dst: Gpr, imm: i32) {
        if imm < 0 && size == Size::B8 && self.planted(Planted::ImmediateZeroExtended) {
            self.load_imm(Gpr::R11, u64::from(imm as u32));
            return self.code.imul(size, dst, Gpr::R11);
        }
        let times = |scale| Mem::at(dst, 0).index(dst, scale);
        match imm {
            0 => self.load_imm(dst, 0),
            1 => self.zero_extend(size, dst),
            -1 => self.code.unary(UnaryOp::Neg, size, dst),
            3 => self.code.lea(size, dst, times(Scale::S2)),
            5 => self.code.lea(size, dst, times(Scale::S4)),
            9 => self.code.lea(size, dst, times(Scale::S8)),
            2.. if imm & (imm - 1) == 0 => {
                self.code.shift(ShiftOp::Shl, size, dst, imm.trailing_zeros() as u8);
            }
            _ => self.code.imul_imm(size, dst, dst, imm),
        }
    }

    fn mov(&mut self, index: usize, size: Size, dst: Reg, src: Operand) -> usize {
        let src = match src {
            Operand::Reg(src) => src,
            Operand::Imm(imm) => {
                let extended = if size == Size::B8 && !self.planted(Planted::ImmediateZeroExtended) {
                    i64::from(imm) as u64
                } else {
                    u64::from(imm as u32)
                };
                self.load_imm(gpr(dst), extended);
                return 1;
            }
        };
        if src == dst {
            self.zero_extend(size, gpr(dst));
            return 1;
        }
        if let Some(next) = self.next(index)
            && self.mov_and(size, dst, src, next)
        {
            return 2;
        }
        self.code.mov(size, gpr(dst), gpr(src));
        1
    }

    /// `dst = src` and the instruction after it as one, where there is one.
    fn mov_and(&mut self, size: Size, dst: Reg, src: Reg, next: Insn) -> bool {
        let Insn::Alu { op, width, dst: changed, src: operand } = next else {
            return false;
        };
        if changed != dst {
            return false;
        }
        let (to, from) = (gpr(dst), gpr(src));
        if (op, width, operand) == (Op::Mov, Width::W32, Operand::Reg(dst)) {
            self.code.mov(Size::B4, to, from);
            return true;
        }
        if size_of(width) != size {
            return false;
        }
        match (op, operand) {
            // Other sums are [`Compiler::add_up`]'s.
            (Op::Add, Operand::Reg(other)) if other == dst => {
                self.code.lea(size, to, Mem::at(from, 0).index(from, Scale::S1));
            }
            (Op::And, Operand::Imm(0xff)) => self.code.movzx(Size::B4, to, Size::B1, from),
            (Op::And, Operand::Imm(0xffff)) => self.code.movzx(Size::B4, to, Size::B2, from),
            (Op::Mul, Operand::Imm(imm)) if imm & (imm.wrapping_sub(1)) != 0 && imm != -1 => {
                self.code.imul_imm(size, to, from, imm);
            }
            (Op::Lsh | Op::Rsh | Op::Arsh, Operand::Reg(amount))
                if amount != dst && !self.planted(Planted::ShiftAmountRegister) =>
            {
                if !self.feature(Feature::Bmi2) {
                    return false;
                }
                self.code.bmi_rmv(bmi2(op), size, to, from, gpr(amount));
            }
            _ => return false,
        }
        true
    }

    fn sign_extend(&mut self, op: Op, size: Size, dst: Gpr, src: Gpr) {
        let from = match op {
            Op::MovSx8 => Size::B1,
            Op::MovSx16 => Size::B2,
            _ => Size::B4,
        };
        if !self.planted(Planted::SignedMove) {
            self.code.movsx(size, dst, from, src);
        } else if from == Size::B4 {
            self.code.mov(Size::B4, dst, src);
        } else {
            self.code.movzx(Size::B4, dst, from, src);
        }
    }

    /// A shift by an immediate; two that extend a register become one.
    fn shift_imm(&mut self, index: usize, op: Op, width: Width, dst: Reg, imm: i32) -> usize {
        let size = size_of(width);
        if self.planted(Planted::ShiftNotMasked) && imm as u32 >= width.bits() {
            self.load_imm(gpr(dst), 0);
            return 1;
        }
        let amount = (imm as u32 % width.bits()) as u8;
        if op == Op::Lsh
            && size == Size::B8
            && let Some(next) = self.next(index)
            && self.extend(dst, amount, next)
        {
            return 2;
        }
        if amount == 0 {
            if !(size == Size::B4 && self.planted(Planted::ShiftByZeroKeepsUpper)) {
                self.zero_extend(size, gpr(dst));
            }
            return 1;
        }
        let narrow = op == Op::Arsh && amount < 32 && self.planted(Planted::ArithmeticShiftNarrow);
        self.code.shift(native_shift(op), if narrow { Size::B4 } else { size }, gpr(dst), amount);
        1
    }

    /// A shift left by `amount` and the same shift right, which keep the low bits and extend them.
    fn extend(&mut self, dst: Reg, amount: u8, next: Insn) -> bool {
        let Insn::Alu { op, width: Width::W64, dst: changed, src: Operand::Imm(imm) } = next else {
            return false;
        };
        if changed != dst || imm != i32::from(amount) {
            return false;
        }
        let dst = gpr(dst);
        match (op, amount) {
            (Op::Rsh, 32) => self.code.mov(Size::B4, dst, dst),
            (Op::Rsh, 48) => self.code.movzx(Size::B4, dst, Size::B2, dst),
            (Op::Rsh, 56) => self.code.movzx(Size::B4, dst, Size::B1, dst),
            (Op::Arsh, 32) => self.code.movsx(Size::B8, dst, Size::B4, dst),
            (Op::Arsh, 48) => self.code.movsx(Size::B8, dst, Size::B2, dst),
            (Op::Arsh, 56) => self.code.movsx(Size::B8, dst, Size::B1, dst),
            _ => return false,
        }
        true
    }

    /// A shift by a register: BMI2's, or the one by cl, which is r4.
    fn shift(&mut self, op: Op, size: Size, dst: Gpr, src: Gpr) {
        let src = if self.planted(Planted::ShiftAmountRegister) { dst } else { src };
        let narrow = op == Op::Arsh && self.planted(Planted::ArithmeticShiftNarrow);
        let size = if narrow { Size::B4 } else { size };
        let by_cl = native_shift(op);
        if src == Gpr::Rcx {
            return self.code.shift(by_cl, size, dst, Amount::Cl);
        }
        if self.feature(Feature::Bmi2) {
            return self.code.bmi_rmv(bmi2(op), size, dst, dst, src);
        }
        if dst != Gpr::Rcx && !self.used.has(Reg::R4) {
            self.code.mov(Size::B4, Gpr::Rcx, src);
            return self.code.shift(by_cl, size, dst, Amount::Cl);
        }
        self.code.mov(Size::B8, Gpr::R10, Gpr::Rcx);
        self.code.mov(Size::B4, Gpr::Rcx, src);
        self.code.shift(by_cl, size, if dst == Gpr::Rcx { Gpr::R10 } else { dst }, Amount::Cl);
        self.code.mov(Size::B8, Gpr::Rcx, Gpr::R10);
    }

    /// `dst = -dst`.
    pub(super) fn negate(&mut self, width: Width, dst: Reg) {
        self.code.unary(UnaryOp::Neg, size_of(width), gpr(dst));
    }

    /// A byte order conversion; this host is little-endian.
    pub(super) fn byte_order(&mut self, kind: EndKind, bits: u8, dst: Gpr) {
        let swaps = kind != EndKind::ToLe;
        match bits {
            16 => {
                if swaps {
                    self.code.shift(ShiftOp::Rol, Size::B2, dst, 8);
                }
                if !(swaps && self.planted(Planted::SwapUpper)) {
                    self.code.movzx(Size::B4, dst, Size::B2, dst);
                }
            }
            32 if swaps => self.code.bswap(Size::B4, dst),
            32 => self.code.mov(Size::B4, dst, dst),
            _ if swaps => self.code.bswap(Size::B8, dst),
            _ => {}
        }
    }
}

fn native(op: Op) -> AluOp {
    match op {
        Op::Add => AluOp::Add,
        Op::Sub => AluOp::Sub,
        Op::Or => AluOp::Or,
        Op::And => AluOp::And,
        _ => AluOp::Xor,
    }
}

fn native_shift(op: Op) -> ShiftOp {
    match op {
        Op::Lsh => ShiftOp::Shl,
        Op::Rsh => ShiftOp::Shr,
        _ => ShiftOp::Sar,
    }
}

fn bmi2(op: Op) -> BmiRmvOp {
    match op {
        Op::Lsh => BmiRmvOp::Shlx,
        Op::Rsh => BmiRmvOp::Shrx,
        _ => BmiRmvOp::Sarx,
    }
}
