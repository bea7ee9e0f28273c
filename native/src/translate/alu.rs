// SPDX-License-Identifier: GPL-2.0-or-later
//! Arithmetic, logic, moves and byte orders.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I16, I32, I64};
use cranelift_codegen::ir::{InstBuilder, Value};
use kop_ops::ebpf::{AluOp, EndKind, Operand, Reg, Width};

use super::{Translator, type_of};
use crate::demand::is_narrow;
use crate::planted::Planted;

impl Translator<'_> {
    /// `dst = dst op src`.
    pub(super) fn alu(
        &mut self,
        index: usize,
        frame: u32,
        (op, width): (AluOp, Width),
        (dst, src): (Reg, Operand),
    ) {
        // The lower half of the result is that of lower halves.
        let width = if is_narrow(op, src) && !self.upper(index) { Width::W32 } else { width };
        if op.is_move() {
            let moved = self.moved(frame, op, width, src);
            return self.set_width(frame, width, dst, moved);
        }
        if matches!(op, AluOp::Div | AluOp::Mod | AluOp::SDiv | AluOp::SMod) {
            return self.division(index, frame, (op, width), (dst, src));
        }
        let a = self.get_width(frame, width, dst);
        let b = self.operand(frame, width, src);
        let ins = self.builder.ins();
        let result = match op {
            AluOp::Add => ins.iadd(a, b),
            AluOp::Sub => ins.isub(a, b),
            AluOp::Mul => ins.imul(a, b),
            AluOp::Or => ins.bor(a, b),
            AluOp::And => ins.band(a, b),
            AluOp::Xor => ins.bxor(a, b),
            // Amounts are taken modulo the width.
            AluOp::Lsh => ins.ishl(a, b),
            AluOp::Rsh => ins.ushr(a, b),
            _ if self.planted == Some(Planted::ArithmeticShift) => ins.ushr(a, b),
            _ => ins.sshr(a, b),
        };
        self.set_width(frame, width, dst, result);
    }

    /// What a move makes of its source, on the width.
    fn moved(&mut self, frame: u32, op: AluOp, width: Width, src: Operand) -> Value {
        let from = match op {
            AluOp::MovSx8 => I8,
            AluOp::MovSx16 => I16,
            AluOp::MovSx32 => I32,
            _ => return self.operand(frame, width, src),
        };
        let value = self.operand(frame, Width::W32, src);
        let low = if from == I32 { value } else { self.builder.ins().ireduce(from, value) };
        if self.planted(Planted::SignedMove) {
            return self.builder.ins().uextend(type_of(width), low);
        }
        self.builder.ins().sextend(type_of(width), low)
    }

    /// A division or a remainder; on 32 bits where both operands fit.
    fn division(
        &mut self,
        index: usize,
        frame: u32,
        (op, width): (AluOp, Width),
        (dst, src): (Reg, Operand),
    ) {
        let [left, right] = self.known.facts.divisions[&index];
        let fits = left.is_word() && right.is_word() && matches!(op, AluOp::Div | AluOp::Mod);
        let narrow = width == Width::W64 && (fits || self.planted(Planted::NarrowDivision));
        let worked = if narrow { Width::W32 } else { width };
        let right = if width == Width::W32 { right.word() } else { right };
        let a = self.get_width(frame, worked, dst);
        let b = self.operand(frame, worked, src);
        let result = match op {
            _ if right.low > 0 && matches!(op, AluOp::Div) => self.builder.ins().udiv(a, b),
            _ if right.low > 0 && matches!(op, AluOp::Mod) => self.builder.ins().urem(a, b),
            AluOp::Div | AluOp::Mod => self.unsigned(op, a, b),
            _ => self.signed(op, a, b),
        };
        self.set_width(frame, worked, dst, result);
    }

    /// An unsigned division by anything.
    fn unsigned(&mut self, op: AluOp, a: Value, b: Value) -> Value {
        let by_zero = self.builder.ins().icmp_imm_u(IntCC::Equal, b, 0);
        let one = self.one(b);
        let divisor = self.builder.ins().select(by_zero, one, b);
        if op == AluOp::Mod {
            let rest = self.builder.ins().urem(a, divisor);
            if self.planted(Planted::RemainderByZero) {
                return rest;
            }
            return self.builder.ins().select(by_zero, a, rest);
        }
        let quotient = self.builder.ins().udiv(a, divisor);
        if self.planted(Planted::DivideByZero) {
            return quotient;
        }
        let zero = self.zero(b);
        self.builder.ins().select(by_zero, zero, quotient)
    }

    /// A signed division by anything: the native one refuses zero and the least number by minus one.
    fn signed(&mut self, op: AluOp, a: Value, b: Value) -> Value {
        let by_zero = self.builder.ins().icmp_imm_u(IntCC::Equal, b, 0);
        let by_minus_one = self.builder.ins().icmp_imm_s(IntCC::Equal, b, -1);
        let either = self.builder.ins().bor(by_zero, by_minus_one);
        let one = self.one(b);
        let divisor = self.builder.ins().select(either, one, b);
        if op == AluOp::SMod {
            // By one and by minus one, nothing is left.
            let rest = self.builder.ins().srem(a, divisor);
            return self.builder.ins().select(by_zero, a, rest);
        }
        let quotient = self.builder.ins().sdiv(a, divisor);
        let negated = self.builder.ins().ineg(a);
        let zero = self.zero(b);
        let quotient = self.builder.ins().select(by_zero, zero, quotient);
        if self.planted(Planted::DivideByMinusOne) {
            return quotient;
        }
        self.builder.ins().select(by_minus_one, negated, quotient)
    }

    fn zero(&mut self, like: Value) -> Value {
        let ty = self.builder.func.dfg.value_type(like);
        self.builder.ins().iconst(ty, 0)
    }

    fn one(&mut self, like: Value) -> Value {
        let ty = self.builder.func.dfg.value_type(like);
        self.builder.ins().iconst(ty, 1)
    }

    /// `dst = -dst`.
    pub(super) fn negate(&mut self, index: usize, frame: u32, width: Width, dst: Reg) {
        let width = if self.upper(index) { width } else { Width::W32 };
        let value = self.get_width(frame, width, dst);
        let negated = self.builder.ins().ineg(value);
        self.set_width(frame, width, dst, negated);
    }

    /// A byte order conversion; both architectures are little-endian.
    pub(super) fn byte_order(&mut self, frame: u32, kind: EndKind, bits: u8, dst: Reg) {
        let width = if bits == 64 { Width::W64 } else { Width::W32 };
        let value = self.get_width(frame, width, dst);
        let low = if bits == 16 { self.builder.ins().ireduce(I16, value) } else { value };
        let swaps = kind != EndKind::ToLe && !(bits == 16 && self.planted(Planted::SwapMissing));
        let swapped = if swaps { self.builder.ins().bswap(low) } else { low };
        let wide = if bits == 64 { swapped } else { self.builder.ins().uextend(I64, swapped) };
        self.set(frame, dst, wide);
    }
}
