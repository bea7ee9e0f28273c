// SPDX-License-Identifier: GPL-2.0-or-later
//! The engine for native code, written once for every machine and architecture.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::ops::Range;

use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::RegSet;
use kop_ops::state::{Registers, Slot};
use kop_ops::{Features, Memory, State};

use crate::arena::Region;
use crate::engine::{
    Batch, BatchResult, Chunk, ChunkResult, Doubt, Engine, Executes, NativeCode, Observation, Probe, Program,
};
use crate::machine::{Machine, Watch};
use crate::mistakes::Mistake;
use crate::native::{
    CHUNK_FRAME, CHUNKS, ChunkFrame, Driver, Drivers, LOOP_BOUND, Loop, PROBE_AFTER, PROBE_BEFORE,
    PROBE_CODES, ProbeFrame, STACK_POINTER, block, control,
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
    chunk_frame: ChunkFrame,
    /// The codes of probes.
    probes: Places,
    /// The loops of chunks.
    chunks: Places,
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
            chunk_frame: D::chunk_frame(),
            probes: Places::within(PROBE_CODES),
            chunks: Places::within(CHUNKS),
            drivers: PhantomData,
        };
        let ProbeFrame { before, after, .. } = engine.frame.clone();
        engine.place_code(PROBE_BEFORE, &before);
        engine.place_code(PROBE_AFTER, &after);
        let frame = engine.chunk_frame.code.clone();
        engine.place_code(CHUNK_FRAME, &frame);
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

    /// Puts the loops of a chunk into place and returns where each is.
    fn place_loops(&mut self, loops: &[Loop]) -> Vec<u64> {
        let room = |of: &Loop| of.code.len() + LOOP_BOUND;
        let keys: Vec<Vec<u8>> = loops.iter().map(key).collect();
        let new = |(key, _): &(&Vec<u8>, &Loop)| !self.chunks.placed.contains_key(*key);
        let needed = keys.iter().zip(loops).filter(new).map(|(_, of)| room(of)).sum();
        if !self.chunks.has_room(needed) {
            self.chunks.clear();
            self.machine.forget_code();
        }
        let mut places = Vec::with_capacity(loops.len());
        for (key, of) in keys.into_iter().zip(loops) {
            let (place, is_new) = self.chunks.place(key, room(of));
            if is_new {
                let code = D::chunk_loop(of, place, &self.chunk_frame);
                debug_assert!(code.len() <= room(of), "the bound holds");
                self.place_code(place, &code);
            }
            places.push(place);
        }
        places
    }

    /// Puts the code of a probe into place.
    fn place_probe(&mut self, code: &[u8]) -> Driver {
        let room = code.len() + PROBE_JUMP;
        if !self.probes.placed.contains_key(code) && !self.probes.has_room(room) {
            self.probes.clear();
            self.machine.forget_code();
        }
        let (place, is_new) = self.probes.place(code.to_vec(), room);
        let driver = D::probe(code, place, &self.frame);
        if is_new {
            self.place_code(place, &driver.code);
        }
        driver
    }

    /// Writes the rows of a chunk and the blocks of its halves.
    fn write_halves(&mut self, chunk: &Chunk, places: &[u64]) -> Vec<Half> {
        let mut halves = Vec::with_capacity(2 * chunk.batches.len());
        let (rows, blocks) = self.machine.arena_mut().bytes_mut(Region::Rows).split_at_mut(ROWS_BYTES);
        let mut blocks = blocks.chunks_exact_mut(block::size(D::GENERAL) as usize);
        let mut at = 0;
        for (number, batch) in chunk.batches.iter().enumerate() {
            write_words(&mut rows[at..at + 8 * batch.states.len()], batch.states);
            for (half, &count) in batch.halves().iter().enumerate().filter(|(_, count)| **count > 0) {
                let (general, kept) = registers::<D>(batch, half);
                let start = Region::Rows.address() + at as u64;
                at += 8 * count * batch.inputs.len();
                let end = Region::Rows.address() + at as u64;
                let block = blocks.next().expect("a chunk has no more batches than there are blocks for");
                write_words(block, &[places[number], start, end]);
                write_words(&mut block[block::BEFORE as usize..], &general);
                halves.push(Half { batch: number, kept });
            }
        }
        let last = block::FIRST + halves.len() as u64 * block::size(D::GENERAL);
        let control = self.machine.arena_mut().bytes_mut(Region::Control);
        write_words(&mut control[control_offset(control::LAST)..], &[last]);
        halves
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

/// Where codes are. One that was there before is where it was, so that a machine which translates code has it still; others go
/// where nothing has run since the places were last given anew.
struct Places {
    within: Range<u64>,
    next: u64,
    placed: HashMap<Vec<u8>, u64>,
}

impl Places {
    fn within(within: Range<u64>) -> Self {
        Self { next: within.start, within, placed: HashMap::new() }
    }

    fn has_room(&self, length: usize) -> bool {
        self.next + length as u64 <= self.within.end
    }

    fn clear(&mut self) {
        self.next = self.within.start;
        self.placed.clear();
    }

    /// The place of what `key` stands for, and whether it is a new one, of `length` bytes.
    fn place(&mut self, key: Vec<u8>, length: usize) -> (u64, bool) {
        let next = self.next;
        let place = *self.placed.entry(key).or_insert(next);
        let is_new = place == next;
        if is_new {
            self.next = (next + length as u64).next_multiple_of(16);
        }
        (place, is_new)
    }
}

/// What tells a loop from others.
fn key(of: &Loop) -> Vec<u8> {
    let registers = |set: RegSet| set.iter().fold(0u16, |bits, reg| bits | 1 << reg.index()).to_le_bytes();
    [of.code, &registers(of.inputs), &registers(of.outputs)].concat()
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
        let loops: Vec<Loop> = chunk.batches.iter().map(of_batch).collect();
        let places = self.place_loops(&loops);
        let halves = self.write_halves(chunk, &places);
        self.load_memory(chunk.memory);
        if let Err(stop) = self.machine.run(CHUNK_FRAME, CHUNK_FRAME + self.chunk_frame.exit) {
            self.stack_is_intact();
            return ChunkResult::doubtful(chunk.batches.len(), Doubt::Fault(stop.fault));
        }
        if !self.stack_is_intact() {
            return ChunkResult::doubtful(chunk.batches.len(), Doubt::Stack);
        }
        let rows = self.machine.arena().bytes(Region::Rows);
        let blocks = &rows[ROWS_BYTES..];
        let mut changed = vec![false; chunk.batches.len()];
        for (block, half) in blocks.chunks_exact(block::size(D::GENERAL) as usize).zip(&halves) {
            let after = &block[block::after(D::GENERAL) as usize..];
            let kept = |&(number, value): &(usize, u64)| word(after, number) == value;
            changed[half.batch] |= !half.kept.iter().all(kept);
        }
        let mut start = 0;
        let outputs = |(batch, changed): (&Batch, bool)| {
            let own = &rows[start..start + 8 * batch.states.len()];
            start += own.len();
            if changed {
                return BatchResult::Doubt(Doubt::Register);
            }
            let words = own.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
            BatchResult::Ran { rows: words.collect(), faults: Vec::new() }
        };
        let batches = chunk.batches.iter().zip(changed).map(outputs).collect();
        ChunkResult { batches, memory: Some(self.memory(chunk.memory.slot)) }
    }

    fn probe(&mut self, probe: &Probe) -> Observation {
        let code = native(&probe.program);
        let before = D::register_file(&probe.state.registers, probe.garbage);
        let driver = self.place_probe(&code.bytes);
        self.load_memory(&probe.state.memory);
        let control = self.machine.arena_mut().bytes_mut(Region::Control);
        D::store(&before, &mut control[control_offset(control::PROBE_IN)..]);
        control[control_offset(control::PROBE_TARGET)..][..8].copy_from_slice(&driver.place.to_le_bytes());
        let slot = probe.state.memory.slot;
        let mut watch = Watch { slot: Some(slot), ..Watch::default() };
        let stop =
            self.machine.run_watched(driver.entry, driver.exit, driver.under_test.clone(), &mut watch).err();
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

/// Half a batch.
struct Half {
    /// The batch's number in the chunk.
    batch: usize,
    /// What registers must hold afterwards, by number.
    kept: Vec<(usize, u64)>,
}

/// How far the rows go in their region; the blocks are behind them.
const ROWS_BYTES: usize = (block::FIRST - Region::Rows.address()) as usize;

/// What registers hold before half a batch, by number, and those of them that must hold it afterwards.
fn registers<D: Drivers>(batch: &Batch, half: usize) -> (Vec<u64>, Vec<(usize, u64)>) {
    let mut choices = Seeded::derived(batch.garbage, &[half as u64]);
    let mut general: Vec<u64> = (0..D::GENERAL).map(|_| choices.bits()).collect();
    general[D::STACK] = STACK_POINTER;
    for reg in RegSet::ALL.iter() {
        general[D::number(reg)] = batch.background[half][reg.index()];
    }
    let constant = RegSet::ALL.minus(batch.inputs).iter().map(D::number).chain(D::kept_by_loops());
    let kept = constant.map(|number| (number, general[number])).collect();
    (general, kept)
}

fn of_batch<'a>(batch: &Batch<'a>) -> Loop<'a> {
    let (inputs, outputs) = (batch.inputs, batch.outputs);
    Loop { code: &native(&batch.program).bytes, inputs, outputs }
}

fn write_words(bytes: &mut [u8], words: &[u64]) {
    for (to, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *to = word.to_le_bytes();
    }
}

const _: () = assert!(STACK_POINTER < 0x7fff_0000);

#[cfg(all(test, feature = "unicorn"))]
mod tests {
    use super::*;
    use crate::engines::ENGINES;
    use kop_ops::{Arch, Vectors, aarch64, x86_64};

    /// What becomes of a batch of code that sets a register which is none of its inputs.
    fn run(arch: Arch, bytes: Vec<u8>) -> BatchResult {
        let name = format!("unicorn-{}", arch.name());
        let kind = ENGINES.iter().find(|kind| kind.name == name).expect("it is an engine");
        let code = NativeCode {
            arch,
            bytes,
            features: Features::NONE,
            other_features: Vec::new(),
            vex_vector: false,
            vectors: Vectors::default(),
        };
        let memory = Memory::zeroed(Slot::default());
        let inputs = RegSet::of(&[kop_ops::ebpf::Reg::R1]);
        let background = [[3; 11]; 2];
        let program = Program::Native(&code);
        let states = [1, 2, 3, 4, 5, 6];
        let batch =
            Batch { program, inputs, outputs: inputs, states: &states, background: &background, garbage: 7 };
        let mut engine = kind.make().expect("it is here");
        engine.run(&Chunk { memory: &memory, batches: vec![batch] }).batches.remove(0)
    }

    #[test]
    fn a_register_that_must_be_preserved_and_one_that_nobody_names_make_a_batch_doubtful() {
        let x86 = |gpr| {
            let mut asm = x86_64::Assembler::new();
            asm.mov(x86_64::Size::B8, gpr, 1);
            run(Arch::X86_64, asm.finish().expect("it has an encoding").bytes)
        };
        let arm = |gpr| {
            let mut asm = aarch64::Assembler::new();
            asm.mov_imm64(gpr, 1);
            run(Arch::Aarch64, asm.finish().expect("it has an encoding").bytes)
        };
        let doubt = BatchResult::Doubt(Doubt::Register);
        assert_eq!([x86(x86_64::Gpr::R9), x86(x86_64::Gpr::R13)], [doubt.clone(), doubt.clone()]);
        assert_eq!([arm(aarch64::Gpr::X5), arm(aarch64::Gpr::X19)], [doubt.clone(), doubt]);
        let ran = BatchResult::Ran { rows: vec![1, 2, 3, 4, 5, 6], faults: Vec::new() };
        assert_eq!([x86(x86_64::Gpr::R10), arm(aarch64::Gpr::X9)], [ran.clone(), ran]);
    }
}
