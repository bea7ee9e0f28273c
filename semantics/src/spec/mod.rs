// SPDX-License-Identifier: GPL-2.0-or-later
//! The `spec` interpreter: eBPF over integers, as the kernel runs it.
//!
//! Where the kernel's verifier would refuse a program, faults take its place: memory outside of the image's ranges, an
//! unaligned atomic operation, a ninth frame, fuel. Whatever a call leaves undefined gets a value that no program expects.

mod cpu;
mod observe;
mod support;

use kop_ops::ebpf::{CallTarget, Reg, RegSet};
use kop_ops::program::{FRAME_SIZE, MAX_FRAMES, MAY_GOTO_BUDGET, MapAddresses};
use kop_ops::state::{Registers, Slot};
use kop_ops::{Fault, Flow, Object, ProgramKind};

use crate::domain::Integers;
use crate::ebpf::{Next, step};
use crate::run::{Outcome, Run, Trap};
use crate::world::{Image, Reply, World};
use cpu::Cpu;
pub use observe::{Observer, Step, Trace};
pub use support::{Unsupported, check};

/// The id of `bpf_tail_call`.
const TAIL_CALL: i32 = 12;

/// Runs a program; memory and world are copied first.
///
/// An instruction that [`check`] refuses is [`Fault::Illegal`] where it is reached.
pub fn run(run: &Run) -> Outcome {
    observed(run, &mut ())
}

/// As [`run()`], with every instruction shown to `observer`.
pub fn observed(run: &Run, observer: &mut impl Observer) -> Outcome {
    let (mut world, mut image) = (run.world.clone(), run.image.clone());
    let interpreter = Interpreter::new(run.object, image.slot);
    let start = Start { entry: run.entry, registers: *run.registers, fuel: run.fuel };
    let stopped = interpreter.run(start, &mut world, &mut image, observer);
    Outcome { end: stopped.end, registers: Some(stopped.registers), defined: stopped.defined, world, image }
}

/// An object made ready to be run many times in one slot.
#[derive(Clone, Debug)]
pub struct Interpreter<'a> {
    object: &'a Object,
    addresses: MapAddresses,
}

/// Where a run starts.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The index of the program.
    pub entry: usize,
    /// r0..r10.
    pub registers: Registers,
    /// How many instructions may run.
    pub fuel: u64,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// r0, or what stopped it.
    pub end: Result<u64, Trap>,
    /// r0..r10 at the end.
    pub registers: Registers,
    /// The registers whose values are defined: those that the kind of program defines at entry, and those written since and
    /// not left undefined by a call.
    pub defined: RegSet,
    /// How many instructions ran.
    pub executed: u64,
}

/// A function that waits for the one it called.
struct Frame {
    program: usize,
    /// The instruction after the call.
    back: usize,
    /// r6..r9.
    preserved: [u64; 4],
    defined: RegSet,
    /// What is left of its budget for `may_goto`.
    budget: u64,
}

impl<'a> Interpreter<'a> {
    /// An interpreter of `object` whose maps are in `slot`.
    pub fn new(object: &'a Object, slot: Slot) -> Self {
        // Maps that do not fit are nowhere: loading their addresses is illegal.
        Self { object, addresses: MapAddresses::new(&object.maps, slot).unwrap_or_default() }
    }

    /// Runs a program on this memory and world.
    pub fn run(
        &self,
        start: Start,
        world: &mut World,
        image: &mut Image,
        observer: &mut impl Observer,
    ) -> Stopped {
        let program = self.object.programs.get(start.entry);
        let cpu = Cpu {
            domain: Integers,
            registers: start.registers,
            defined: program.map_or(RegSet::EMPTY, |program| at_entry(program.kind)),
            image,
            addresses: &self.addresses,
        };
        let mut active = Active {
            object: self.object,
            cpu,
            world,
            program: start.entry,
            context: start.registers[Reg::R1.index()],
            budget: MAY_GOTO_BUDGET,
            frames: Vec::new(),
        };
        let mut left = start.fuel;
        let end = match program {
            Some(program) => active.go_on(&program.flow, &mut left, observer),
            None => Err(Trap { fault: Fault::Illegal, program: start.entry, at: None }),
        };
        let Cpu { registers, defined, .. } = active.cpu;
        Stopped { end, registers, defined, executed: start.fuel - left }
    }
}

/// The registers that a program of this kind finds defined.
fn at_entry(kind: ProgramKind) -> RegSet {
    match kind {
        ProgramKind::Raw => RegSet::of(&[Reg::R1, Reg::R2, Reg::R10]),
        ProgramKind::Xdp | ProgramKind::Tc => RegSet::of(&[Reg::R1, Reg::R10]),
    }
}

/// A run that is under way.
struct Active<'r> {
    object: &'r Object,
    cpu: Cpu<'r>,
    world: &'r mut World,
    program: usize,
    /// r1 at entry, which tail calls hand on.
    context: u64,
    budget: u64,
    frames: Vec<Frame>,
}

/// Where control goes after a call.
enum Called<'r> {
    /// On, to this instruction.
    At(usize),
    /// To the start of another program.
    Program(&'r Flow),
}

impl<'r> Active<'r> {
    /// Runs until the exit or a fault.
    fn go_on(
        &mut self,
        mut flow: &'r Flow,
        left: &mut u64,
        observer: &mut impl Observer,
    ) -> Result<u64, Trap> {
        let mut at = 0;
        let mut insns = flow.insns();
        loop {
            let trap = |this: &Self, fault| Err(Trap { fault, program: this.program, at: Some(at) });
            if *left == 0 {
                return trap(self, Fault::RunAway);
            }
            *left -= 1;
            let insn = &insns[at];
            let next = match step(&mut self.cpu, insn) {
                Ok(next) => next,
                Err(fault) => return trap(self, fault),
            };
            observer.executed(self.program, at, insn, &self.cpu.registers);
            let jumps = match next {
                Next::Fall => false,
                Next::Branch(taken) => taken != 0,
                Next::Jump => true,
                Next::MayGoto if self.budget == 0 => true,
                Next::MayGoto => {
                    self.budget -= 1;
                    false
                }
                Next::Call(target) => {
                    match self.call(flow, at, target) {
                        Ok(Called::At(next)) => at = next,
                        Ok(Called::Program(next)) => {
                            (flow, insns, at) = (next, next.insns(), 0);
                        }
                        Err(fault) => return trap(self, fault),
                    }
                    continue;
                }
                Next::Exit => {
                    let Some(caller) = self.frames.pop() else {
                        return Ok(self.cpu.registers[Reg::R0.index()]);
                    };
                    if caller.program != self.program {
                        flow = &self.object.programs[caller.program].flow;
                        insns = flow.insns();
                    }
                    at = caller.back;
                    self.return_to(&caller);
                    continue;
                }
                Next::Undefined => return trap(self, Fault::Illegal),
            };
            at = if jumps { flow.target(at).expect("a jump has a target") } else { at + 1 };
        }
    }

    fn call(&mut self, flow: &Flow, at: usize, target: CallTarget) -> Result<Called<'r>, Fault> {
        match target {
            CallTarget::Helper(id) => self.call_helper(at, id),
            // Compiled code takes its frame down for a tail call, and does not know that a call by register is one.
            CallTarget::Register(register) => match self.cpu.registers[register.index()] as i32 {
                TAIL_CALL => Err(Fault::Helper { id: TAIL_CALL }),
                id => self.call_helper(at, id),
            },
            CallTarget::Local(_) => {
                self.call_function(at)?;
                Ok(Called::At(flow.target(at).expect("a local call has a target")))
            }
            CallTarget::Kfunc { .. } | CallTarget::Kop { .. } => Err(Fault::Illegal),
        }
    }

    fn call_helper(&mut self, at: usize, id: i32) -> Result<Called<'r>, Fault> {
        let [_, r1, r2, r3, r4, r5, ..] = self.cpu.registers;
        match self.world.call(self.cpu.image, id, [r1, r2, r3, r4, r5])? {
            Reply::Return(value) => {
                self.cpu.clobber();
                self.cpu.registers[Reg::R0.index()] = value;
                if id == TAIL_CALL {
                    // A tail call that fails returns nothing.
                    self.cpu.defined.remove(Reg::R0);
                } else {
                    self.cpu.defined.insert(Reg::R0);
                }
                Ok(Called::At(at + 1))
            }
            Reply::TailCall(index) => {
                let program = self.object.programs.get(index).ok_or(Fault::Helper { id })?;
                self.program = index;
                self.budget = MAY_GOTO_BUDGET;
                self.cpu.clobber();
                self.cpu.registers[Reg::R1.index()] = self.context;
                self.cpu.defined = RegSet::of(&[Reg::R1, Reg::R10]);
                Ok(Called::Program(&program.flow))
            }
        }
    }

    /// Enters a function of the program: its frame lies below the caller's; r6..r9 are the caller's until it writes them,
    /// which no verified program observes.
    fn call_function(&mut self, at: usize) -> Result<(), Fault> {
        if self.frames.len() + 1 >= MAX_FRAMES {
            return Err(Fault::CallDepth);
        }
        let registers = &mut self.cpu.registers;
        self.frames.push(Frame {
            program: self.program,
            back: at + 1,
            preserved: [registers[6], registers[7], registers[8], registers[9]],
            defined: self.cpu.defined,
            budget: self.budget,
        });
        registers[Reg::R10.index()] = registers[Reg::R10.index()].wrapping_sub(FRAME_SIZE);
        self.budget = MAY_GOTO_BUDGET;
        self.cpu.defined = self.cpu.defined.intersect(cpu::ARGUMENTS.union(Reg::R10.into()));
        Ok(())
    }

    fn return_to(&mut self, caller: &Frame) {
        self.program = caller.program;
        self.budget = caller.budget;
        self.cpu.clobber();
        self.cpu.registers[6..10].copy_from_slice(&caller.preserved);
        let r10 = &mut self.cpu.registers[Reg::R10.index()];
        *r10 = r10.wrapping_add(FRAME_SIZE);
        let result = self.cpu.defined.intersect(Reg::R0.into());
        let kept = caller.defined.minus(cpu::ARGUMENTS).minus(Reg::R0.into());
        self.cpu.defined = kept.union(result);
    }
}

#[cfg(test)]
mod tests;
