// SPDX-License-Identifier: GPL-2.0-or-later
//! Blocks, branches, loops and exits: the frame that statements stand in.

use kop_ops::Catalog;
use kop_ops::choices::Choices;
use kop_ops::ebpf::{AluOp, Cond, Insn, Operand, Reg, RegSet, Size, Width};
use kop_ops::program::{MAP_VALUE_INDEX, MapSpec, ProgramKind, SiteTarget};

use super::code::{Code, Label};
use super::types::{Pointer, Region, Sizes, Slot, State, Value};
use super::{RESULT_MAP, values};

/// What all functions of an object share while it is made.
pub(super) struct Generator<'g, C> {
    pub(super) choices: &'g mut C,
    pub(super) catalog: &'g Catalog<'g>,
    pub(super) kind: ProgramKind,
    /// Whether the verifier's rules hold: otherwise everything that the instruction set defines may occur.
    pub(super) strict: bool,
    /// Whether helpers are called whose answers differ from run to run.
    pub(super) clocks: bool,
    pub(super) maps: &'g [MapSpec],
    pub(super) sizes: Sizes,
    /// How many statements are left.
    pub(super) budget: u32,
    pub(super) functions: Vec<Option<Function>>,
    /// What Kop sites call.
    pub(super) sites: Vec<SiteTarget>,
    /// The next origin of packet pointers.
    pub(super) origins: u32,
    /// Whether stretches of code may be longer than short branches reach.
    pub(super) long: bool,
    /// The index of the program array, where tail calls may occur.
    pub(super) tail_calls: Option<usize>,
}

/// A local function that is complete.
pub(super) struct Function {
    pub(super) code: Code,
    pub(super) arguments: [Argument; 5],
    /// How many frames it needs, its own included.
    pub(super) height: usize,
    /// Whether it replaces or deletes elements of hash maps.
    pub(super) updates: bool,
}

/// What a local function expects in one of r1 to r5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    Nothing,
    Scalar,
    /// So many bytes of the caller's stack that hold numbers.
    Stack(u32),
    /// The first value of an array map.
    Map(usize),
    Context,
}

/// A function that is being made.
pub(super) struct Body {
    pub(super) code: Code,
    pub(super) state: State,
    /// Registers that may not be written: what a loop around this place needs.
    pub(super) protected: RegSet,
    /// Stack slots that may not be written, as bits.
    pub(super) locked: u64,
    /// Stack slots that must go on holding numbers, as bits.
    pub(super) numeric: u64,
    /// Whether pointers into hash maps must stay valid.
    pub(super) keeps_elements: bool,
    /// How many blocks are around this place.
    pub(super) nesting: u32,
    /// How often the loops around this place run this.
    pub(super) repeats: u32,
    /// How many frames are in use, this function's included.
    pub(super) frames: usize,
    pub(super) height: usize,
    pub(super) updates: bool,
    pub(super) is_main: bool,
}

/// The most blocks in one another.
const MAX_NESTING: u32 = 4;

/// The most often that nested loops run their innermost block.
const MAX_REPEATS: u32 = 24;

impl Body {
    pub(super) fn new(slots: usize, frames: usize) -> Self {
        Self {
            code: Code::default(),
            state: State::new(slots),
            protected: RegSet::of(&[Reg::R10]),
            locked: 0,
            numeric: 0,
            keeps_elements: false,
            nesting: 0,
            repeats: 1,
            frames,
            height: 1,
            updates: false,
            is_main: frames == 1,
        }
    }

    pub(super) fn push(&mut self, insn: Insn) {
        self.code.push(insn);
    }

    /// Adds an instruction that leaves a number in `dst`.
    pub(super) fn number(&mut self, dst: Reg, insn: Insn) {
        self.code.push(insn);
        self.state.set(dst, Value::Scalar);
    }

    /// Adds an instruction that leaves an address in `dst`.
    pub(super) fn pointer(&mut self, dst: Reg, insn: Insn, pointer: Pointer) {
        self.code.push(insn);
        self.state.set(dst, Value::Pointer(pointer));
    }

    /// Whether a call may stand here: what it leaves undefined is not needed.
    pub(super) fn may_call(&self) -> bool {
        [Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5]
            .iter()
            .all(|register| !self.protected.has(*register))
    }

    /// What a call does to registers: r0 is a number, r1 to r5 are undefined.
    pub(super) fn called(&mut self) {
        for register in [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
            self.state.set(register, Value::Unset);
        }
        self.state.set(Reg::R0, Value::Scalar);
    }

    /// Whether eight bytes of stack can be written, with a pointer too if `spill`.
    pub(super) fn can_write_slot(&self, slot: usize, spill: bool) -> bool {
        let blocked = if spill { self.locked | self.numeric } else { self.locked };
        blocked >> slot & 1 == 0
    }
}

impl<C: Choices> Generator<'_, C> {
    pub(super) fn origin(&mut self) -> u32 {
        self.origins += 1;
        self.origins
    }

    /// One of the registers in a set.
    pub(super) fn any(&mut self, set: RegSet) -> Option<Reg> {
        if set.is_empty() {
            return None;
        }
        set.iter().nth(self.choices.below(set.len() as u64) as usize)
    }

    /// A register that holds a number; one is made when there is none.
    pub(super) fn scalar(&mut self, body: &mut Body) -> Option<Reg> {
        if let Some(register) = self.any(body.state.scalars()) {
            return Some(register);
        }
        let dst = self.destination(body)?;
        body.number(dst, Insn::mov64(dst, values::imm(self.choices)));
        Some(dst)
    }

    /// A register that holds a number and may be written.
    pub(super) fn writable_scalar(&mut self, body: &mut Body) -> Option<Reg> {
        let candidates = body.state.scalars().minus(body.protected);
        match self.any(candidates) {
            Some(register) => Some(register),
            None => {
                let dst = self.destination(body)?;
                body.number(dst, Insn::mov64(dst, values::imm(self.choices)));
                Some(dst)
            }
        }
    }

    /// A register to write; seldom one that holds a pointer.
    pub(super) fn destination(&mut self, body: &Body) -> Option<Reg> {
        let writable = RegSet::of(&Reg::WRITABLE).minus(body.protected);
        let pointers: RegSet = body.state.pointers().map(|(register, _)| register).collect();
        let plain = writable.minus(pointers);
        if plain.is_empty() || self.choices.one_in(16) { self.any(writable) } else { self.any(plain) }
    }

    /// An immediate, or a register that holds a number.
    pub(super) fn operand(&mut self, body: &Body) -> Operand {
        match self.any(body.state.scalars()) {
            Some(register) if self.choices.one_in(2) => Operand::Reg(register),
            _ => Operand::Imm(values::imm(self.choices)),
        }
    }

    pub(super) fn width(&mut self) -> Width {
        *self.choices.pick(&Width::ALL)
    }

    pub(super) fn size(&mut self) -> Size {
        *self.choices.pick(&Size::ALL)
    }

    /// An unconditional jump: of either form.
    pub(super) fn jump(&mut self, body: &mut Body, to: Label) {
        let insn = if self.choices.one_in(4) { Insn::Gotol { off: 0 } } else { Insn::ja(0) };
        body.code.jump(insn, to);
    }

    /// Some statements. Whether the last of them does not go on.
    pub(super) fn block(&mut self, body: &mut Body, statements: u64) -> bool {
        body.nesting += 1;
        let ended = (0..statements).any(|_| self.statement(body));
        body.nesting -= 1;
        ended
    }

    /// One statement. Whether it does not go on.
    fn statement(&mut self, body: &mut Body) -> bool {
        if self.budget == 0 {
            return false;
        }
        self.budget -= 1;
        let nests = body.nesting < MAX_NESTING && self.budget > 2;
        match self.choices.below(32) {
            0..=3 if nests => return self.branch(body),
            4 if nests => return self.repeat(body),
            5 if nests && body.repeats > 1 && self.choices.one_in(4) => return self.leave(body),
            6 if body.nesting > 1 && self.choices.one_in(6) => return self.leave(body),
            _ => self.plain(body),
        }
        false
    }

    /// A condition over numbers, as a jump that is taken when it holds.
    fn condition(&mut self, body: &mut Body) -> Option<Insn> {
        if self.choices.one_in(12) {
            return Some(Insn::MayGoto { off: 0 });
        }
        let dst = self.scalar(body)?;
        let cond = *self.choices.pick(&Cond::ALL);
        let src = self.operand(body);
        Some(match self.width() {
            Width::W32 => Insn::jump32(cond, dst, src, 0),
            Width::W64 => Insn::jump(cond, dst, src, 0),
        })
    }

    /// A conditional jump around some statements, perhaps with others in their place.
    fn branch(&mut self, body: &mut Body) -> bool {
        let Some(condition) = self.condition(body) else { return false };
        let otherwise = body.code.label();
        body.code.jump(condition, otherwise);
        let before = body.state.clone();
        if self.long && self.choices.one_in(2) {
            self.filler(body);
        }
        let count = 1 + self.choices.below(5);
        let first_ended = self.block(body, count);
        let ended = if self.choices.one_in(2) {
            let end = body.code.label();
            if !first_ended {
                self.jump(body, end);
            }
            body.code.bind(otherwise);
            let after = std::mem::replace(&mut body.state, before);
            let count = 1 + self.choices.below(4);
            let second_ended = self.block(body, count);
            body.code.bind(end);
            body.state = match (first_ended, second_ended) {
                (false, false) => body.state.meet(&after),
                (false, true) => after,
                (true, _) => body.state.clone(),
            };
            first_ended && second_ended
        } else {
            body.code.bind(otherwise);
            body.state = if first_ended { before } else { body.state.meet(&before) };
            false
        };
        // An end that nothing goes to would be code that the verifier calls unreachable.
        ended
    }

    /// A loop that ends after a few rounds. Whether nothing comes after it.
    fn repeat(&mut self, body: &mut Body) -> bool {
        let most = MAX_REPEATS / body.repeats;
        if most < 2 {
            self.plain(body);
            return false;
        }
        if self.choices.one_in(2) {
            // So that calls may stand in it.
            for register in [Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
                if matches!(body.state.get(register), Value::Pointer(_)) && !body.protected.has(register) {
                    body.state.set(register, Value::Unset);
                }
            }
        }
        let pointers: RegSet = body.state.pointers().map(|(register, _)| register).collect();
        let preserved = RegSet::of(&[Reg::R6, Reg::R7, Reg::R8, Reg::R9]);
        let free = RegSet::of(&Reg::WRITABLE).minus(body.protected).minus(pointers);
        let narrow = free.intersect(preserved);
        let set = if narrow.is_empty() || self.choices.one_in(4) { free } else { narrow };
        let Some(counter) = self.any(set) else { return false };
        let rounds = 1 + self.choices.below(u64::from(most.min(8)));
        let outer = (body.protected, body.locked, body.numeric, body.keeps_elements, body.repeats);
        body.repeats *= rounds as u32;
        let ended = self.rounds(body, counter, rounds as i32);
        (body.protected, body.locked, body.numeric, body.keeps_elements, body.repeats) = outer;
        ended
    }

    /// The loop itself: `counter` counts up or down, and is looked at before or after each round.
    fn rounds(&mut self, body: &mut Body, counter: Reg, rounds: i32) -> bool {
        let up = self.choices.one_in(2);
        let before = self.choices.one_in(2);
        let (start, end, step) = if up { (0, rounds, 1) } else { (rounds, 0, -1) };
        let width = self.width();
        body.number(counter, Insn::mov64(counter, start));
        let head = body.code.here();
        let out = body.code.label();
        let entry = body.state.clone();
        self.protect(body, counter);
        let may_goto = self.choices.one_in(4);
        if may_goto {
            body.code.jump(Insn::MayGoto { off: 0 }, out);
        }
        let compare = |cond| Insn::Jump { cond, width, dst: counter, src: Operand::Imm(end), off: 0 };
        if before {
            let done = if up { [Cond::Ge, Cond::SGe, Cond::Eq] } else { [Cond::Le, Cond::SLe, Cond::Eq] };
            body.code.jump(compare(*self.choices.pick(&done)), out);
        }
        let count = 1 + self.choices.below(6);
        let ended = self.block(body, count);
        if !ended {
            self.restore(body, &entry);
            body.push(Insn::alu(AluOp::Add, width, counter, step));
            if before {
                self.jump(body, head);
            } else {
                let more = if up { [Cond::Lt, Cond::SLt, Cond::Ne] } else { [Cond::Gt, Cond::SGt, Cond::Ne] };
                body.code.jump(compare(*self.choices.pick(&more)), head);
            }
        }
        body.code.bind(out);
        // What a round sets besides is not set where no round ran, or where `may_goto` left.
        body.state = body.state.meet(&entry);
        ended && !before && !may_goto
    }

    /// Whatever the state says is needed at the head of a loop may not be lost in it.
    fn protect(&mut self, body: &mut Body, counter: Reg) {
        body.protected.insert(counter);
        for (register, pointer) in body.state.pointers() {
            body.protected.insert(register);
            body.keeps_elements |= matches!(pointer.region, Region::Map(_));
        }
        for (index, slot) in body.state.slots.iter().enumerate() {
            match slot {
                Slot::Spill(pointer) => {
                    body.locked |= 1 << index;
                    body.keeps_elements |= matches!(pointer.region, Region::Map(_));
                }
                Slot::Bytes(0) => {}
                Slot::Bytes(_) => body.numeric |= 1 << index,
            }
        }
    }

    /// Gives every register that held a number at the head of a loop a number again.
    fn restore(&mut self, body: &mut Body, head: &State) {
        for register in head.scalars().iter() {
            if body.state.get(register) != Value::Scalar {
                body.number(register, Insn::mov64(register, values::imm(self.choices)));
            }
        }
    }

    /// The end of the function, here.
    fn leave(&mut self, body: &mut Body) -> bool {
        let state = body.state.clone();
        self.end(body);
        body.state = state;
        true
    }

    /// Ends a function: a program stores every number that it has to the result map, and returns a mix of them.
    pub(super) fn end(&mut self, body: &mut Body) {
        if body.is_main {
            self.store_results(body);
        }
        if body.state.get(Reg::R0) != Value::Scalar {
            body.number(Reg::R0, Insn::mov64(Reg::R0, values::imm(self.choices)));
        }
        if body.is_main {
            for register in body.state.scalars().iter().filter(|register| *register != Reg::R0) {
                body.push(Insn::alu64(AluOp::Mul, Reg::R0, 31));
                body.push(Insn::alu64(AluOp::Xor, Reg::R0, register));
            }
        }
        body.push(Insn::Exit);
    }

    fn store_results(&mut self, body: &mut Body) {
        let scalars = body.state.scalars();
        let base = self.any(RegSet::of(&Reg::WRITABLE).minus(scalars)).unwrap_or(Reg::R9);
        let saved = scalars.has(base).then_some(base);
        if saved.is_some() {
            body.push(Insn::store(Size::B8, Reg::R10, -8, base));
        }
        let result = Insn::LoadImm64 { dst: base, kind: MAP_VALUE_INDEX, imm: RESULT_MAP as u64 };
        body.pointer(base, result, Pointer { region: Region::Map(RESULT_MAP), offset: 0, slack: 0 });
        for register in scalars.iter().filter(|register| *register != base) {
            body.push(Insn::store(Size::B8, base, 8 * register.index() as i16, register));
        }
        if saved.is_some() {
            body.push(Insn::load(Size::B8, Reg::R0, Reg::R10, -8));
            body.push(Insn::store(Size::B8, base, 8 * base.index() as i16, Reg::R0));
        }
    }
}
