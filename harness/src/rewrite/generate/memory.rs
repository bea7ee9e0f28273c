// SPDX-License-Identifier: GPL-2.0-or-later
//! Statements that load and store.

use kop_ops::choices::Choices;
use kop_ops::ebpf::{AluOp, Insn, Operand, Reg, Size};

use super::{DATA, Writer};

impl<C: Choices> Writer<'_, C> {
    /// The bytes of a number, from any of them on, to the data or the stack; one that is shifted too far now and then.
    pub(super) fn taken_apart(&mut self) {
        let (x, part) = (self.register(), self.register());
        let count = *self.choices.pick(&[2, 4, 8_i16]);
        let (base, off) = match self.choices.one_in(2) {
            true => (Reg::R1, self.choices.below(DATA - 8) as i16),
            false => (Reg::R10, -8 * 4 + self.choices.below(24) as i16),
        };
        let (is_big, start) = (self.choices.one_in(2), self.choices.below(8) as i16);
        let wrong = if self.choices.one_in(8) { 4 } else { 0 };
        for at in (0..count).map(|at| (at + start) % count) {
            let rank = if is_big { count - 1 - at } else { at };
            let parts = [
                Insn::mov64(part, x),
                Insn::alu64(AluOp::Rsh, part, (8 * i32::from(rank) + wrong) % 64),
                Insn::store(Size::B1, base, off + at, part),
            ];
            // Between the bytes of longer numbers, too much would come.
            if count == 2 { self.all(parts) } else { self.insns.extend(parts) }
        }
    }

    /// Adjacent bytes of the data or the stack that become the same, in any order; one of the stores differs now and then.
    pub(super) fn filled(&mut self) {
        let x = self.register();
        let start = 8 * self.choices.below(3) as i16 + if self.choices.one_in(4) { 3 } else { 0 };
        let (base, mut off, end) =
            if self.choices.one_in(2) { (Reg::R1, start, DATA as i16) } else { (Reg::R10, start - 8 * 4, 0) };
        let is_zero = !self.choices.one_in(3);
        let of_number = self.choices.one_in(2);
        if is_zero && !of_number {
            self.insns.push(Insn::mov64(x, 0));
        }
        let number = if is_zero { 0 } else { -1 };
        let src = if of_number { Operand::Imm(number) } else { Operand::Reg(x) };
        let sizes: &[Size] = if is_zero { &[Size::B1, Size::B4, Size::B8, Size::B8] } else { &[Size::B1] };
        let mut stores = Vec::new();
        for _ in 0..3 + self.choices.below(6) {
            let size = *self.choices.pick(sizes);
            if off + size.bytes() as i16 > end {
                break;
            }
            let src = if self.choices.one_in(40) { Operand::Imm(5) } else { src };
            stores.push(Insn::Store { size, base, off, src });
            off += size.bytes() as i16;
        }
        let first = self.choices.below(stores.len().max(1) as u64) as usize;
        stores.rotate_left(first);
        if self.choices.one_in(2) {
            stores.reverse();
        }
        let at = self.choices.below(stores.len() as u64 + 1) as usize;
        let behind = stores.split_off(at);
        self.insns.extend(stores);
        self.pause();
        self.insns.extend(behind);
    }

    /// Two adjacent numbers that are loaded or stored, in either order; at a wrong distance now and then.
    pub(super) fn pair(&mut self) {
        let size = *self.choices.pick(&[Size::B4, Size::B8]);
        let bytes = size.bytes() as i16;
        let (base, room) = if self.choices.one_in(2) { (Reg::R1, DATA as i16) } else { (Reg::R10, 8 * 4) };
        let slot = self.choices.below((room / bytes) as u64 - 1) as i16 * bytes;
        let odd = if self.choices.one_in(8) { 1 } else { 0 };
        let off = if base == Reg::R10 { slot - room } else { slot };
        let mut numbers = [(self.register(), off), (self.register(), off + bytes - odd)];
        if self.choices.one_in(2) {
            numbers.reverse();
        }
        let loads = self.choices.one_in(2);
        let part = |(register, off)| match loads {
            true => Insn::load(size, register, base, off),
            false => Insn::store(size, base, off, register),
        };
        self.all(numbers.map(part));
    }
}
