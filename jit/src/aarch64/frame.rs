// SPDX-License-Identifier: GPL-2.0-or-later
//! Prologues and epilogues: what a function saves, the registers that a program starts with, its exit.
//!
//! On the native stack a function has the registers that it saves, then the budget of its `may_goto`, and a word where
//! that makes a multiple of 16 bytes. The eBPF stack is elsewhere: x25 points to the end of a frame, and a function that
//! is called moves it down by a frame while it runs.

use kop_ops::aarch64::{AddSub, Cond, Gpr, Insn, Mem, Size, Width};
use kop_ops::code::runtime;
use kop_ops::ebpf::{Reg, RegSet};
use kop_ops::program::{FRAME_SIZE, MAX_FRAMES, MAY_GOTO_BUDGET};

use super::guard::StubKind;
use super::{Compiler, RUNTIME, SCRATCH, gpr};
use crate::analysis::{CALLEE_SAVED, Function};
use crate::planted::Planted;

/// What the registers of a program that can be left from anywhere are saved in, so that every program leaves alike.
const SAVED_BY_GUARDED: [Gpr; 7] = [Gpr::X30, RUNTIME, Gpr::X25, Gpr::X19, Gpr::X20, Gpr::X21, Gpr::X22];

/// An epilogue up to this many bytes is written at every exit.
const SHORT_EPILOGUE: usize = 12;

/// The frame of a function.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frame {
    /// The registers on the native stack, from its top.
    saved: [Option<Gpr>; 7],
    /// Whether there is the budget of a `may_goto` behind them.
    may_goto: bool,
    /// Whether x25 is moved down while the function runs.
    pub moves_frame: bool,
    /// Whether it is the program itself rather than a function that is called.
    is_program: bool,
    /// The place of an epilogue that is written already.
    exit: Option<u32>,
}

impl Frame {
    fn save(&mut self, register: Gpr) {
        let slot = self.saved.iter_mut().find(|slot| slot.is_none());
        *slot.expect("there are seven registers to save") = Some(register);
    }

    fn words_saved(&self) -> usize {
        self.saved.iter().flatten().count()
    }

    /// Bytes on the native stack.
    fn size(&self) -> i32 {
        let words = self.words_saved() + usize::from(self.may_goto);
        words.next_multiple_of(2) as i32 * 8
    }

    /// Where the budget of `may_goto` is.
    pub fn budget(&self) -> Mem {
        Mem::offset(Gpr::Sp, self.words_saved() as i32 * 8)
    }

    /// The saved registers in pairs, with their offsets.
    fn pairs(&self) -> impl DoubleEndedIterator<Item = (Gpr, Option<Gpr>, i32)> {
        let saved = self.saved;
        (0..saved.len().div_ceil(2)).filter_map(move |pair| {
            let second = saved.get(2 * pair + 1).copied().flatten();
            Some((saved[2 * pair]?, second, 16 * pair as i32))
        })
    }
}

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// Whether x26 holds the runtime block.
    fn needs_runtime(&self) -> bool {
        self.options.guarded || self.options.observe || self.analysis.calls_outside
    }

    /// Whether the program's code tells frames apart at all.
    fn has_frames(&self) -> bool {
        self.analysis.frames || self.options.observe
    }

    /// The prologue of a function.
    pub(super) fn enter(&mut self, number: usize, function: &Function) {
        self.frame = Frame { may_goto: function.may_goto, ..Frame::default() };
        if number == 0 {
            self.enter_program(function);
        } else {
            self.enter_called(function);
        }
        if function.may_goto {
            let budget = self.frame.budget();
            self.load_imm(Width::X, SCRATCH, MAY_GOTO_BUDGET);
            self.code.store(Size::B8, SCRATCH, budget);
        }
        if self.options.guarded {
            self.pay(function.start, function.end - function.start);
        }
    }

    fn enter_program(&mut self, main: &Function) {
        let mut loaded = if self.options.observe { RegSet::ALL } else { main.live_in };
        if self.has_frames() {
            loaded.insert(Reg::R10);
        } else {
            loaded.remove(Reg::R10);
        }
        self.frame.is_program = true;
        if self.options.guarded {
            SAVED_BY_GUARDED.into_iter().for_each(|register| self.frame.save(register));
            // A program that another one's function went on with returns to that one's caller.
            self.code.load(Size::B8, SCRATCH, Mem::offset(Gpr::X0, runtime::DEPTH));
            let inner = self.code.skip(Insn::cbnz(Width::X, SCRATCH));
            self.code.mov(Width::X, SCRATCH, Gpr::Sp);
            self.code.store(Size::B8, SCRATCH, Mem::offset(Gpr::X0, runtime::STACK_POINTER));
            self.code.land(inner);
        } else {
            if main.calls() {
                self.frame.save(Gpr::X30);
            }
            if self.needs_runtime() {
                self.frame.save(RUNTIME);
            }
            for register in loaded.union(main.writes).iter() {
                if CALLEE_SAVED.has(register) || register == Reg::R10 {
                    self.frame.save(gpr(register));
                }
            }
        }
        self.push_saved();
        if self.needs_runtime() {
            self.code.mov(Width::X, RUNTIME, Gpr::X0);
        }
        self.load_registers(loaded);
    }

    /// Loads registers from the runtime block, whose address is in x0, two at once where they are neighbours.
    fn load_registers(&mut self, mut loaded: RegSet) {
        // r1 is x0.
        let first = loaded.remove(Reg::R1);
        let slot = |register| Mem::offset(Gpr::X0, register_slot(register));
        let mut registers = loaded.iter().peekable();
        while let Some(register) = registers.next() {
            let neighbour = registers.next_if(|next| next.index() == register.index() + 1);
            match neighbour {
                Some(next) => self.code.load_pair(gpr(register), gpr(next), slot(register)),
                None => self.code.load(Size::B8, gpr(register), slot(register)),
            }
        }
        if first {
            self.code.load(Size::B8, Gpr::X0, slot(Reg::R1));
        }
    }

    fn enter_called(&mut self, function: &Function) {
        // Checks are calls, too.
        if function.calls() || self.options.guarded {
            self.frame.save(Gpr::X30);
        }
        for register in function.writes.intersect(CALLEE_SAVED).iter() {
            if !(register == Reg::R9 && self.planted(Planted::CalleeSaved)) {
                self.frame.save(gpr(register));
            }
        }
        self.push_saved();
        self.frame.moves_frame = self.has_frames() && function.needs_frame();
        if self.frame.moves_frame && !self.planted(Planted::CalleeFrame) {
            self.move_frame(AddSub::Sub);
        }
    }

    fn move_frame(&mut self, op: AddSub) {
        self.code.add_sub_imm(op, Width::X, gpr(Reg::R10), gpr(Reg::R10), FRAME_SIZE as u32);
    }

    fn push_saved(&mut self) {
        let size = self.frame.size();
        if size > 0 && self.frame.words_saved() == 0 {
            return self.code.add_sub_imm(AddSub::Sub, Width::X, Gpr::Sp, Gpr::Sp, size as u32);
        }
        for (register, second, offset) in self.frame.pairs() {
            let mem = if offset == 0 { Mem::pre(Gpr::Sp, -size) } else { Mem::offset(Gpr::Sp, offset) };
            match second {
                Some(second) => self.code.store_pair(register, second, mem),
                None => self.code.store(Size::B8, register, mem),
            }
        }
    }

    fn pop_saved(&mut self, frame: Frame) {
        let size = frame.size();
        if size > 0 && frame.words_saved() == 0 {
            return self.code.add_sub_imm(AddSub::Add, Width::X, Gpr::Sp, Gpr::Sp, size as u32);
        }
        for (register, second, offset) in frame.pairs().rev() {
            let mem = if offset == 0 { Mem::post(Gpr::Sp, size) } else { Mem::offset(Gpr::Sp, offset) };
            match second {
                Some(second) => self.code.load_pair(register, second, mem),
                None => self.code.load(Size::B8, register, mem),
            }
        }
    }

    /// The end of a function.
    pub(super) fn exit(&mut self) {
        if let Some(place) = self.frame.exit {
            return self.branch(Insn::B { offset: 0 }, place);
        }
        let place = self.new_place();
        self.bind(place as usize);
        let start = self.code.len();
        if self.frame.is_program {
            if self.options.observe {
                self.store_registers();
            }
            self.code.mov(Width::X, Gpr::X0, gpr(Reg::R0));
        }
        self.take_down();
        self.code.ret();
        if self.code.len() - start > SHORT_EPILOGUE {
            self.frame.exit = Some(place);
        }
    }

    fn store_registers(&mut self) {
        for pair in Reg::ALL.chunks(2) {
            let mem = Mem::offset(RUNTIME, register_slot(pair[0]));
            match *pair {
                [first, second] => self.code.store_pair(gpr(first), gpr(second), mem),
                _ => self.code.store(Size::B8, gpr(pair[0]), mem),
            }
        }
    }

    /// Removes the function's frame from the native stack; changes the saved registers alone.
    pub(super) fn take_down(&mut self) {
        self.pop_saved(self.frame);
        if self.frame.moves_frame && !self.planted(Planted::CalleeFrame) {
            self.move_frame(AddSub::Add);
        }
    }

    /// Leaves a guarded program from anywhere in it.
    pub(super) fn leave(&mut self) {
        let mut frame = Frame::default();
        SAVED_BY_GUARDED.into_iter().for_each(|register| frame.save(register));
        self.code.load(Size::B8, SCRATCH, Mem::offset(RUNTIME, runtime::STACK_POINTER));
        self.code.add_sub_imm(AddSub::Sub, Width::X, Gpr::Sp, SCRATCH, frame.size() as u32);
        self.pop_saved(frame);
        self.code.ret();
    }

    /// Counts a frame in guarded code, which has at most eight.
    pub(super) fn count_frame(&mut self, index: usize) {
        let depth = Mem::offset(RUNTIME, runtime::DEPTH);
        self.code.load(Size::B8, SCRATCH, depth);
        self.code.add_sub_imm(AddSub::Subs, Width::X, Gpr::Xzr, SCRATCH, MAX_FRAMES as u32 - 1);
        self.fault_if(Insn::b_cond(Cond::Hs), index, StubKind::Depth);
        self.code.add_sub_imm(AddSub::Add, Width::X, SCRATCH, SCRATCH, 1);
        self.code.store(Size::B8, SCRATCH, depth);
    }

    /// Counts a frame less.
    pub(super) fn uncount_frame(&mut self) {
        let depth = Mem::offset(RUNTIME, runtime::DEPTH);
        self.code.load(Size::B8, SCRATCH, depth);
        self.code.add_sub_imm(AddSub::Sub, Width::X, SCRATCH, SCRATCH, 1);
        self.code.store(Size::B8, SCRATCH, depth);
    }
}

/// Where an eBPF register stands in the runtime block.
pub(super) fn register_slot(register: Reg) -> i32 {
    runtime::REGISTERS + 8 * register.index() as i32
}
