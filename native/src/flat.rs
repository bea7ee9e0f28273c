// SPDX-License-Identifier: GPL-2.0-or-later
//! A program as one list of operations: every local call is replaced by the function that it calls.
//!
//! Registers r6 to r9 are numbered anew for each depth of calls, and r10 is a distance from the program's own, so that a
//! call and a return cost nothing.

use kop_ops::Program;
use kop_ops::ebpf::{CallTarget, Insn, Reg};
use kop_ops::program::{FRAME_SIZE, MAX_FRAMES, NOWHERE};

use crate::error::CompileError;

/// The most operations of a program once its local calls are replaced.
pub(crate) const MAX_OPERATIONS: usize = 1 << 17;

/// The id of `bpf_tail_call`.
pub(crate) const TAIL_CALL: i32 = 12;

/// How many registers all depths have together, less r10.
pub(crate) const REGISTERS: usize = 6 + 4 * MAX_FRAMES;

/// What an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// An instruction; an exit is the program's own.
    Insn(Insn),
    /// A function starts: its registers r6 to r9 are its caller's.
    Enter,
    /// A function ends, and its caller goes on.
    Leave,
}

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Op {
    /// What it is.
    pub what: What,
    /// Index of the instruction in the program.
    pub origin: u32,
    /// The function that it is in, by its number in [`Flat::depths`].
    pub frame: u32,
    /// Where a jump, the end of a function or its tail call goes: an operation, or [`NOWHERE`].
    pub target: u32,
}

/// A program without local calls.
#[derive(Debug, Default)]
pub(crate) struct Flat {
    /// The operations.
    pub ops: Vec<Op>,
    /// For each function that was called, in order, how many frames are below its own; the first is the program.
    pub depths: Vec<u8>,
}

impl Flat {
    /// Replaces the local calls of `program`.
    ///
    /// # Errors
    /// [`CompileError`] for what the verifier refuses as well: recursion, more than eight frames, a jump from one function into
    /// another; and for a program that becomes too long.
    pub fn new(program: &Program) -> Result<Self, CompileError> {
        let mut flat = Self { ops: Vec::new(), depths: vec![0] };
        flat.function(program, 0, 0, &mut vec![0])?;
        Ok(flat)
    }

    /// The number of a register of the function `frame`; `None` for r10.
    pub fn register(&self, frame: u32, register: Reg) -> Option<usize> {
        match register.index() {
            low @ 0..=5 => Some(low),
            10 => None,
            saved => Some(saved + 4 * usize::from(self.depths[frame as usize])),
        }
    }

    /// How far the function's r10 is from the program's.
    pub fn frame_offset(&self, frame: u32) -> i32 {
        -(FRAME_SIZE as i32) * i32::from(self.depths[frame as usize])
    }

    /// Puts down the function that starts with the instruction `start`; `callers` are the functions that are running.
    fn function(
        &mut self,
        program: &Program,
        start: u32,
        frame: u32,
        callers: &mut Vec<u32>,
    ) -> Result<(), CompileError> {
        let flow = &program.flow;
        let next = flow.functions().partition_point(|function| *function <= start);
        let end = flow.functions().get(next).map_or(flow.insns().len(), |function| *function as usize);
        let range = start as usize..end;
        if !flow.insns()[end - 1].is_terminator() {
            return Err(CompileError::unsupported(end - 1, "execution runs into the next function"));
        }
        let mut starts = Vec::with_capacity(range.len());
        let mut pending = Vec::new();
        let mut leaves = Vec::new();
        for index in range.clone() {
            starts.push(self.ops.len() as u32);
            let insn = flow.insns()[index];
            let here = self.ops.len();
            if here >= MAX_OPERATIONS {
                let reason = format!("more than {MAX_OPERATIONS} instructions once local calls are replaced");
                return Err(CompileError::unsupported(index, reason));
            }
            let op = |what| Op { what, origin: index as u32, frame, target: NOWHERE };
            match insn {
                Insn::Call { target: CallTarget::Local(_) } => {
                    let callee = flow.targets()[index];
                    self.call(program, index, callee, callers)?;
                    continue;
                }
                Insn::Exit if frame != 0 => {
                    leaves.push(here);
                    self.ops.push(op(What::Leave));
                    continue;
                }
                // Another program that goes on in this function's place returns to its caller.
                Insn::Call { target: CallTarget::Helper(TAIL_CALL) } if frame != 0 => leaves.push(here),
                _ => {}
            }
            if let Some(target) = flow.target(index) {
                if !range.contains(&target) {
                    return Err(CompileError::unsupported(index, "jumps into another function"));
                }
                pending.push((here, target - start as usize));
            }
            self.ops.push(op(What::Insn(insn)));
        }
        for (at, target) in pending {
            self.ops[at].target = starts[target];
        }
        for at in leaves {
            self.ops[at].target = self.ops.len() as u32;
        }
        Ok(())
    }

    fn call(
        &mut self,
        program: &Program,
        index: usize,
        callee: u32,
        callers: &mut Vec<u32>,
    ) -> Result<(), CompileError> {
        if callers.contains(&callee) {
            return Err(CompileError::unsupported(index, "a function calls itself"));
        }
        if callers.len() >= MAX_FRAMES {
            return Err(CompileError::unsupported(index, "more than eight frames"));
        }
        let frame = self.depths.len() as u32;
        self.depths.push(callers.len() as u8);
        self.ops.push(Op { what: What::Enter, origin: index as u32, frame, target: NOWHERE });
        callers.push(callee);
        self.function(program, callee, frame, callers)?;
        callers.pop();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use kop_ops::ebpf::parse_program;
    use kop_ops::{Flow, ProgramKind};

    use super::*;

    fn flat(text: &str) -> Result<Flat, CompileError> {
        let flow = Flow::new(parse_program(text).expect("the text parses")).expect("it is a program");
        Flat::new(&Program { name: "test".to_owned(), kind: ProgramKind::Raw, flow })
    }

    #[test]
    fn a_call_becomes_what_it_calls() {
        let flat =
            flat("r1 = 1\ncall pc+1\nexit\nif r1 == 0 goto +1\nexit\nr0 = r6\nexit").expect("it is sound");
        let targets: Vec<u32> = flat.ops.iter().map(|op| op.target).collect();
        assert_eq!(targets, [NOWHERE, NOWHERE, 4, 6, NOWHERE, 6, NOWHERE]);
        assert_eq!((flat.ops[1].what, flat.ops[3].what), (What::Enter, What::Leave));
        assert_eq!(flat.ops.iter().map(|op| op.frame).collect::<Vec<_>>(), [0, 1, 1, 1, 1, 1, 0]);
        assert_eq!([0, 1].map(|frame| flat.register(frame, Reg::R6)), [Some(6), Some(10)]);
        assert_eq!([0, 1].map(|frame| flat.frame_offset(frame)), [0, -512]);
    }

    #[test]
    fn what_has_no_end_is_refused() {
        for text in ["call pc-1\nexit", "call pc+1\nexit\ncall pc-1\nexit"] {
            let error = flat(text).expect_err("it recurses").to_string();
            assert!(error.contains("calls itself"), "{error}");
        }
    }
}
