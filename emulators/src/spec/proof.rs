// SPDX-License-Identifier: GPL-2.0-or-later
//! Proof sequences on the interpreter of the `semantics` crate: all of eBPF, and a second opinion on what rbpf runs.

use kop_ops::ebpf::{Insn, Reg};
use kop_ops::state::{Access, Registers};
use kop_ops::{Fault, Flow, Memory, Object, Program as EbpfProgram, ProgramKind, State};
use kop_semantics::spec::{Interpreter, Observer, Start};
use kop_semantics::{Image, World, spec};

use super::{NAME, SpecEngine};
use crate::engine::{
    AccessRecord, Batch, BatchResult, Chunk, ChunkResult, Engine, Executes, Observation, Probe, Program,
};

/// Proof sequences have no loops and are far shorter.
const FUEL: u64 = 1 << 20;

impl Engine for SpecEngine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn executes(&self) -> Executes {
        Executes::Proof
    }

    fn bounds_execution(&self) -> bool {
        true
    }

    fn admits(&self, program: &Program) -> Result<(), String> {
        let Program::Proof(proof) = program else {
            return Err("it executes proof sequences only".to_owned());
        };
        // The verifier wants their addresses aligned, which generated states are not; native code does not fault.
        if let Some(insn) = proof.iter().find(|insn| matches!(insn, Insn::Atomic { .. })) {
            return Err(format!(
                "`{insn}`: atomic operations need aligned addresses, which states do not have"
            ));
        }
        let object = object(proof)?;
        spec::check(&object).map_err(|unsupported| unsupported.to_string())
    }

    fn run(&mut self, chunk: &Chunk) -> ChunkResult {
        let mut machine = Machine::new(chunk.memory);
        let batches = chunk.batches.iter().map(|batch| machine.run(batch)).collect();
        ChunkResult { batches, memory: Some(machine.into_memory()) }
    }

    fn probe(&mut self, probe: &Probe) -> Observation {
        let mut machine = Machine::new(&probe.state.memory);
        let object = proof_object(&probe.program);
        let interpreter = Interpreter::new(&object, machine.image.slot);
        let mut seen = Accesses { before: probe.state.registers, records: Vec::new() };
        let (registers, fault) = machine.step(&interpreter, probe.state.registers, &mut seen);
        let state = State { registers, memory: machine.into_memory() };
        Observation {
            state,
            fault: fault.err(),
            breaches: Vec::new(),
            accesses: Some(seen.records),
            native_stack: Vec::new(),
        }
    }
}

/// A proof as a program that ends behind it.
fn object(proof: &[Insn]) -> Result<Object, String> {
    let insns = [proof, &[Insn::Exit]].concat();
    let flow = Flow::new(insns).map_err(|error| error.to_string())?;
    let program = EbpfProgram { name: "proof".to_owned(), kind: ProgramKind::Raw, flow };
    Ok(Object { programs: vec![program], ..Object::default() })
}

fn proof_object(program: &Program) -> Object {
    let Program::Proof(proof) = program else { unreachable!("the harness gives the engine proofs") };
    object(proof).expect("it was admitted")
}

/// The memory of a chunk as the interpreter has it.
struct Machine {
    image: Image,
    world: World,
}

impl Machine {
    fn new(memory: &Memory) -> Self {
        let mut image = Image::zeroed(memory.slot, 0, 0);
        image.window.copy_from_slice(&memory.window);
        image.stack.copy_from_slice(&memory.stack);
        Self { image, world: World::default() }
    }

    fn into_memory(self) -> Memory {
        let Image { slot, window, stack, .. } = self.image;
        Memory { slot, window, stack }
    }

    /// Runs a proof once.
    fn step(
        &mut self,
        interpreter: &Interpreter,
        registers: Registers,
        observer: &mut impl Observer,
    ) -> (Registers, Result<(), Fault>) {
        let start = Start { entry: 0, registers, fuel: FUEL };
        let stopped = interpreter.run(start, &mut self.world, &mut self.image, observer);
        (stopped.registers, stopped.end.map(drop).map_err(|trap| trap.fault))
    }

    fn run(&mut self, batch: &Batch) -> BatchResult {
        let object = proof_object(&batch.program);
        let interpreter = Interpreter::new(&object, self.image.slot);
        let stored = batch.stored();
        let mut rows = batch.states.to_vec();
        let mut faults = Vec::new();
        let [first_half, _] = batch.halves();
        for (number, row) in rows.chunks_exact_mut(batch.inputs.len()).enumerate() {
            let mut registers = batch.background[usize::from(number >= first_half)];
            for (reg, &value) in batch.inputs.iter().zip(&*row) {
                registers[reg.index()] = value;
            }
            registers[Reg::R10.index()] = self.image.slot.stack_end();
            let (after, end) = self.step(&interpreter, registers, &mut ());
            faults.extend(end.err().map(|fault| (number, fault)));
            stored.iter().for_each(|&(i, reg)| row[i] = after[reg.index()]);
        }
        BatchResult::Ran { rows, faults }
    }
}

/// The accesses of a run.
struct Accesses {
    /// The registers before the instruction that comes next.
    before: Registers,
    records: Vec<AccessRecord>,
}

impl Observer for Accesses {
    fn executed(&mut self, _program: usize, _index: usize, insn: &Insn, registers: &Registers) {
        let mut note = |access, base: Reg, off: i16, size: u32| {
            let address = self.before[base.index()].wrapping_add_signed(i64::from(off));
            self.records.push(AccessRecord { access, address, size });
        };
        match *insn {
            Insn::Load { size, base, off, .. } => note(Access::Read, base, off, size.bytes() as u32),
            Insn::Store { size, base, off, .. } | Insn::Atomic { size, base, off, .. } => {
                note(Access::Write, base, off, size.bytes() as u32);
            }
            _ => {}
        }
        self.before = *registers;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rbpf::RbpfEngine;
    use kop_ops::Slot;
    use kop_ops::ebpf::{RegSet, parse_program};

    const SLOT: Slot = Slot::of_batch(0);

    fn state() -> State {
        let mut state = State::zeroed(SLOT);
        for (i, reg) in Reg::ALL.into_iter().enumerate() {
            state.set(reg, 0x0123_4567_89ab_cdef_u64.rotate_left(7 * i as u32));
        }
        state.set(Reg::R1, SLOT.window() + 0x18);
        state.set(Reg::R10, SLOT.stack_end());
        for (i, byte) in state.memory.window.iter_mut().enumerate() {
            *byte = i as u8;
        }
        state
    }

    fn probe(engine: &mut dyn Engine, proof: &[Insn]) -> Observation {
        let program = Program::Proof(proof);
        engine.admits(&program).expect("it runs proofs");
        engine.probe(&Probe { program, state: &state(), garbage: 0 })
    }

    /// Sequences that rbpf is right about, faults and jumps to the end among them.
    const COMMON: [&str; 6] = [
        "r0 = r2\nr0 <<= 3\nr0 += r3",
        "w4 = w5\nw4 ^= -1",
        "r3 = *(u32 *)(r1 + 4)\n*(u16 *)(r10 - 6) = r3",
        "r1 = *(u64 *)(r1 + 0)",
        "if r2 > r3 goto +1\nr5 = 9\nr6 = 1",
        "*(u64 *)(r1 + 4080) = r2",
    ];

    #[test]
    fn it_agrees_with_rbpf_on_what_rbpf_runs() {
        let mut rbpf = RbpfEngine::new().expect("the slots are free");
        for text in COMMON {
            let proof = parse_program(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let (ours, theirs) = (probe(&mut SpecEngine, &proof), probe(&mut rbpf, &proof));
            match (ours.fault, theirs.fault) {
                (None, None) => {
                    assert_eq!(ours.state.registers, theirs.state.registers, "{text}");
                    assert_eq!(ours.accesses, theirs.accesses, "{text}");
                    assert_eq!(ours.state.memory.first_difference(&theirs.state.memory), None, "{text}");
                }
                (Some(a), Some(b)) => assert!(a.same_kind(b), "{text}: {a} against {b}"),
                (a, b) => panic!("{text}: {a:?} against {b:?}"),
            }
        }
    }

    #[test]
    fn rows_give_what_single_states_give() {
        let proof = parse_program("r3 = *(u8 *)(r1 + 0)\nr3 += r2\n*(u8 *)(r1 + 1) = r3").expect("it parses");
        let mut single = state();
        let inputs = RegSet::of(&[Reg::R1, Reg::R2, Reg::R3]);
        let states: Vec<u64> = (0..9).flat_map(|i| [SLOT.window() + 5 * i, i << 4, 9]).collect();
        let background = [single.registers, single.registers];
        let batch = Batch {
            program: Program::Proof(&proof),
            inputs,
            outputs: RegSet::of(&[Reg::R3]),
            states: &states,
            background: &background,
            garbage: 0,
        };
        let memory = single.memory.clone();
        let result = SpecEngine.run(&Chunk { memory: &memory, batches: vec![batch] });
        let mut expected = Vec::new();
        for row in states.chunks_exact(3) {
            inputs.iter().zip(row).for_each(|(reg, &value)| single.set(reg, value));
            let program = Program::Proof(&proof);
            single = SpecEngine.probe(&Probe { program, state: &single, garbage: 0 }).state;
            expected.extend([row[0], row[1], single.get(Reg::R3)]);
        }
        assert_eq!(result.batches, [BatchResult::Ran { rows: expected, faults: Vec::new() }]);
        assert_eq!(result.memory.expect("all ran").first_difference(&single.memory), None);
    }

    #[test]
    fn what_rbpf_lacks_it_runs() {
        for (text, reg, expected) in [
            ("r0 = 7\nr0 s/= -2", Reg::R0, -3_i64 as u64),
            ("r2 = -128\nr0 = (s8)r2", Reg::R0, -128_i64 as u64),
            ("r0 = 1\nr0 = bswap64 r0", Reg::R0, 1 << 56),
        ] {
            let proof = parse_program(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(probe(&mut SpecEngine, &proof).state.get(reg), expected, "{text}");
        }
    }

    #[test]
    fn a_proof_that_writes_r10_is_none() {
        let proof = [Insn::mov64(Reg::R10, 0)];
        let reason = SpecEngine.admits(&Program::Proof(&proof)).expect_err("r10 is read-only");
        assert!(reason.contains("r10"), "{reason}");
    }
}
