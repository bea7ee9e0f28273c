// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs full of what can be rewritten, and of what only looks like it: parts in any order with other instructions in
//! between, jumps over parts, parts that are needed afterwards, amounts that are wrong by one.

mod memory;

use kop_ops::choices::Choices;
use kop_ops::ebpf::{AluOp, Cond, Insn, Operand, Reg, Size, Width};
use kop_ops::{Flow, Object, Program, ProgramKind};

use crate::program::ProgramCase;

/// The registers that statements use; r1 is the address of the data.
const USED: [Reg; 9] = [Reg::R0, Reg::R2, Reg::R3, Reg::R4, Reg::R5, Reg::R6, Reg::R7, Reg::R8, Reg::R9];

/// Bytes of data.
const DATA: u64 = 64;

/// A program, what it finds, and how long it may run.
pub fn case(choices: &mut impl Choices) -> ProgramCase {
    let mut writer = Writer { choices, insns: Vec::new() };
    writer.start();
    for _ in 0..=writer.choices.below(7) {
        writer.statement();
    }
    writer.end();
    let insns = writer.insns;
    let packet: Vec<u8> = (0..DATA).map(|_| choices.bits() as u8).collect();
    let flow = Flow::new(insns).expect("every jump is over instructions that follow");
    let program = Program { name: "main".to_owned(), kind: ProgramKind::Raw, flow };
    let object = Object { programs: vec![program], ..Object::default() };
    ProgramCase { packet, garbage: choices.below(1 << 16), verified: true, ..ProgramCase::of(object) }
}

struct Writer<'c, C> {
    choices: &'c mut C,
    insns: Vec<Insn>,
}

impl<C: Choices> Writer<'_, C> {
    fn register(&mut self) -> Reg {
        *self.choices.pick(&USED)
    }

    fn width(&mut self) -> Width {
        *self.choices.pick(&Width::ALL)
    }

    /// Every register and the words of the stack get numbers. What is loaded in between keeps those stores apart.
    fn start(&mut self) {
        for (at, register) in (0..).zip(USED) {
            let size = *self.choices.pick(&Size::ALL);
            self.insns.push(Insn::load(size, register, Reg::R1, at * 6));
            if (1..=4).contains(&at) {
                self.insns.push(Insn::store(Size::B8, Reg::R10, -8 * at, register));
            }
        }
    }

    /// r0 becomes a mixture of all registers but some.
    fn end(&mut self) {
        let left_out = [self.register(), self.register()];
        for register in USED.into_iter().skip(1).filter(|register| !left_out.contains(register)) {
            self.insns.push(Insn::alu64(AluOp::Mul, Reg::R0, 31));
            self.insns.push(Insn::alu64(AluOp::Add, Reg::R0, register));
        }
        self.insns.push(Insn::Exit);
    }

    fn statement(&mut self) {
        let from = self.insns.len();
        match self.choices.below(17) {
            0 | 1 => self.rotate(),
            2 => self.variable(),
            3 => self.field(),
            4 => self.swapped(),
            5 | 6 => self.choice(),
            7 => self.turns(),
            8 => self.taken_apart(),
            9 | 12 => self.idiom(),
            10 => self.ladder(),
            11 => self.chain(),
            13 => self.filled(),
            14 | 15 => self.pair(),
            _ => (0..4).for_each(|_| self.noise()),
        }
        // A jump over the end of it, or into its middle from before.
        if self.choices.one_in(3) {
            let at = from + self.choices.below((self.insns.len() - from) as u64 + 1) as usize;
            let over = self.choices.below((self.insns.len() - at) as u64 + 1) as i16;
            let register = self.register();
            let cond = *self.choices.pick(&Cond::ALL);
            let number = self.choices.below(9) as i32 - 2;
            self.insert(at, Insn::jump(cond, register, number, over));
        }
    }

    /// Puts in an instruction; jumps over its place become longer, back as well as forth.
    fn insert(&mut self, at: usize, insn: Insn) {
        for (index, jump) in self.insns.iter_mut().enumerate() {
            let Some(offset) = jump.branch_offset() else { continue };
            let target = index as i64 + 1 + i64::from(offset);
            let longer = match index < at {
                true if target > at as i64 => offset + 1,
                false if target < at as i64 => offset - 1,
                _ => continue,
            };
            *jump = jump.with_branch_offset(longer).expect("programs are short");
        }
        self.insns.insert(at, insn);
    }

    /// Sometimes something else.
    fn noise(&mut self) {
        let (dst, src) = (self.register(), self.register());
        let word = -8 * (1 + self.choices.below(4) as i16);
        let number = self.choices.below(256) as i32 - 20;
        let width = self.width();
        let op = *self.choices.pick(&[AluOp::Add, AluOp::Xor, AluOp::Mov, AluOp::Sub, AluOp::And]);
        self.insns.push(match self.choices.below(5) {
            0 => Insn::store(Size::B8, Reg::R10, word, src),
            1 => Insn::load(Size::B8, dst, Reg::R10, word),
            2 => Insn::alu(op, width, dst, number),
            3 => Insn::alu(op, width, dst, src),
            _ => Insn::mov64(dst, src),
        });
    }

    fn pause(&mut self) {
        if self.choices.one_in(4) {
            self.noise();
        }
    }

    fn all(&mut self, parts: impl IntoIterator<Item = Insn>) {
        for part in parts {
            self.pause();
            self.insns.push(part);
        }
    }

    /// An operation that joins halves without common bits.
    fn join(&mut self) -> AluOp {
        *self.choices.pick(&[AluOp::Or, AluOp::Or, AluOp::Add, AluOp::Xor])
    }

    fn rotate(&mut self) {
        let (x, a, b) = (self.register(), self.register(), self.register());
        let width = self.width();
        let amount = self.choices.below(width.bits().into()) as i32;
        let wrong = i32::from(self.choices.one_in(8));
        let op = self.join();
        let left = [Insn::alu(AluOp::Mov, width, a, x), Insn::alu(AluOp::Lsh, width, a, amount)];
        let right = [
            Insn::alu(AluOp::Mov, width, b, x),
            Insn::alu(AluOp::Rsh, width, b, width.bits() as i32 - amount + wrong),
        ];
        let order = match self.choices.below(3) {
            0 => [left[0], right[0], left[1], right[1]],
            1 => [right[0], right[1], left[0], left[1]],
            _ => [left[0], left[1], right[0], right[1]],
        };
        self.all(order);
        self.all([Insn::alu(op, width, a, b)]);
    }

    fn variable(&mut self) {
        let [x, n, a, b] = std::array::from_fn(|_| self.register());
        let width = self.width();
        let negated = match self.choices.below(3) {
            0 => vec![Insn::alu(AluOp::Mov, width, b, n), Insn::Neg { width, dst: b }],
            1 => vec![Insn::mov64(b, width.bits() as i32), Insn::alu64(AluOp::Sub, b, n)],
            _ => vec![Insn::mov64(b, n), Insn::neg64(b), Insn::alu64(AluOp::And, b, width.bits() as i32 - 1)],
        };
        let (one, other) =
            if self.choices.one_in(2) { (AluOp::Lsh, AluOp::Rsh) } else { (AluOp::Rsh, AluOp::Lsh) };
        let op = if self.choices.one_in(4) { self.join() } else { AluOp::Or };
        self.all(negated);
        self.all([
            Insn::alu(AluOp::Mov, width, a, x),
            Insn::alu(one, width, a, n),
            Insn::alu(other, width, x, b),
            Insn::alu(op, width, a, x),
        ]);
    }

    fn field(&mut self) {
        let (x, a) = (self.register(), self.register());
        let start = self.choices.below(40) as i32;
        let length = 1 + self.choices.below(23) as i32;
        let down = *self.choices.pick(&[AluOp::Rsh, AluOp::Arsh]);
        let parts = if self.choices.one_in(2) {
            [Insn::alu64(AluOp::Lsh, a, 64 - start - length), Insn::alu64(down, a, 64 - length)]
        } else {
            [Insn::alu64(AluOp::Rsh, a, start), Insn::alu64(AluOp::And, a, (1 << length) - 1)]
        };
        self.all([Insn::mov64(a, x)]);
        self.all(parts);
    }

    fn swapped(&mut self) {
        let dst = self.register();
        let size = *self.choices.pick(&[Size::B2, Size::B4, Size::B8]);
        let off = self.choices.below(DATA - 8) as i16;
        let bits = if self.choices.one_in(8) { 16 } else { size.bits() as u8 };
        let swap = if self.choices.one_in(2) { Insn::to_be(dst, bits) } else { Insn::bswap(dst, bits) };
        self.all([Insn::load(size, dst, Reg::R1, off), swap]);
    }

    /// A complement that is joined, something of the lowest one, or a magnitude.
    fn idiom(&mut self) {
        let (a, b, part) = (self.register(), self.register(), self.register());
        let width = self.width();
        let op = *self.choices.pick(&[AluOp::And, AluOp::Or, AluOp::Xor]);
        let which = self.choices.below(4);
        let is_absolute = which == 3;
        let parts = match which {
            0 | 1 => vec![
                Insn::alu(AluOp::Mov, width, part, b),
                Insn::alu(AluOp::Xor, width, part, -1),
                Insn::alu(op, width, part, a),
            ],
            2 => {
                let less = Insn::alu(AluOp::Add, width, part, -1);
                let ways =
                    [(Insn::Neg { width, dst: part }, AluOp::And), (less, AluOp::And), (less, AluOp::Xor)];
                let (change, op) = *self.choices.pick(&ways);
                vec![Insn::alu(AluOp::Mov, width, part, a), change, Insn::alu(op, width, part, a)]
            }
            _ => vec![
                Insn::alu(AluOp::Mov, width, part, a),
                Insn::alu(AluOp::Arsh, width, part, width.bits() as i32 - 1),
                Insn::alu(AluOp::Add, width, a, part),
                Insn::alu(AluOp::Xor, width, a, part),
            ],
        };
        self.all(parts);
        // The absolute value is in `a`: mostly nothing else needs the part.
        if is_absolute && !self.choices.one_in(4) {
            self.insns.push(Insn::mov64(part, 1));
        }
    }

    /// A diamond or a triangle.
    fn choice(&mut self) {
        let (left, right, dst) = (self.register(), self.register(), self.register());
        let (cond, width) = (*self.choices.pick(&Cond::ALL), self.width());
        let number = self.choices.below(100) as i32 - 50;
        let falls = self.side(dst);
        let taken = if self.choices.one_in(2) { self.side(dst) } else { Vec::new() };
        let over = falls.len() as i16 + i16::from(!taken.is_empty());
        let src = if self.choices.one_in(2) { Operand::Reg(right) } else { Operand::Imm(number) };
        self.insns.push(Insn::Jump { cond, width, dst: left, src, off: over });
        self.insns.extend(falls);
        if !taken.is_empty() {
            self.insns.push(Insn::ja(taken.len() as i16));
            self.insns.extend(taken);
        }
    }

    /// What one side does with `dst`: a move, or a computation.
    fn side(&mut self, dst: Reg) -> Vec<Insn> {
        let (src, number) = (self.register(), self.choices.below(200) as i32 - 100);
        let op = *self.choices.pick(&[AluOp::Add, AluOp::Xor, AluOp::And, AluOp::Lsh]);
        let amount = if op == AluOp::Lsh { number & 31 } else { number };
        match self.choices.below(5) {
            0 | 1 => vec![Insn::mov64(dst, src)],
            2 => vec![Insn::mov64(dst, number)],
            3 => vec![Insn::alu(op, self.width(), dst, amount)],
            _ => vec![Insn::mov64(dst, src), Insn::alu64(op, dst, amount)],
        }
    }

    /// Two comparisons, with something in between now and then, of which the first that does not hold leads past what follows.
    fn chain(&mut self) {
        let (flag, width) = (self.register(), self.width());
        let [one, other] = [self.register(), self.register()];
        // Numbers for certain, and small ones, so that both hold now and then.
        for register in [one, other] {
            self.insns.push(Insn::alu64(AluOp::And, register, 7));
        }
        let between = if self.choices.one_in(3) { vec![Insn::mov64(self.register(), 1)] } else { Vec::new() };
        let is_flag = self.choices.one_in(2);
        if is_flag {
            self.insns.push(Insn::mov64(flag, 0));
        }
        // What is stored is neither selected nor a table.
        let store = Insn::store(Size::B8, Reg::R10, -8, flag);
        let then = if is_flag { vec![Insn::mov64(flag, 1)] } else { vec![Insn::mov64(flag, 3), store] };
        let over = then.len() as i16;
        let first_over = between.len() as i16 + 1 + over;
        for (compared, off, behind) in [(one, first_over, between), (other, over, then)] {
            let cond = *self.choices.pick(&Cond::ALL);
            let number = self.choices.below(8) as i32;
            let src =
                if self.choices.one_in(2) { Operand::Reg(self.register()) } else { Operand::Imm(number) };
            self.insns.push(Insn::Jump { cond, width, dst: compared, src, off });
            self.insns.extend(behind);
        }
    }

    /// Comparisons of a register with numbers, and arms that set one or two registers to others.
    fn ladder(&mut self) {
        let (compared, width) = (self.register(), self.width());
        let results = [self.register(), self.register()];
        let arms = 2 + self.choices.below(4) as usize;
        let step = *self.choices.pick(&[1, 1, 2, 7]);
        let first = self.choices.below(12) as i32 - 4;
        if self.choices.one_in(2) {
            // Small numbers, so that arms run.
            self.insns.push(Insn::alu64(AluOp::And, compared, 15));
        }
        // Each arm and the default sets what it sets, and jumps over the rest.
        let bodies: Vec<Vec<Insn>> = (0..=arms)
            .map(|arm| {
                let both = self.choices.one_in(4);
                let number = if self.choices.one_in(8) { 300 } else { self.choices.below(20) as i32 - 2 };
                let mut body = vec![Insn::alu(AluOp::Mov, self.width(), results[0], number)];
                body.extend(both.then(|| Insn::mov64(results[1], arm as i32)));
                body
            })
            .collect();
        let length = |bodies: &[Vec<Insn>]| bodies.iter().map(|body| body.len() as i16 + 1).sum::<i16>();
        for arm in 0..arms {
            let cond = if self.choices.one_in(4) { *self.choices.pick(&Cond::ALL) } else { Cond::Eq };
            let number = first + step * (arm as i32);
            let off = (arms - arm - 1) as i16 + length(&bodies[..=arm]);
            self.insns.push(Insn::Jump { cond, width, dst: compared, src: Operand::Imm(number), off });
        }
        for (at, body) in bodies.iter().enumerate() {
            self.insns.extend(body);
            self.insns.push(Insn::ja(length(&bodies[at + 1..])));
        }
    }

    /// A loop over the bits of a register, which goes up by another number than one now and then.
    fn turns(&mut self) {
        let width = self.width();
        let (count, step) = (self.register(), if self.choices.one_in(4) { 2 } else { 1 });
        // What differs from all of these does not change the bits.
        let at = self.choices.below(USED.len() as u64) as usize;
        let other = |by: usize| USED[(at + by) % USED.len()];
        let [bits, garbage] = [1, 2].map(|by| if other(by) == count { other(by + 2) } else { other(by) });
        let mut turn = match self.choices.one_in(2) {
            true => vec![
                Insn::mov64(garbage, bits),
                Insn::alu(AluOp::Add, width, garbage, -1),
                Insn::alu(AluOp::And, width, bits, garbage),
            ],
            false => vec![Insn::alu(AluOp::Rsh, width, bits, 1)],
        };
        turn.push(Insn::alu(AluOp::Add, self.width(), count, step));
        let off = -(turn.len() as i16) - 1;
        self.insns.extend(turn);
        self.insns.push(Insn::Jump { cond: Cond::Ne, width, dst: bits, src: Operand::Imm(0), off });
        if self.choices.one_in(2) {
            self.insns.extend([Insn::mov64(bits, 0), Insn::mov64(garbage, 0)]);
        }
    }
}
