// SPDX-License-Identifier: GPL-2.0-or-later
//! Loads, stores and atomic operations.

use cranelift_codegen::ir::types::{I8, I16, I32, I64};
use cranelift_codegen::ir::{AtomicRmwOp, InstBuilder, MemFlagsData, Value};
use kop_ops::ebpf::{AtomicOp, Operand, Reg, Size, Width};

use super::{Translator, integer};
use crate::BackEnd;
use crate::flat::REGISTERS;
use crate::flow::Reach;
use crate::planted::Planted;
use crate::slots::Slot;
use crate::state::bytes;

impl Translator<'_> {
    /// The address that a register and an offset are, as a value and what is added to it.
    pub(super) fn address(&mut self, frame: u32, (base, off): (Reg, i16)) -> (Value, i32) {
        match self.known.flat.register(frame, base) {
            Some(_) => (self.get(frame, base), off.into()),
            None => (self.frame, self.frame_offset(frame) + i32::from(off)),
        }
    }

    /// The region that an access is in.
    pub(super) fn region(&self, index: usize) -> Option<usize> {
        match self.known.facts.reaches[&index] {
            Reach::Stack(_) => Some(0),
            Reach::Elsewhere => Some(1),
            Reach::Anything => None,
        }
    }

    /// A load.
    pub(super) fn load(
        &mut self,
        index: usize,
        frame: u32,
        (size, signed): (Size, bool),
        dst: Reg,
        place: (Reg, i16),
    ) {
        let signed = signed && !self.planted(Planted::SignedLoad);
        let to = self.place(frame, dst);
        let upper = self.upper(index);
        if let Some((number, slot)) = self.known.slots.of(index) {
            if size == Size::B8 {
                return self.copy(to, REGISTERS + number, upper);
            }
            let value = self.load_slot(index, number, slot, size);
            let wide = match signed {
                true => self.builder.ins().sextend(I64, value),
                false => self.builder.ins().uextend(I64, value),
            };
            return self.put_wide(to, wide);
        }
        let (address, off) = self.address(frame, place);
        let flags = self.flags(self.region(index));
        let ins = self.builder.ins();
        if !upper && !signed {
            let value = match size {
                Size::B1 => ins.uload8(I32, flags, address, off),
                Size::B2 => ins.uload16(I32, flags, address, off),
                Size::B4 | Size::B8 => ins.load(I32, flags, address, off),
            };
            return self.put_narrow(to, value);
        }
        let value = match (size, signed) {
            (Size::B1, false) => ins.uload8(I64, flags, address, off),
            (Size::B1, true) => ins.sload8(I64, flags, address, off),
            (Size::B2, false) => ins.uload16(I64, flags, address, off),
            (Size::B2, true) => ins.sload16(I64, flags, address, off),
            (Size::B4, false) => ins.uload32(flags, address, off),
            (Size::B4, true) => ins.sload32(flags, address, off),
            (Size::B8, _) => ins.load(I64, flags, address, off),
        };
        self.put_wide(to, value);
    }

    /// How far into a slot an access is, in bits.
    fn shift(&self, index: usize, slot: Slot) -> i64 {
        let Reach::Stack(touch) = self.known.facts.reaches[&index] else {
            unreachable!("slots are of the stack")
        };
        8 * i64::from(touch.low - slot.at)
    }

    pub(super) fn load_slot(&mut self, index: usize, number: usize, slot: Slot, size: Size) -> Value {
        let value = self.wide(REGISTERS + number);
        if bytes(size) == slot.bytes {
            return value;
        }
        let shift = if self.planted(Planted::SlotPart) { 0 } else { self.shift(index, slot) };
        let shifted = if shift == 0 { value } else { self.builder.ins().ushr_imm_u(value, shift) };
        self.builder.ins().ireduce(integer(bytes(size)), shifted)
    }

    /// A store.
    pub(super) fn store(&mut self, index: usize, frame: u32, size: Size, place: (Reg, i16), src: Operand) {
        if let Some((number, slot)) = self.known.slots.of(index) {
            return self.store_slot(index, frame, (number, slot), size, src);
        }
        let width = if size == Size::B8 { Width::W64 } else { Width::W32 };
        let value = self.operand(frame, width, src);
        let (address, off) = self.address(frame, place);
        let flags = self.flags(self.region(index));
        self.store_at(flags, size, value, address, off);
    }

    /// Stores a value of 64 bits, or one of 32 for fewer bytes.
    fn store_at(&mut self, flags: MemFlagsData, size: Size, value: Value, address: Value, off: i32) {
        let ins = self.builder.ins();
        match size {
            Size::B1 => ins.istore8(flags, value, address, off),
            Size::B2 => ins.istore16(flags, value, address, off),
            Size::B4 | Size::B8 => ins.store(flags, value, address, off),
        };
    }

    fn store_slot(
        &mut self,
        index: usize,
        frame: u32,
        (number, slot): (usize, Slot),
        size: Size,
        src: Operand,
    ) {
        let to = REGISTERS + number;
        if size == Size::B8 {
            let from = src.reg().and_then(|src| self.known.flat.register(frame, src));
            return match from {
                Some(from) => self.copy(to, from, self.upper(index)),
                None => {
                    let value = self.operand(frame, Width::W64, src);
                    self.put_wide(to, value);
                }
            };
        }
        let value = self.operand(frame, Width::W32, src);
        let narrow = match size {
            Size::B1 => self.builder.ins().ireduce(I8, value),
            Size::B2 => self.builder.ins().ireduce(I16, value),
            Size::B4 | Size::B8 => value,
        };
        if bytes(size) == slot.bytes {
            return self.put_wide(to, narrow);
        }
        let ty = integer(slot.bytes);
        let shift = self.shift(index, slot);
        let whole = self.wide(to);
        let wide = self.builder.ins().uextend(ty, narrow);
        let placed = if shift == 0 { wide } else { self.builder.ins().ishl_imm_u(wide, shift) };
        if self.planted(Planted::SlotPartAlone) {
            return self.put_wide(to, placed);
        }
        let mask = (u64::MAX >> (64 - size.bits())) << shift;
        let keep = !mask & (u64::MAX >> (64 - ty.bits()));
        let keep = self.builder.ins().iconst(ty, keep as i64);
        let kept = self.builder.ins().band(whole, keep);
        let both = self.builder.ins().bor(kept, placed);
        self.put_wide(to, both);
    }

    /// An atomic operation.
    pub(super) fn atomic(
        &mut self,
        index: usize,
        frame: u32,
        (op, size): (AtomicOp, Size),
        place: (Reg, i16),
        src: Reg,
    ) {
        let (base, off) = self.address(frame, place);
        // No region: other programs see it.
        let flags = self.flags(None).with_aligned();
        let width = if size == Size::B8 { Width::W64 } else { Width::W32 };
        let ty = integer(bytes(size));
        if op == AtomicOp::LoadAcquire {
            let address = self.builder.ins().iadd_imm_s(base, i64::from(off));
            let value = self.builder.ins().atomic_load(ty, flags, address);
            let wide = if ty == I64 { value } else { self.builder.ins().uextend(I64, value) };
            return self.set(frame, src, wide);
        }
        let source = self.get_width(frame, width, src);
        // Cranelift leaves stores in their order, which is enough on x86-64.
        if op == AtomicOp::StoreRelease && self.is_x86() && self.options.back_end == BackEnd::Cranelift {
            let flags = self.flags(self.region(index));
            return self.store_at(flags, size, source, base, off);
        }
        let address = self.builder.ins().iadd_imm_s(base, i64::from(off));
        let value = if ty.bits() < 32 { self.builder.ins().ireduce(ty, source) } else { source };
        let old = match op {
            AtomicOp::StoreRelease => {
                self.builder.ins().atomic_store(flags, value, address);
                return;
            }
            AtomicOp::CmpXchg => {
                let expected = self.get_width(frame, width, Reg::R0);
                self.builder.ins().atomic_cas(flags, address, expected, value)
            }
            _ => {
                let rmw = match op {
                    AtomicOp::Add | AtomicOp::FetchAdd => AtomicRmwOp::Add,
                    AtomicOp::Or | AtomicOp::FetchOr => AtomicRmwOp::Or,
                    AtomicOp::And | AtomicOp::FetchAnd => AtomicRmwOp::And,
                    AtomicOp::Xor | AtomicOp::FetchXor => AtomicRmwOp::Xor,
                    _ => AtomicRmwOp::Xchg,
                };
                self.builder.ins().atomic_rmw(ty, flags, rmw, address, value)
            }
        };
        let old = if ty == I64 { old } else { self.builder.ins().uextend(I64, old) };
        match op {
            AtomicOp::Add | AtomicOp::Or | AtomicOp::And | AtomicOp::Xor => {}
            AtomicOp::CmpXchg => self.set(frame, Reg::R0, old),
            _ if self.planted(Planted::FetchResult) => {}
            _ => self.set(frame, src, old),
        }
    }
}
