// SPDX-License-Identifier: GPL-2.0-or-later
//! Prologues and epilogues: what a function saves, the registers that a program starts with, its exit.
//!
//! On the native stack a function has the registers that it saves, a word that keeps the stack aligned where it calls
//! something, and the budget of its `may_goto` on top. The eBPF stack is elsewhere: rbp points to the end of a frame, and
//! a function that is called moves it down by a frame while it runs.

use kop_ops::code::runtime;
use kop_ops::ebpf::{Reg, RegSet};
use kop_ops::program::{FRAME_SIZE, MAY_GOTO_BUDGET};
use kop_ops::x86_64::{AluOp, BranchKind, Cond, Gpr, Mem, Nullary, Size};

use super::guard::StubKind;
use super::{Compiler, RUNTIME, gpr};
use crate::analysis::{CALLEE_SAVED, Function};
use crate::planted::Planted;

/// What the registers of a program that can be left from anywhere are saved in, so that every program leaves alike.
const SAVED_BY_GUARDED: [Gpr; 6] = [Gpr::R12, Gpr::Rbp, Gpr::Rbx, Gpr::R13, Gpr::R14, Gpr::R15];

/// An epilogue up to this many bytes is written at every exit.
const SHORT_EPILOGUE: usize = 8;

/// The frame of a function.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frame {
    /// The registers on the native stack, in the order of the pushes.
    saved: [Option<Gpr>; 6],
    /// Words above them.
    words: i32,
    /// Whether rbp is moved down while the function runs.
    pub moves_frame: bool,
    /// Whether it is the program itself rather than a function that is called.
    pub is_program: bool,
    /// The place of an epilogue that is written already.
    exit: Option<u32>,
}

impl Frame {
    fn save(&mut self, register: Gpr) {
        let slot = self.saved.iter_mut().find(|slot| slot.is_none());
        *slot.expect("there are six callee-saved registers") = Some(register);
    }

    fn words_saved(&self) -> usize {
        self.saved.iter().flatten().count()
    }
}

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// Whether r12 holds the runtime block.
    fn needs_runtime(&self) -> bool {
        self.options.guarded || self.options.observe || self.analysis.calls_outside
    }

    /// Whether the program's code tells frames apart at all.
    fn has_frames(&self) -> bool {
        self.analysis.frames || self.options.observe
    }

    /// The prologue of a function.
    pub(super) fn enter(&mut self, number: usize, function: &Function) {
        self.frame = Frame::default();
        if number == 0 {
            self.enter_program(function);
        } else {
            self.enter_called(function);
        }
        self.reserve(function.calls(), function.may_goto);
        if self.options.guarded {
            self.pay(function.start, function.end - function.start);
        }
    }

    fn enter_program(&mut self, main: &Function) {
        let observe = self.options.observe;
        let mut loaded = if observe { RegSet::ALL } else { main.live_in };
        if self.has_frames() {
            loaded.insert(Reg::R10);
        } else {
            loaded.remove(Reg::R10);
        }
        self.frame.is_program = true;
        if self.options.guarded {
            SAVED_BY_GUARDED.into_iter().for_each(|register| self.frame.save(register));
        } else {
            if self.needs_runtime() {
                self.frame.save(RUNTIME);
            }
            for register in loaded.union(main.writes).iter() {
                if CALLEE_SAVED.has(register) || register == Reg::R10 {
                    self.frame.save(gpr(register));
                }
            }
        }
        if self.options.guarded {
            // A program that another one's function went on with returns to that one's caller.
            self.code.alu(AluOp::Cmp, Size::B8, Mem::at(Gpr::Rdi, runtime::DEPTH), 0);
            let inner = self.code.skip(Cond::Ne);
            self.code.mov(Size::B8, Mem::at(Gpr::Rdi, runtime::STACK_POINTER), Gpr::Rsp);
            self.code.land(inner);
        }
        self.push_saved();
        if self.needs_runtime() {
            self.code.mov(Size::B8, RUNTIME, Gpr::Rdi);
        }
        let first = loaded.remove(Reg::R1);
        for register in loaded.iter() {
            self.code.mov(Size::B8, gpr(register), Mem::at(Gpr::Rdi, register_slot(register)));
        }
        if first {
            self.code.mov(Size::B8, Gpr::Rdi, Mem::at(Gpr::Rdi, register_slot(Reg::R1)));
        }
    }

    fn enter_called(&mut self, function: &Function) {
        for register in function.writes.intersect(CALLEE_SAVED).iter() {
            if !(register == Reg::R9 && self.planted(Planted::CalleeSaved)) {
                self.frame.save(gpr(register));
            }
        }
        self.push_saved();
        self.frame.moves_frame = self.has_frames() && function.needs_frame();
        if self.frame.moves_frame && !self.planted(Planted::CalleeFrame) {
            self.code.alu(AluOp::Sub, Size::B8, Gpr::Rbp, FRAME_SIZE as i32);
        }
    }

    fn push_saved(&mut self) {
        for register in self.frame.saved.into_iter().flatten() {
            self.code.push_operand(register);
        }
    }

    /// Pushes what comes above the saved registers; the native stack is 8 bytes off a multiple of 16 at every entry.
    fn reserve(&mut self, calls: bool, may_goto: bool) {
        let words = self.frame.words_saved() + usize::from(may_goto);
        if calls && words.is_multiple_of(2) {
            self.code.push_operand(Gpr::Rax);
            self.frame.words += 1;
        }
        if may_goto {
            let budget = i32::try_from(MAY_GOTO_BUDGET).expect("the budget fits an immediate");
            self.code.push_operand(budget);
            self.frame.words += 1;
        }
    }

    /// The end of a function.
    pub(super) fn exit(&mut self) {
        if let Some(place) = self.frame.exit {
            return self.branch(BranchKind::Jmp, place);
        }
        let place = self.new_place();
        self.bind(place as usize);
        let start = self.code.len();
        if self.frame.is_program && self.options.observe {
            for register in Reg::ALL {
                self.code.mov(Size::B8, Mem::at(RUNTIME, register_slot(register)), gpr(register));
            }
        }
        self.take_down();
        self.code.nullary(Nullary::Ret);
        if self.code.len() - start > SHORT_EPILOGUE {
            self.frame.exit = Some(place);
        }
    }

    /// Removes the function's frame from the native stack; changes the saved registers and the flags alone.
    pub(super) fn take_down(&mut self) {
        if self.frame.words > 0 {
            self.code.alu(AluOp::Add, Size::B8, Gpr::Rsp, self.frame.words * 8);
        }
        for register in self.frame.saved.into_iter().rev().flatten() {
            self.code.pop(register);
        }
        if self.frame.moves_frame && !self.planted(Planted::CalleeFrame) {
            self.code.alu(AluOp::Add, Size::B8, Gpr::Rbp, FRAME_SIZE as i32);
        }
    }

    /// Leaves a guarded program from anywhere in it.
    pub(super) fn leave(&mut self) {
        self.code.mov(Size::B8, Gpr::Rsp, Mem::at(RUNTIME, runtime::STACK_POINTER));
        let saved = SAVED_BY_GUARDED.len() as i32 * 8;
        self.code.alu(AluOp::Sub, Size::B8, Gpr::Rsp, saved);
        for register in SAVED_BY_GUARDED.into_iter().rev() {
            self.code.pop(register);
        }
        self.code.nullary(Nullary::Ret);
    }

    /// Counts a frame in guarded code, which has at most eight.
    pub(super) fn count_frame(&mut self, index: usize) {
        let depth = Mem::at(RUNTIME, runtime::DEPTH);
        self.code.alu(AluOp::Cmp, Size::B8, depth, kop_ops::program::MAX_FRAMES as i32 - 1);
        self.fault_if(Cond::Ae, index, StubKind::Depth);
        self.code.alu(AluOp::Add, Size::B8, depth, 1);
    }

    /// Counts a frame less.
    pub(super) fn uncount_frame(&mut self) {
        self.code.alu(AluOp::Sub, Size::B8, Mem::at(RUNTIME, runtime::DEPTH), 1);
    }
}

/// Where an eBPF register stands in the runtime block.
pub(super) fn register_slot(register: Reg) -> i32 {
    runtime::REGISTERS + 8 * register.index() as i32
}
