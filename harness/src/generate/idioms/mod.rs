// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs of what an optimising compiler looks for, and of what only looks like it: integers that are loaded and stored byte by
//! byte, in both orders and with stores in between, counts of ones and of leading zeros, in masks and in loops, words of the stack of
//! which parts are read and written, elements of arrays in the stack, bounded loops over them, loops that carry copies, ladders of
//! comparisons that choose numbers, conditions as numbers, checks that others have decided, loops that load the same on each
//! turn, functions with elements of arrays in stacks of their own, and any arithmetic.

mod chained;

use kop_ops::choices::Choices;
use kop_ops::ebpf::{AluOp, CallTarget, Cond, EndKind, Insn, Operand, Reg, Size, Width};
use kop_ops::{Flow, Object, Program, ProgramKind};

use crate::program::ProgramCase;

/// The registers that statements use; r6 is the address of the data.
const USED: [Reg; 8] = [Reg::R0, Reg::R2, Reg::R3, Reg::R4, Reg::R5, Reg::R7, Reg::R8, Reg::R9];

/// Bytes of data.
const DATA: u64 = 128;

/// Bytes of the stack that have numbers when the statements start.
const STACK: i16 = 64;

/// A program and what it finds; or two, of which one calls the other.
pub fn idioms(choices: &mut impl Choices) -> ProgramCase {
    let object = if choices.one_in(8) { chained::object(choices) } else { alone(choices) };
    let packet: Vec<u8> = (0..DATA).map(|_| choices.bits() as u8).collect();
    ProgramCase { packet, garbage: choices.below(1 << 16), verified: true, ..ProgramCase::of(object) }
}

/// One program, whose argument is the address of its data.
fn alone(choices: &mut impl Choices) -> Object {
    let mut writer = Writer { choices, insns: Vec::new(), calls: Vec::new() };
    writer.start();
    for _ in 0..=writer.choices.below(5) {
        writer.statement();
    }
    writer.end();
    writer.function();
    let flow = Flow::new(writer.insns).expect("every jump is to an instruction of it");
    let program = Program { name: "main".to_owned(), kind: ProgramKind::Raw, flow };
    Object { programs: vec![program], ..Object::default() }
}

struct Writer<'c, C> {
    choices: &'c mut C,
    insns: Vec<Insn>,
    /// Where the function is called.
    calls: Vec<usize>,
}

impl<C: Choices> Writer<'_, C> {
    fn put(&mut self, insn: Insn) {
        self.insns.push(insn);
    }

    fn start(&mut self) {
        self.put(Insn::mov64(Reg::R6, Reg::R1));
        for (at, register) in (0..).zip(USED) {
            let size = *self.choices.pick(&Size::ALL);
            self.put(Insn::load(size, register, Reg::R6, 8 * at));
        }
        for word in 1..=STACK / 8 {
            let register = *self.choices.pick(&USED);
            self.put(Insn::store(Size::B8, Reg::R10, -8 * word, register));
        }
    }

    /// r0 becomes a mixture of all registers and of the stack.
    fn end(&mut self) {
        let mix = |this: &mut Self, register: Reg| {
            this.put(Insn::alu64(AluOp::Mul, Reg::R0, 31));
            this.put(Insn::alu64(AluOp::Add, Reg::R0, register));
        };
        USED.into_iter().skip(1).for_each(|register| mix(self, register));
        for word in 1..=STACK / 8 {
            self.put(Insn::load(Size::B8, Reg::R2, Reg::R10, -8 * word));
            mix(self, Reg::R2);
        }
        self.put(Insn::Exit);
    }

    /// Two different registers.
    fn two(&mut self) -> [Reg; 2] {
        let first = self.choices.below(USED.len() as u64) as usize;
        let other = first + 1 + self.choices.below(USED.len() as u64 - 1) as usize;
        [USED[first], USED[other % USED.len()]]
    }

    fn statement(&mut self) {
        match self.choices.below(21) {
            0 | 1 => self.loaded_bytes(),
            2 => self.stored_bytes(),
            3 => self.counted(),
            4 => self.part_of_stack(),
            5 => self.element(),
            6 | 10 => self.turns(),
            7 => self.copies(),
            8 | 11 | 12 => self.ladder(),
            9 => self.flag(),
            14 => self.called(),
            15..=17 => self.arithmetic(),
            18 | 19 => self.checked(),
            20 => self.reloaded(),
            _ => self.looped(),
        }
    }

    /// Any arithmetic on numbers that are not known when the program is compiled; amounts and divisors as a verifier takes them.
    fn arithmetic(&mut self) {
        for _ in 0..=self.choices.below(4) {
            let [dst, src] = self.two();
            let width = *self.choices.pick(&Width::ALL);
            let op = *self.choices.pick(&AluOp::ALL);
            let imm = match op {
                AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => self.choices.below(width.bits().into()) as i32,
                _ => self.choices.bits() as i32 | 1,
            };
            let src = if self.choices.one_in(3) { Operand::Imm(imm) } else { Operand::Reg(src) };
            let insn = match self.choices.below(12) {
                0 => Insn::Neg { width, dst },
                1 => {
                    let kind = *self.choices.pick(&[EndKind::ToLe, EndKind::ToBe, EndKind::Swap]);
                    Insn::End { kind, bits: *self.choices.pick(&[16, 32, 64]), dst }
                }
                _ => Insn::Alu { op, width, dst, src },
            };
            // There are no sign-extending moves of constants, for one.
            if insn.is_well_formed() {
                self.put(insn);
            }
        }
    }

    /// A call of the function, which the program ends with.
    fn called(&mut self) {
        let [index, value] = self.two();
        self.put(Insn::mov64(Reg::R1, index));
        self.put(Insn::mov64(Reg::R2, value));
        self.calls.push(self.insns.len());
        self.put(Insn::Call { target: CallTarget::Local(0) });
        for (at, register) in (0..).zip([Reg::R2, Reg::R3, Reg::R4, Reg::R5]) {
            self.put(Insn::load(Size::B8, register, Reg::R6, 8 * at));
        }
    }

    /// The function, if it is called: it sets an element of an array in its stack, and returns a word of it.
    fn function(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let slots = |insns: &[Insn]| insns.iter().map(|insn| insn.slots() as i32).sum::<i32>();
        for call in self.calls.clone() {
            let distance = slots(&self.insns[call + 1..]);
            self.insns[call] = Insn::Call { target: CallTarget::Local(distance) };
        }
        for word in 1..=STACK / 8 {
            self.put(Insn::store(Size::B8, Reg::R10, -8 * word, Reg::R2));
        }
        self.put(Insn::alu64(AluOp::And, Reg::R1, i32::from(STACK) - 1));
        self.put(Insn::mov64(Reg::R3, Reg::R10));
        self.put(Insn::alu64(AluOp::Add, Reg::R3, -i32::from(STACK)));
        self.put(Insn::alu64(AluOp::Add, Reg::R3, Reg::R1));
        self.put(Insn::store(Size::B1, Reg::R3, 0, 0x5a));
        let word = 1 + self.choices.below(STACK as u64 / 8) as i16;
        self.put(Insn::load(Size::B8, Reg::R0, Reg::R10, -8 * word));
        self.put(Insn::Exit);
    }

    /// Bytes as an integer: each is loaded, shifted to its place, and joined with those before.
    fn loaded_bytes(&mut self) {
        let [sum, byte] = self.two();
        let count = *self.choices.pick(&[2, 2, 3, 4, 4, 8]);
        let big = self.choices.one_in(2);
        let base = self.choices.below(DATA - 16) as i16;
        let wrong = if self.choices.one_in(6) { self.choices.below(count) } else { count };
        let stored = if self.choices.one_in(4) { self.choices.below(count) } else { count };
        let join = *self.choices.pick(&[AluOp::Or, AluOp::Add, AluOp::Xor]);
        for at in 0..count {
            let offset = base + at as i16 + i16::from(at == wrong);
            let place = if big { count - 1 - at } else { at };
            if at == stored {
                let near = base + self.choices.below(count) as i16;
                self.put(Insn::store(Size::B1, Reg::R6, near, 0x5a));
            }
            let into = if at == 0 { sum } else { byte };
            self.put(Insn::load(Size::B1, into, Reg::R6, offset));
            if place > 0 {
                self.put(Insn::alu64(AluOp::Lsh, into, 8 * place as i32));
            }
            if at > 0 {
                self.put(Insn::alu64(join, sum, byte));
            }
        }
    }

    /// An integer as bytes: each is shifted down and stored.
    fn stored_bytes(&mut self) {
        let [value, byte] = self.two();
        let count = *self.choices.pick(&[2, 2, 4, 4, 8]);
        let big = self.choices.one_in(2);
        let base = self.choices.below(DATA - 16) as i16;
        let wrong = if self.choices.one_in(6) { self.choices.below(count) } else { count };
        let loaded = if self.choices.one_in(4) { self.choices.below(count) } else { count };
        let width = if count == 8 { Width::W64 } else { *self.choices.pick(&Width::ALL) };
        for at in 0..count {
            let place = if big { count - 1 - at } else { at };
            self.put(Insn::alu(AluOp::Mov, width, byte, value));
            if place > 0 {
                self.put(Insn::alu(AluOp::Rsh, width, byte, 8 * place as i32));
            }
            self.put(Insn::store(Size::B1, Reg::R6, base + at as i16 + i16::from(at == wrong), byte));
            if at == loaded {
                let near = base + self.choices.below(count) as i16;
                self.put(Insn::load(Size::B1, byte, Reg::R6, near));
                self.put(Insn::store(Size::B8, Reg::R10, -8, byte));
            }
        }
    }

    /// The ones of a word, in the three masks; after a smear its leading zeros.
    fn counted(&mut self) {
        let [x, t] = self.two();
        if self.choices.one_in(2) {
            for by in [1, 2, 4, 8, 16, 32] {
                self.put(Insn::mov64(t, x));
                self.put(Insn::alu64(AluOp::Rsh, t, by));
                self.put(Insn::alu64(AluOp::Or, x, t));
            }
        }
        let mask = USED.into_iter().find(|register| ![x, t].contains(register)).expect("there are eight");
        let twist = u64::from(self.choices.one_in(8));
        let masked = |this: &mut Self, register: Reg, number: u64| {
            this.put(Insn::load_imm64(mask, number));
            this.put(Insn::alu64(AluOp::And, register, mask));
        };
        self.put(Insn::mov64(t, x));
        self.put(Insn::alu64(AluOp::Rsh, t, 1));
        masked(self, t, 0x5555_5555_5555_5555);
        self.put(Insn::alu64(AluOp::Sub, x, t));
        self.put(Insn::mov64(t, x));
        self.put(Insn::alu64(AluOp::Rsh, t, 2));
        masked(self, t, 0x3333_3333_3333_3333);
        masked(self, x, 0x3333_3333_3333_3333 ^ twist);
        self.put(Insn::alu64(AluOp::Add, x, t));
        self.put(Insn::mov64(t, x));
        self.put(Insn::alu64(AluOp::Rsh, t, 4));
        self.put(Insn::alu64(AluOp::Add, x, t));
        masked(self, x, 0x0f0f_0f0f_0f0f_0f0f);
        self.put(Insn::load_imm64(mask, 0x0101_0101_0101_0101));
        self.put(Insn::alu64(AluOp::Mul, x, mask));
        self.put(Insn::alu64(AluOp::Rsh, x, 56));
    }

    /// A part of a word of the stack, written and read.
    fn part_of_stack(&mut self) {
        let [from, to] = self.two();
        for _ in 0..=self.choices.below(3) {
            let size = *self.choices.pick(&Size::ALL);
            let at =
                -(size.bytes() as i16) * (1 + self.choices.below(STACK as u64 / size.bytes() as u64) as i16);
            if self.choices.one_in(2) {
                self.put(Insn::store(size, Reg::R10, at, from));
            } else {
                self.put(Insn::load(size, to, Reg::R10, at));
            }
        }
    }

    /// An element of an array in the stack, by an index that a mask keeps in it.
    fn element(&mut self) {
        let [index, address] = self.two();
        let size = *self.choices.pick(&Size::ALL);
        let count = *self.choices.pick(&[2, 4, 8]);
        let low = -(STACK.min(count * size.bytes() as i16 + 8 * self.choices.below(3) as i16));
        let scale = size.bytes().trailing_zeros() as i32;
        if i64::from(low) + i64::from(count) * size.bytes() as i64 > 0 {
            return;
        }
        self.put(Insn::alu64(AluOp::And, index, i32::from(count) - 1));
        self.put(Insn::alu64(AluOp::Lsh, index, scale));
        self.put(Insn::mov64(address, Reg::R10));
        self.put(Insn::alu64(AluOp::Add, address, i32::from(low)));
        self.put(Insn::alu64(AluOp::Add, address, index));
        if self.choices.one_in(2) {
            self.put(Insn::store(size, address, 0, index));
        }
        self.put(Insn::load(size, address, address, 0));
    }

    /// A loop that adds up an array in the stack.
    fn looped(&mut self) {
        let [index, sum] = self.two();
        let element =
            USED.into_iter().find(|register| ![index, sum].contains(register)).expect("there are eight");
        let step = *self.choices.pick(&[1, 2, 4, 8]);
        let width = *self.choices.pick(&Width::ALL);
        let (cond, count) =
            *self.choices.pick(&[(Cond::Ne, 4), (Cond::Lt, 4), (Cond::Le, 3), (Cond::SLt, 4)]);
        self.put(Insn::mov64(index, 0));
        let size = Size::ALL[(step as u32).trailing_zeros() as usize];
        self.put(Insn::mov64(element, Reg::R10));
        self.put(Insn::alu64(AluOp::Add, element, -i32::from(STACK)));
        self.put(Insn::alu64(AluOp::Add, element, index));
        let store = self.choices.one_in(3);
        if store {
            self.put(Insn::store(size, element, 0, sum));
        }
        self.put(Insn::load(size, element, element, 0));
        self.put(Insn::alu(AluOp::Add, width, sum, element));
        self.put(Insn::alu64(AluOp::Add, index, step));
        let back = if store { -8 } else { -7 };
        self.put(Insn::jump(cond, index, step * count, back));
    }

    /// A loop that takes a bit away each turn, and counts turns.
    fn turns(&mut self) {
        let [bits, count] = self.two();
        let less =
            USED.into_iter().find(|register| ![bits, count].contains(register)).expect("there are eight");
        let width = *self.choices.pick(&Width::ALL);
        let zero = Insn::Jump { cond: Cond::Eq, width, dst: bits, src: 0.into(), off: 1 };
        if self.choices.one_in(3) {
            // Zero, which a compiler does not know.
            let at = self.choices.below(DATA) as i16;
            self.put(Insn::load(Size::B1, bits, Reg::R6, at));
            self.put(Insn::load(Size::B1, less, Reg::R6, at));
            self.put(Insn::alu64(AluOp::Xor, bits, less));
        }
        if self.choices.one_in(2) {
            self.put(Insn::mov64(count, 0));
        }
        let start = self.insns.len();
        match self.choices.one_in(3) {
            true => self.put(Insn::alu(AluOp::Rsh, width, bits, 1)),
            false => {
                let by = if self.choices.one_in(8) { -2 } else { -1 };
                self.put(Insn::alu(AluOp::Mov, width, less, bits));
                self.put(Insn::alu(AluOp::Add, width, less, by));
                self.put(Insn::alu(AluOp::And, width, bits, less));
            }
        }
        let added = *self.choices.pick(&Width::ALL);
        self.put(Insn::alu(AluOp::Add, added, count, 1));
        self.put(zero);
        let bound = *self.choices.pick(&[7, 31, 63, 64, 64, 64, 64]);
        let back = start as i16 - self.insns.len() as i16 - 1;
        self.put(Insn::Jump { cond: Cond::Lt, width: added, dst: count, src: bound.into(), off: back });
        // Mostly nothing of the last turn but bits and count is left.
        if !self.choices.one_in(8) {
            self.put(Insn::mov64(less, 1));
        }
    }

    /// One or zero, as a comparison holds or not, moved to some bit.
    fn flag(&mut self) {
        let [from, to] = self.two();
        let (width, cond) = (*self.choices.pick(&Width::ALL), *self.choices.pick(&Cond::ALL));
        let with = *self.choices.pick(&USED);
        self.put(Insn::alu64(AluOp::Xor, to, from));
        self.put(Insn::mov64(from, 1));
        self.put(Insn::Jump { cond, width, dst: to, src: with.into(), off: 1 });
        self.put(Insn::mov64(from, 0));
        if self.choices.one_in(2) {
            let by = self.choices.below(32) as i32;
            self.put(Insn::alu64(AluOp::Lsh, from, by));
        }
    }

    /// Checks that a number is not less than another with something added, the next where the one before goes on. The numbers are
    /// as small as those in contexts, or so great that sums wrap around.
    fn checked(&mut self) {
        let [start, sum] = self.two();
        let mut others = USED.into_iter().filter(|register| ![start, sum].contains(register));
        let [end, passed] = [(); 2].map(|()| others.next().expect("there are eight"));
        let size = *self.choices.pick(&[Size::B1, Size::B2, Size::B4]);
        let [from, length] = [(); 2].map(|()| self.choices.below(DATA - 8) as i16);
        self.put(Insn::load(size, start, Reg::R6, from));
        if self.choices.one_in(2) {
            self.put(Insn::alu64(AluOp::Or, start, -256));
        }
        self.put(Insn::load(Size::B1, end, Reg::R6, length));
        self.put(Insn::alu64(AluOp::Add, end, start));
        let conds = [Cond::Gt, Cond::Gt, Cond::Ge, Cond::Lt, Cond::Le, Cond::Eq, Cond::Ne, Cond::SGt];
        let checks = 2 + self.choices.below(2) as i16;
        for left in (0..checks).rev() {
            let off = if self.choices.one_in(4) { 1 } else { 1 + 4 * left };
            let (cond, by) = (*self.choices.pick(&conds), self.choices.below(256) as i32);
            let [dst, src] = if self.choices.one_in(2) { [sum, end] } else { [end, sum] };
            self.put(Insn::mov64(sum, start));
            self.put(Insn::alu64(AluOp::Add, sum, by));
            self.put(Insn::Jump { cond, width: Width::W64, dst, src: src.into(), off });
            self.put(Insn::alu64(AluOp::Add, passed, 1 << left));
        }
        self.put(Insn::mov64(sum, 1));
    }

    /// A loop that loads a number on each turn, and may store it, or something near it.
    fn reloaded(&mut self) {
        let [sum, turns] = self.two();
        let mut others = USED.into_iter().filter(|register| ![sum, turns].contains(register));
        let [number, address] = [(); 2].map(|()| others.next().expect("there are eight"));
        let [size, stored] = [(); 2].map(|()| *self.choices.pick(&Size::ALL));
        let place = 16 + self.choices.below(DATA - 64) as i16;
        let near = place + self.choices.below(16) as i16 - 8;
        let indexed = self.choices.one_in(2);
        self.put(Insn::mov64(turns, 0));
        let start = self.insns.len();
        self.put(Insn::load(size, number, Reg::R6, place));
        self.put(Insn::alu64(AluOp::Add, sum, number));
        if indexed {
            self.put(Insn::mov64(address, Reg::R6));
            self.put(Insn::alu64(AluOp::Add, address, turns));
        }
        if !self.choices.one_in(4) {
            let base = if indexed { address } else { Reg::R6 };
            self.put(Insn::store(stored, base, near, sum));
        }
        self.put(Insn::alu64(AluOp::Add, turns, 1));
        let back = start as i16 - self.insns.len() as i16 - 1;
        self.put(Insn::jump(Cond::Ne, turns, 3, back));
        self.put(Insn::mov64(address, 1));
    }

    /// A loop that carries a number and its copy, or what is one on the first turn alone.
    fn copies(&mut self) {
        let [one, other] = self.two();
        let turns =
            USED.into_iter().find(|register| ![one, other].contains(register)).expect("there are eight");
        let differs = self.choices.one_in(2);
        self.put(Insn::mov64(other, one));
        self.put(Insn::mov64(turns, 0));
        let start = self.insns.len();
        self.put(Insn::alu64(AluOp::Mul, one, other));
        self.put(Insn::alu64(AluOp::Xor, one, 5));
        if differs {
            self.put(Insn::alu64(AluOp::Add, other, 3));
        } else {
            self.put(Insn::mov64(other, one));
        }
        self.put(Insn::alu64(AluOp::Add, turns, 1));
        let back = start as i16 - self.insns.len() as i16 - 1;
        self.put(Insn::jump(Cond::Ne, turns, 3, back));
    }

    /// Comparisons of a number with others, each of which chooses one.
    fn ladder(&mut self) {
        let [from, to] = self.two();
        let width = *self.choices.pick(&Width::ALL);
        let rungs = 3 + self.choices.below(5) as i16;
        let spread = *self.choices.pick(&[8, 8, 16, 64, 66]);
        let most = *self.choices.pick(&[7, 7, 15, 127]);
        let conds = [Cond::Eq, Cond::Eq, Cond::Eq, Cond::Lt, Cond::SGt];
        self.put(Insn::alu64(AluOp::And, from, most));
        for rung in 0..rungs {
            let (cond, number) = (*self.choices.pick(&conds), self.choices.below(spread) as i32);
            let off = 1 + rungs + rung;
            self.put(Insn::Jump { cond, width, dst: from, src: number.into(), off });
        }
        for rung in (0..=rungs).rev() {
            let chosen = self.choices.below(66) as i32;
            self.put(Insn::alu(AluOp::Mov, width, to, chosen));
            self.put(Insn::ja(2 * rung));
        }
    }
}
