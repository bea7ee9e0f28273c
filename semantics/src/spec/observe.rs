// SPDX-License-Identifier: GPL-2.0-or-later
//! Watching the interpreter, instruction by instruction.

use std::collections::VecDeque;

use kop_ops::ebpf::{Insn, Reg};
use kop_ops::state::Registers;

/// Something that sees every instruction after it ran. `()` sees nothing and costs nothing.
pub trait Observer {
    /// The instruction `index` of the program `program` ran; the registers are those after it, and for a call or an exit
    /// those before control goes on.
    fn executed(&mut self, program: usize, index: usize, insn: &Insn, registers: &Registers);
}

impl Observer for () {
    #[inline(always)]
    fn executed(&mut self, _program: usize, _index: usize, _insn: &Insn, _registers: &Registers) {}
}

/// An instruction that ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The index of the program.
    pub program: usize,
    /// The index of the instruction.
    pub index: usize,
    /// The register that it wrote, and the value; `None` for calls and for what writes none.
    pub written: Option<(Reg, u64)>,
}

/// The last instructions of a run.
#[derive(Clone, Debug)]
pub struct Trace {
    steps: VecDeque<Step>,
    limit: usize,
}

impl Trace {
    /// A trace that keeps the last `limit` instructions.
    pub fn last(limit: usize) -> Self {
        Self { steps: VecDeque::new(), limit }
    }

    /// The instructions in the order they ran.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter()
    }
}

impl Observer for Trace {
    fn executed(&mut self, program: usize, index: usize, insn: &Insn, registers: &Registers) {
        if self.steps.len() >= self.limit {
            self.steps.pop_front();
        }
        let written = if insn.is_call() { None } else { insn.writes().iter().next() };
        let written = written.map(|register| (register, registers[register.index()]));
        if self.limit > 0 {
            self.steps.push_back(Step { program, index, written });
        }
    }
}
