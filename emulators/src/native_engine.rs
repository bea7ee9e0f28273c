// SPDX-License-Identifier: GPL-2.0-or-later
//! The engine for native code, written once for every machine and architecture.

use std::marker::PhantomData;
use std::ops::Range;

use kop_ops::state::{Registers, Slot};
use kop_ops::{Features, Memory, State};

use crate::arena::{Arena, Region};
use crate::engine::{
    Batch, BatchResult, Chunk, ChunkResult, Doubt, Engine, Executes, NativeCode, Observation, Probe, Program,
};
use crate::machine::{Machine, Watch};
use crate::mistakes::Mistake;
use crate::native::{
    CHUNKS, Drivers, LoopBatch, PROBE_AFTER, PROBE_BEFORE, PROBE_CODES, ProbeFrame, STACK_POINTER,
    chunk_bound, control,
};

/// What a machine's CPU can execute.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities {
    /// The features it has.
    pub features: Features,
    /// Whether VEX- and EVEX-encoded vector instructions are executed rightly.
    pub vex_vector: bool,
    /// Names of features beyond [`Features`] that it has.
    pub others: &'static [&'static str],
    /// What it gets wrong.
    pub mistake: Mistake,
}

/// An engine that runs native code on machine `M` with the drivers `D`.
pub struct NativeEngine<M, D> {
    name: &'static str,
    machine: M,
    capabilities: Capabilities,
    frame: ProbeFrame,
    /// Where the next code of a probe and the next driver of a chunk go.
    next_code: [u64; 2],
    drivers: PhantomData<D>,
}

impl<M: Machine, D: Drivers> NativeEngine<M, D> {
    /// An engine called `name`.
    pub fn new(name: &'static str, mut machine: M, capabilities: Capabilities) -> Self {
        machine.arena_mut().bytes_mut(Region::NativeStack).fill(STACK_CANARY);
        let mut engine = Self {
            name,
            machine,
            capabilities,
            frame: D::probe_frame(),
            next_code: [PROBE_CODES.start, CHUNKS.start],
            drivers: PhantomData,
        };
        let ProbeFrame { before, after, .. } = engine.frame.clone();
        engine.place_code(PROBE_BEFORE, &before);
        engine.place_code(PROBE_AFTER, &after);
        engine
    }

    fn load_memory(&mut self, memory: &Memory) {
        let arena = self.machine.arena_mut();
        arena.bytes_mut(Region::Window(memory.slot)).copy_from_slice(&memory.window);
        arena.bytes_mut(Region::Stack(memory.slot)).copy_from_slice(&memory.stack);
    }

    fn memory(&self, slot: Slot) -> Memory {
        let arena = self.machine.arena();
        let window = arena.bytes(Region::Window(slot)).into();
        Memory { slot, window, stack: arena.bytes(Region::Stack(slot)).into() }
    }

    fn place_code(&mut self, place: u64, code: &[u8]) {
        let from = (place - Region::Code.address()) as usize;
        self.machine.arena_mut().bytes_mut(Region::Code)[from..from + code.len()].copy_from_slice(code);
    }

    /// A fresh place for `length` bytes of code; what was translated is forgotten when places run out.
    fn fresh_place(&mut self, length: usize, within: &Range<u64>) -> u64 {
        let next = &mut self.next_code[usize::from(*within == CHUNKS)];
        if *next + length as u64 > within.end {
            *next = within.start;
            self.machine.forget_code();
        }
        let place = *next;
        *next = (place + length as u64).next_multiple_of(16);
        place
    }

    /// Whether the caller's part of the native stack is as it was; mends it if not.
    fn stack_is_intact(&mut self) -> bool {
        let half = Region::NativeStack.size() / 2;
        let callers =
            &mut self.machine.arena_mut().bytes_mut(Region::NativeStack)[half..half + CALLERS_BYTES];
        let intact = callers == [STACK_CANARY; CALLERS_BYTES];
        if !intact {
            callers.fill(STACK_CANARY);
        }
        intact
    }
}

/// What the native stack is filled with.
const STACK_CANARY: u8 = 0xa5;

/// How much of the caller's stack is looked at; an access beyond faults or is observed by probes.
const CALLERS_BYTES: usize = 4096;

fn native<'a>(program: &Program<'a>) -> &'a NativeCode {
    match program {
        Program::Native(code) => code,
        _ => unreachable!("the harness gives native engines native code"),
    }
}

fn word(bytes: &[u8], index: usize) -> u64 {
    u64::from_le_bytes(bytes[8 * index..8 * index + 8].try_into().expect("eight bytes"))
}

fn control_offset(address: u64) -> usize {
    (address - Region::Control.address()) as usize
}

impl<M: Machine, D: Drivers> Engine for NativeEngine<M, D> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn executes(&self) -> Executes {
        Executes::Native(D::ARCH)
    }

    fn bounds_execution(&self) -> bool {
        self.machine.bounds_watched_runs()
    }

    fn hides_fault_at(&self, slot: Slot, address: u64) -> bool {
        self.machine.hides_fault_at(slot, address)
    }

    fn admits(&self, program: &Program) -> Result<(), String> {
        let Program::Native(code) = program else {
            return Err("it executes native code only".to_owned());
        };
        if code.arch != D::ARCH {
            return Err(format!("it executes {} code only", D::ARCH));
        }
        let missing = code.features.minus(self.capabilities.features);
        if !missing.is_empty() {
            return Err(format!("it lacks {missing}"));
        }
        if code.vex_vector && !self.capabilities.vex_vector {
            return Err("it does not execute VEX- and EVEX-encoded vector instructions rightly".to_owned());
        }
        if let Some(name) =
            code.other_features.iter().find(|name| !self.capabilities.others.contains(&name.as_str()))
        {
            return Err(format!("it is not known to execute {name}"));
        }
        match (self.capabilities.mistake)(&code.bytes) {
            Some(what) => Err(format!("it does not execute this rightly: {what}")),
            None => Ok(()),
        }
    }

    fn run(&mut self, chunk: &Chunk) -> ChunkResult {
        let mut rows = Rows::new(self.machine.arena_mut());
        let loops: Vec<LoopBatch> = chunk
            .batches
            .iter()
            .map(|batch| LoopBatch {
                code: &native(&batch.program).bytes,
                inputs: batch.inputs,
                outputs: batch.outputs,
                halves: batch.halves(),
                background: batch.background,
                garbage: batch.garbage,
                rows: rows.write(batch),
            })
            .collect();
        let place = self.fresh_place(chunk_bound(&loops), &CHUNKS);
        let driver = D::chunk(&loops, place);
        debug_assert!(driver.code.len() <= chunk_bound(&loops), "the bound holds");
        self.place_code(place, &driver.code);
        self.load_memory(chunk.memory);
        if let Err(stop) = self.machine.run(driver.entry, driver.exit) {
            self.stack_is_intact();
            return ChunkResult::doubtful(chunk.batches.len(), Doubt::Fault(stop.fault));
        }
        if !self.stack_is_intact() {
            return ChunkResult::doubtful(chunk.batches.len(), Doubt::Stack);
        }
        let residues = self.machine.arena().bytes(Region::Control);
        let mut changed = vec![false; chunk.batches.len()];
        for &(number, address, expected) in &driver.residues {
            changed[number] |= word(&residues[control_offset(address)..], 0) != expected;
        }
        let rows = self.machine.arena().bytes(Region::Rows);
        let batches = chunk
            .batches
            .iter()
            .zip(&loops)
            .zip(changed)
            .map(|((batch, placed), changed)| {
                if changed {
                    return BatchResult::Doubt(Doubt::Register);
                }
                let start = (placed.rows - Region::Rows.address()) as usize;
                BatchResult::Ran { outputs: read_outputs(batch, &rows[start..]), faults: Vec::new() }
            })
            .collect();
        ChunkResult { batches, memory: Some(self.memory(chunk.memory.slot)) }
    }

    fn probe(&mut self, probe: &Probe) -> Observation {
        let code = native(&probe.program);
        let before = D::register_file(&probe.state.registers, probe.garbage);
        let place = self.fresh_place(code.bytes.len() + PROBE_JUMP, &PROBE_CODES);
        let driver = D::probe(&code.bytes, place, &self.frame);
        self.place_code(place, &driver.code);
        self.load_memory(&probe.state.memory);
        let control = self.machine.arena_mut().bytes_mut(Region::Control);
        D::store(&before, &mut control[control_offset(control::PROBE_IN)..]);
        control[control_offset(control::PROBE_TARGET)..][..8].copy_from_slice(&place.to_le_bytes());
        let (_, start, end) = driver.under_test[0];
        let slot = probe.state.memory.slot;
        let mut watch = Watch { slot: Some(slot), ..Watch::default() };
        let stop = self.machine.run_watched(driver.entry, driver.exit, start..end, &mut watch).err();
        let intact = self.stack_is_intact();
        let mut breaches = watch.breaches;
        let mut registers: Registers = probe.state.registers;
        if stop.is_none() {
            let control = self.machine.arena().bytes(Region::Control);
            let after = D::load(&control[control_offset(control::PROBE_OUT)..]);
            registers = D::ebpf(&after);
            breaches.extend(D::breaches(&before, &after, code.vectors));
        }
        if !intact && !breaches.iter().any(|breach| matches!(breach, crate::FrameBreach::CallerStack { .. }))
        {
            breaches.push(crate::FrameBreach::CallerStack { write: true, above: 0 });
        }
        Observation {
            state: State { registers, memory: self.memory(slot) },
            fault: stop.map(|stop| stop.fault),
            breaches,
            accesses: watch.accesses,
            native_stack: watch.native_stack,
        }
    }
}

/// More than what a probe driver adds to the code under test.
const PROBE_JUMP: usize = 64;

/// Writes states to the rows region, batch after batch.
struct Rows<'a> {
    bytes: &'a mut [u8],
    used: usize,
}

impl<'a> Rows<'a> {
    fn new(arena: &'a mut Arena) -> Self {
        Self { bytes: arena.bytes_mut(Region::Rows), used: 0 }
    }

    /// Returns the address of the batch's rows.
    fn write(&mut self, batch: &Batch) -> u64 {
        let start = self.used;
        for state in batch.states.chunks_exact(batch.inputs.len()) {
            for (i, value) in state.iter().enumerate() {
                let at = self.used + 8 * i;
                self.bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
            self.used += 8 * batch.row_words();
        }
        Region::Rows.address() + start as u64
    }
}

fn read_outputs(batch: &Batch, rows: &[u8]) -> Vec<u64> {
    let mut outputs = Vec::with_capacity(batch.count() * batch.outputs.len());
    for row in rows.chunks_exact(8 * batch.row_words()).take(batch.count()) {
        outputs.extend((0..batch.outputs.len()).map(|i| word(row, batch.inputs.len() + i)));
    }
    outputs
}

const _: () = assert!(STACK_POINTER < 0x7fff_0000);
