// SPDX-License-Identifier: GPL-2.0-or-later
//! Running an instruction: on a machine, and on the semantics.

use kop_emulators::arena::Region;
use kop_emulators::machine::{Machine, Watch};
use kop_emulators::native::x86_64::X86_64;
use kop_emulators::native::{
    Drivers, PROBE_AFTER, PROBE_BEFORE, PROBE_CODES, ProbeFrame, RegisterFile, STACK_POINTER, control,
};
use kop_emulators::semantics::{Cpu, Decoded};
use kop_ops::{Fault, Memory};

use super::code::Case;
use super::state::{Before, SLOT};

/// What an instruction leaves.
#[derive(Clone, Debug)]
pub struct After {
    /// Registers, or the fault.
    pub end: Result<RegisterFile, Fault>,
    /// Window and stack.
    pub memory: Memory,
    /// The native stack around its pointer.
    pub native_stack: StackBytes,
}

/// The bytes of the native stack that instructions reach from the stack pointer.
pub type StackBytes = [u8; 1024];

/// Where they begin in the native stack.
const STACK_FROM: usize = (STACK_POINTER - Region::NativeStack.address()) as usize - 512;

/// The position of a word among them.
pub fn stack_position(address: u64) -> Option<usize> {
    let offset = address.checked_sub(Region::NativeStack.address() + STACK_FROM as u64)? as usize;
    (offset + 8 <= 1024).then_some(offset)
}

/// A machine with the frame of probes.
pub struct Bench<M> {
    machine: M,
    frame: ProbeFrame,
}

impl<M: Machine> Bench<M> {
    /// Puts the frame in place.
    pub fn new(mut machine: M) -> Self {
        let frame = X86_64::probe_frame();
        for (place, code) in [(PROBE_BEFORE, &frame.before), (PROBE_AFTER, &frame.after)] {
            let from = (place - Region::Code.address()) as usize;
            machine.arena_mut().bytes_mut(Region::Code)[from..from + code.len()].copy_from_slice(code);
        }
        Self { machine, frame }
    }

    /// Writes an instruction to its place; at the first place, what was there before is forgotten.
    pub fn place(&mut self, case: &Case) {
        if case.place == PROBE_CODES.start {
            self.machine.forget_code();
        }
        let driver = X86_64::probe(&case.bytes, case.place, &self.frame);
        let from = (case.place - Region::Code.address()) as usize;
        let code = self.machine.arena_mut().bytes_mut(Region::Code);
        code[from..from + driver.code.len()].copy_from_slice(&driver.code);
    }

    /// Runs an instruction that was placed.
    pub fn run(&mut self, case: &Case, before: &Before, memory: &Memory, stack: &StackBytes) -> After {
        let arena = self.machine.arena_mut();
        arena.bytes_mut(Region::Window(SLOT)).copy_from_slice(&memory.window);
        arena.bytes_mut(Region::Stack(SLOT)).copy_from_slice(&memory.stack);
        arena.bytes_mut(Region::NativeStack)[STACK_FROM..][..1024].copy_from_slice(stack);
        let block = arena.bytes_mut(Region::Control);
        X86_64::store(&before.file, &mut block[at(control::PROBE_IN)..]);
        block[at(control::PROBE_TARGET)..][..8].copy_from_slice(&case.place.to_le_bytes());
        let exit = PROBE_AFTER + self.frame.exit;
        let code = case.place..case.end();
        let end = self.machine.run_watched(PROBE_BEFORE, exit, code, &mut Watch::default());
        let arena = self.machine.arena();
        After {
            end: end
                .map(|()| X86_64::load(&arena.bytes(Region::Control)[at(control::PROBE_OUT)..]))
                .map_err(|stop| stop.fault),
            memory: Memory {
                slot: SLOT,
                window: arena.bytes(Region::Window(SLOT)).into(),
                stack: arena.bytes(Region::Stack(SLOT)).into(),
            },
            native_stack: stack_bytes(arena.bytes(Region::NativeStack)),
        }
    }
}

fn stack_bytes(stack: &[u8]) -> StackBytes {
    stack[STACK_FROM..][..1024].try_into().expect("as many bytes")
}

fn at(address: u64) -> usize {
    (address - Region::Control.address()) as usize
}

/// Runs an instruction on the semantics, with zeros or ones for what is undefined.
pub fn ours(
    cpu: &mut Cpu,
    case: &Case,
    before: &Before,
    memory: &Memory,
    stack: &StackBytes,
    bit: bool,
) -> After {
    cpu.set_undefined(bit);
    cpu.load(&before.file);
    cpu.space.begin(false);
    cpu.space.code_place = case.place;
    cpu.space.code.clone_from(&case.bytes);
    cpu.space.memory.clone_from(memory);
    cpu.space.native_stack_mut()[STACK_FROM..][..1024].copy_from_slice(stack);
    let decoded: Decoded<X86_64> = Decoded::new(&case.bytes).expect("it is covered");
    let end = decoded.run(cpu, 1000).map(|()| cpu.store(&before.file));
    let native_stack = stack_bytes(cpu.space.native_stack_mut());
    After { end, memory: cpu.space.memory.clone(), native_stack }
}
