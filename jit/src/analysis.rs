// SPDX-License-Identifier: GPL-2.0-or-later
//! What has to be known about functions before their code is written: which registers come in, which are written, what they
//! call. Two passes over the instructions, no fixpoints.

use kop_ops::ebpf::{CallTarget, Insn, Reg, RegSet};
use kop_ops::program::{Effects, NOWHERE};

use crate::body::Body;
use crate::error::CompileError;

/// The id of `bpf_tail_call`.
pub(crate) const TAIL_CALL: i32 = 12;

/// The registers that a function keeps for its caller.
pub(crate) const CALLEE_SAVED: RegSet = RegSet::of(&[Reg::R6, Reg::R7, Reg::R8, Reg::R9]);

/// One function: the instructions from its start to the next one's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Function {
    /// Index of its first instruction.
    pub start: usize,
    /// Index after its last.
    pub end: usize,
    /// The registers whose values at its entry may matter to it or to the functions that it calls.
    pub live_in: RegSet,
    /// The registers that it names as a source.
    pub reads: RegSet,
    /// The registers that it may change itself.
    pub writes: RegSet,
    /// Whether it calls a function of the program.
    pub calls_local: bool,
    /// Whether it calls anything outside.
    pub calls_outside: bool,
    /// Whether it does tail calls.
    pub tail_calls: bool,
    /// Whether it has a `may_goto`.
    pub may_goto: bool,
}

impl Function {
    /// Whether it calls anything and so keeps the native stack aligned.
    pub fn calls(&self) -> bool {
        self.calls_local || self.calls_outside
    }

    /// Whether r10 has to hold its own frame's end.
    pub fn needs_frame(&self) -> bool {
        self.reads.has(Reg::R10) || self.calls_local || self.tail_calls
    }
}

/// A program's functions, and what is true of all of them together.
#[derive(Clone, Debug)]
pub(crate) struct Analysis {
    /// The functions; the first is the program itself.
    pub functions: Vec<Function>,
    /// Every register that some instruction names.
    pub used: RegSet,
    /// Whether r10 matters: some function reads it, or another program may go on with it.
    pub frames: bool,
    /// Whether the program calls helper functions or tail calls.
    pub calls_outside: bool,
    /// For each instruction whether a jump or local call goes to it.
    pub is_target: Vec<bool>,
    /// For each instruction whether a jump after it goes back to it.
    pub is_loop_head: Vec<bool>,
}

impl Analysis {
    /// Looks at all functions of `body`.
    ///
    /// # Errors
    /// [`CompileError`] for a jump into another function and for a function whose last instruction goes on: the frames
    /// of two functions differ.
    pub fn new(body: &Body) -> Result<Self, CompileError> {
        let count = body.insns.len();
        let mut functions = Vec::with_capacity(body.functions.len());
        let (assigned, is_target) = (vec![RegSet::ALL; count], vec![false; count]);
        let mut scratch = Scratch { assigned, is_loop_head: is_target.clone(), is_target };
        let mut callees = RegSet::EMPTY;
        // The program comes last: it needs to know what the functions that it calls take from it.
        for (number, &start) in body.functions.iter().enumerate().rev() {
            let end = body.functions.get(number + 1).map_or(count, |&next| next as usize);
            let function = scratch.look(body, start as usize, end, callees)?;
            callees = callees.union(function.live_in);
            functions.push(function);
        }
        functions.reverse();
        Ok(Self {
            used: functions.iter().fold(RegSet::EMPTY, |set, f| set.union(f.reads).union(f.writes)),
            frames: functions.iter().any(|function| function.reads.has(Reg::R10) || function.tail_calls),
            calls_outside: functions.iter().any(|function| function.calls_outside),
            is_target: scratch.is_target,
            is_loop_head: scratch.is_loop_head,
            functions,
        })
    }

    /// Where the unconditional jump goes that stands between the conditional one at `index` and its target, and is no target itself: both become
    /// the inverse of the conditional one. In guarded code a jump back pays for its loop when it is taken alone, and stays.
    pub fn jumped_over(&self, body: &Body, index: usize, guarded: bool) -> Option<usize> {
        let next = index + 1;
        let over = body.target(index) == next + 1 && !self.is_target[next];
        let other = over
            .then(|| body.insns[next])
            .filter(|insn| matches!(insn, Insn::Ja { .. } | Insn::Gotol { .. }));
        other.map(|_| body.target(next)).filter(|target| !guarded || *target > next)
    }
}

/// What the pass over a function writes to.
struct Scratch {
    /// For each instruction the registers that are written on every way to it seen so far; all where there is none.
    assigned: Vec<RegSet>,
    is_target: Vec<bool>,
    is_loop_head: Vec<bool>,
}

impl Scratch {
    /// Looks at one function; `callees` are the registers that functions after it take.
    fn look(
        &mut self,
        body: &Body,
        start: usize,
        end: usize,
        callees: RegSet,
    ) -> Result<Function, CompileError> {
        let mut function = Function { start, end, ..Function::default() };
        let mut assigned = RegSet::EMPTY;
        let mut exposed_by_loops = false;
        let mut passed = RegSet::EMPTY;
        for index in start..end {
            let insn = &body.insns[index];
            assigned = assigned.intersect(self.assigned[index]);
            self.assigned[index] = assigned;
            let Effects { mut reads, mut writes } = body.effects[index];
            let mut surely = writes;
            match *insn {
                Insn::Sidecar { .. } => {
                    let native = body.native(index);
                    let native = native.expect("a site without native code is no site any more");
                    (reads, writes, surely) = (native.reads, native.writes, RegSet::EMPTY);
                }
                Insn::Call { target: CallTarget::Kop { .. } } => continue,
                Insn::Call { target: CallTarget::Local(_) } => {
                    function.calls_local = true;
                    self.is_target[body.target(index)] = true;
                    // What a function before this one takes is not known yet.
                    let takes = if body.target(index) <= index { RegSet::ALL } else { callees };
                    passed = passed.union(takes);
                    reads = takes.minus(assigned);
                }
                Insn::Call { target } => {
                    function.calls_outside = true;
                    function.tail_calls |= matches!(target, CallTarget::Helper(TAIL_CALL));
                }
                _ => {}
            }
            function.reads = function.reads.union(reads);
            function.live_in = function.live_in.union(reads.minus(assigned));
            function.writes = function.writes.union(writes);
            assigned = assigned.union(surely);
            let target = body.targets[index];
            if target != NOWHERE && !insn.is_call() {
                let target = target as usize;
                if !(start..end).contains(&target) {
                    return Err(CompileError::unsupported(index, "jumps into another function"));
                }
                self.is_target[target] = true;
                self.is_loop_head[target] |= target <= index;
                let joined = self.assigned[target].intersect(assigned);
                // A loop that is not entered through its head alone may come back with less than its head was seen with.
                exposed_by_loops |= target <= index && joined != self.assigned[target];
                self.assigned[target] = joined;
                function.may_goto |= matches!(insn, Insn::MayGoto { .. });
            }
            if insn.is_terminator() {
                assigned = RegSet::ALL;
            }
        }
        let last = &body.insns[end - 1];
        if !last.is_terminator() {
            return Err(CompileError::unsupported(end - 1, "execution runs into the next function"));
        }
        if exposed_by_loops {
            // What seemed assigned before a call may not be, either.
            function.live_in = function.live_in.union(function.reads).union(passed);
        }
        Ok(function)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{options, program};

    fn functions(text: &str) -> Vec<Function> {
        let program = program(text);
        let body = Body::new(&program, &options(false)).expect("it has no sites");
        Analysis::new(&body).expect("functions are apart").functions
    }

    fn set(numbers: &[u8]) -> RegSet {
        numbers.iter().map(|number| Reg::new(*number).expect("a register")).collect()
    }

    #[test]
    fn registers_written_on_every_path_do_not_come_in() {
        let branchy = "if r1 == 0 goto +1\nr2 = 1\nr0 = r2\nexit";
        assert_eq!(functions(branchy)[0].live_in, set(&[1, 2]));
        let both = "if r1 == 0 goto +2\nr2 = 1\ngoto +1\nr2 = 2\nr0 = r2\nexit";
        assert_eq!(functions(both)[0].live_in, set(&[1]));
        let looping = "r2 = 3\nr0 = 0\nr0 += r2\nr2 -= 1\nif r2 != 0 goto -3\nexit";
        assert_eq!(functions(looping)[0].live_in, set(&[]));
    }

    #[test]
    fn what_callees_take_comes_in() {
        let called = "r1 = 1\ncall pc+1\nexit\nr0 = r8\nr0 += r1\nexit";
        let found = functions(called);
        assert_eq!((found[0].live_in, found[1].live_in), (set(&[8]), set(&[1, 8])));
    }

    #[test]
    fn a_program_that_calls_itself_has_a_copy_as_a_function() {
        let found = functions("r0 = r6\ncall pc-2\nexit");
        assert_eq!(found.iter().map(|f| (f.start, f.end)).collect::<Vec<_>>(), [(0, 3), (3, 6)]);
    }

    #[test]
    fn a_loop_entered_from_its_middle_is_seen_in_whole() {
        let sideways = "if r1 == 0 goto +1\nr2 = 1\nr0 = r2\nr1 -= 1\nif r1 != 0 goto -3\nexit";
        assert_eq!(functions(sideways)[0].live_in, set(&[1, 2]));
    }

    #[test]
    fn a_call_that_only_a_backward_jump_leads_to_takes_what_its_callee_takes() {
        let backward = "goto +2\ncall pc+2\nexit\ngoto -3\nr0 = r2\nexit";
        assert!(functions(backward)[0].live_in.has(Reg::R2));
    }
}
