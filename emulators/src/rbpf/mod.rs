// SPDX-License-Identifier: GPL-2.0-or-later
//! The reference: rbpf's interpreter on proof sequences.
//!
//! rbpf takes r1 in and gives r0 out. To run a batch in one entry, the proof stands in a loop of eBPF that loads a state
//! from an array, runs it, and stores the result. The loop addresses its arrays through r10, which the proof finds
//! pointing to its stack again.

mod jit;
mod lint;
mod loops;
mod notes;
mod program;

pub use jit::RbpfJit;
pub use lint::{Rule, lint};
pub use program::RbpfProgramEngine;

use ::rbpf::EbpfVmMbuff;
use kop_ops::ebpf::{Insn, Operand, Reg, RegSet, encode_program};
use kop_ops::state::Slot;
use kop_ops::{Access, Fault, Memory, State};

use crate::arena::Region;
use crate::engine::{
    AccessRecord, Batch, BatchResult, Chunk, ChunkResult, Engine, Executes, Observation, Probe, Program,
};
use crate::slots::{Slots, slots};

/// The name of the engine.
pub const NAME: &str = "rbpf";

/// The engine.
pub struct RbpfEngine {
    slots: &'static Slots,
    /// The current row's address and the rows' end, where the loop finds them.
    cursor: Box<[u64; 2]>,
    rows: Vec<u64>,
    /// What a proof with notes writes down.
    trace: Vec<notes::Note>,
}

impl RbpfEngine {
    /// The engine.
    ///
    /// # Errors
    /// Why windows and stacks cannot be mapped, in one line.
    pub fn new() -> Result<Self, String> {
        Ok(Self { slots: slots()?, cursor: Box::new([0; 2]), rows: Vec::new(), trace: Vec::new() })
    }

    fn run_batch(&mut self, batch: &Batch, slot: Slot) -> BatchResult {
        let proof = proof(&batch.program);
        let (inputs, outputs) = (batch.inputs, batch.outputs);
        self.rows.clear();
        self.rows.extend_from_slice(batch.states);
        let rows = self.rows.as_ptr_range();
        let rows = rows.start as u64..rows.end as u64;
        let mut faults = Vec::new();
        if let Some(code) = loops::quick(proof, inputs, outputs, slot, rows.clone()) {
            self.execute_registers(&encode_program(&code));
        } else {
            let code = loops::faulting(proof, inputs, outputs, slot, self.cursor.as_ptr() as u64);
            let code = encode_program(&code);
            let stride = 8 * inputs.len() as u64;
            *self.cursor = [rows.start, rows.end];
            while self.cursor[0] < self.cursor[1] {
                let Err(fault) = self.execute(&code, slot) else { break };
                faults.push((((self.cursor[0] - rows.start) / stride) as usize, fault));
                self.cursor[0] += stride;
            }
        }
        BatchResult::Ran { rows: self.rows.clone(), faults }
    }

    /// Runs a program that accesses rows alone. They are the first memory that rbpf looks for an address in.
    fn execute_registers(&mut self, code: &[u8]) {
        let vm = machine(code);
        // SAFETY: the bytes are those of the rows, which stay where they are while the program runs; rbpf never looks at the
        // slice's bytes but through pointers made from its address.
        let rows = unsafe { std::slice::from_raw_parts(self.rows.as_ptr().cast(), 8 * self.rows.len()) };
        vm.execute_program(&[], rows).expect("a program that accesses its rows alone does not fault");
    }

    /// Runs a program on the slot's memory, whose lock the caller holds.
    fn execute(&mut self, code: &[u8], slot: Slot) -> Result<(), Fault> {
        let mut vm = machine(code);
        let cursor = self.cursor.as_ptr() as u64;
        vm.register_allowed_memory(cursor..cursor + 16);
        let rows = self.rows.as_ptr() as u64;
        vm.register_allowed_memory(rows..rows + 8 * self.rows.len() as u64);
        let trace = self.trace.as_ptr() as u64;
        vm.register_allowed_memory(trace..trace + 16 * self.trace.len() as u64);
        let window = fixed(slot.window(), Region::Window(slot).size());
        let stack = fixed(slot.stack(), Region::Stack(slot).size());
        match vm.execute_program(window, stack) {
            Ok(_) => Ok(()),
            Err(error) => Err(fault(&error.to_string(), slot)),
        }
    }

    /// Runs code on one state, on its slot's memory, whose lock the caller holds; the registers are then in the row.
    fn run_alone(&mut self, code: &[Insn], state: &State) -> Result<(), Fault> {
        let slot = state.memory.slot;
        self.load_memory(&state.memory);
        let all = RegSet::ALL;
        self.rows.clear();
        self.rows.extend_from_slice(&state.registers);
        self.cursor[0] = self.rows.as_ptr() as u64;
        self.cursor[1] = self.cursor[0] + 8 * self.rows.len() as u64;
        let code = encode_program(&loops::faulting(code, all, all, slot, self.cursor.as_ptr() as u64));
        self.execute(&code, slot)
    }

    /// The path that `proof` takes from `state`: for each of its blocks, in order, whether it runs. A block starts where a
    /// jump goes and after each jump; a proof without jumps has one.
    ///
    /// `None` when the engine does not admit the proof.
    pub fn path(&mut self, proof: &[Insn], state: &State) -> Option<Vec<bool>> {
        lint(proof).ok()?;
        let blocks = notes::block_starts(proof).len();
        if blocks == 1 {
            return Some(vec![true]);
        }
        let slot = state.memory.slot;
        let shared = self.slots;
        let _lock = shared.lock(slot);
        self.trace.clear();
        self.trace.resize(blocks, [0; 2]);
        let noted = notes::of_blocks(proof, slot, self.trace.as_ptr() as u64);
        // A fault ends the path where it happens, and the notes up to there are written.
        let _ = self.run_alone(&noted, state);
        Some(self.trace.iter().map(|note| note[1] == 1).collect())
    }

    fn load_memory(&self, memory: &Memory) {
        self.slots.write(Region::Window(memory.slot), &memory.window);
        self.slots.write(Region::Stack(memory.slot), &memory.stack);
    }

    fn memory(&self, slot: Slot) -> Memory {
        let read = |region: Region| self.slots.bytes(region).into();
        Memory { slot, window: read(Region::Window(slot)), stack: read(Region::Stack(slot)) }
    }
}

/// The bytes at a fixed address, as rbpf wants to see them; rbpf reads and writes them through raw pointers.
fn fixed(address: u64, size: usize) -> &'static [u8] {
    // SAFETY: `RbpfEngine::new` is the only way to an engine, and it maps every slot for the life of the process. The slot's
    // lock, held by the caller of `execute`, keeps other threads away; rbpf itself never looks at the slice's bytes but
    // through pointers made from its address.
    unsafe { std::slice::from_raw_parts(address as *const u8, size) }
}

fn proof<'a>(program: &Program<'a>) -> &'a [Insn] {
    match program {
        Program::Proof(proof) => proof,
        _ => unreachable!("the harness gives rbpf proof sequences"),
    }
}

/// A machine for a program that rbpf's own verifier has not seen.
fn machine(code: &[u8]) -> EbpfVmMbuff<'_> {
    let mut vm = EbpfVmMbuff::new(None).expect("a machine without a program is always made");
    vm.set_verifier(|_| Ok(())).expect("there is no program to verify yet");
    vm.set_program(code).expect("the verifier accepts everything");
    vm
}

/// rbpf reports faults as text: `Error: out of bounds memory load (insn #3), addr 0x10, size 8`. The address is that of the
/// access, and the number counts slots from 1.
fn refused(message: &str) -> Option<(Access, Option<u64>, Option<usize>)> {
    let digits = |after: &str| {
        let rest = &message[message.find(after)? + after.len()..];
        Some(rest.split(|c: char| !c.is_ascii_hexdigit()).next().unwrap_or_default())
    };
    if !message.contains("out of bounds memory") {
        return None;
    }
    let access = if message.contains("memory store") { Access::Write } else { Access::Read };
    let address = digits("addr 0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    Some((access, address, digits("insn #").and_then(|digits| digits.parse().ok())))
}

fn fault(message: &str, slot: Slot) -> Fault {
    let Some((access, address, _)) = refused(message) else { return Fault::Other(-1) };
    // The first byte that is out of bounds may lie within the access.
    let address = address.map(|address| {
        if (slot.window()..slot.window_end()).contains(&address) {
            slot.window_end()
        } else if (slot.stack()..slot.stack_end()).contains(&address) {
            slot.stack_end()
        } else {
            address
        }
    });
    Fault::Memory { access, address }
}

impl Engine for RbpfEngine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn executes(&self) -> Executes {
        Executes::Proof
    }

    fn admits(&self, program: &Program) -> Result<(), String> {
        let Program::Proof(proof) = program else {
            return Err("it executes proof sequences only".to_owned());
        };
        lint(proof).map_err(|rule| rule.to_string())?;
        let mut program = proof.to_vec();
        program.push(Insn::exit());
        let code = encode_program(&program);
        EbpfVmMbuff::new(Some(&code)).map(drop).map_err(|error| error.to_string().replace('\n', " "))
    }

    fn run(&mut self, chunk: &Chunk) -> ChunkResult {
        let slot = chunk.memory.slot;
        let shared = self.slots;
        let _lock = shared.lock(slot);
        self.load_memory(chunk.memory);
        self.trace.clear();
        let batches = chunk.batches.iter().map(|batch| self.run_batch(batch, slot)).collect();
        ChunkResult { batches, memory: Some(self.memory(slot)) }
    }

    fn probe(&mut self, probe: &Probe) -> Observation {
        let proof = proof(&probe.program);
        let slot = probe.state.memory.slot;
        let shared = self.slots;
        let _lock = shared.lock(slot);
        let accesses: Vec<&Insn> = proof.iter().filter(|insn| insn.access().is_some()).collect();
        self.trace = vec![[0; 2]; accesses.len()];
        let noted = notes::of_accesses(proof, slot, self.trace.as_ptr() as u64);
        let fault = self.run_alone(&noted, probe.state).err();
        let mut state = State { registers: probe.state.registers, memory: self.memory(slot) };
        if fault.is_none() {
            state.registers.copy_from_slice(&self.rows);
            state.set(Reg::R10, slot.stack_end());
        }
        let accesses = accesses.iter().zip(&self.trace).filter(|(_, note)| note[1] == 1);
        let accesses = accesses.filter_map(|(insn, note)| record(insn, note[0], slot)).collect();
        Observation { state, fault, breaches: Vec::new(), accesses: Some(accesses), native_stack: Vec::new() }
    }
}

fn record(insn: &Insn, address: u64, slot: Slot) -> Option<AccessRecord> {
    let (access, base, off, size) = match *insn {
        Insn::Load { base, off, size, .. } => (Access::Read, base, off, size),
        Insn::Store { base, off, size, src: Operand::Reg(_) | Operand::Imm(_) } => {
            (Access::Write, base, off, size)
        }
        _ => return None,
    };
    let address = if base == Reg::R10 { slot.stack_end() } else { address };
    Some(AccessRecord {
        access,
        address: address.wrapping_add_signed(i64::from(off)),
        size: size.bytes() as u32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kop_ops::ebpf::{AluOp, Cond};

    #[test]
    fn a_path_tells_the_blocks_that_ran() {
        let mut engine = RbpfEngine::new().expect("the slots are free");
        let (r0, r1) = (Reg::R0, Reg::R1);
        let proof = [
            Insn::mov64(r0, 0),
            Insn::jump(Cond::Eq, r1, 0, 1),
            Insn::alu64(AluOp::Add, r0, 1),
            Insn::jump(Cond::SGt, r1, 5, 1),
            Insn::alu64(AluOp::Add, r0, 2),
            Insn::alu64(AluOp::Add, r0, 3),
        ];
        for (value, path) in [
            (0, [true, false, true, true, true]),
            (3, [true, true, true, true, true]),
            (9, [true, true, true, false, true]),
        ] {
            let mut state = State::zeroed(Slot::default());
            state.set(r1, value);
            assert_eq!(engine.path(&proof, &state), Some(path.to_vec()), "{value}");
        }
        assert_eq!(engine.path(&proof[..1], &State::zeroed(Slot::default())), Some(vec![true]));
        assert_eq!(engine.path(&[Insn::exit()], &State::zeroed(Slot::default())), None);
    }
}
