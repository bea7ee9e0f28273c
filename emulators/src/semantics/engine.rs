// SPDX-License-Identifier: GPL-2.0-or-later
//! The engine over the semantics of an architecture.

use std::marker::PhantomData;

use kop_ops::choices::mix;
use kop_ops::{Fault, State};

use super::{Cpu, Decoded, Native};
use crate::engine::{
    Batch, BatchResult, Chunk, ChunkResult, Doubt, Engine, Executes, NativeCode, Observation, Probe, Program,
};

/// Far more instructions than any emit takes, far fewer than a hang.
const FUEL: u32 = 1 << 15;

/// An engine that runs native code of `N` on its semantics.
pub struct SemanticsEngine<N> {
    cpu: Cpu,
    native: PhantomData<N>,
}

impl<N: Native> SemanticsEngine<N> {
    /// A new engine.
    pub fn new() -> Self {
        Self { cpu: Cpu::new(0), native: PhantomData }
    }

    /// Runs every state of a batch on the memory that is there.
    fn batch(&mut self, batch: &Batch) -> BatchResult {
        let code = native(&batch.program);
        let decoded: Decoded<N> = Decoded::new(&code.bytes).expect("it was admitted");
        let files = [0, 1].map(|half| {
            let garbage = mix(batch.garbage ^ half as u64);
            N::register_file(&batch.background[half], garbage)
        });
        let stored = batch.stored();
        let mut rows = batch.states.to_vec();
        let mut faults = Vec::new();
        let [first_half, _] = batch.halves();
        for (number, row) in rows.chunks_exact_mut(batch.inputs.len()).enumerate() {
            let half = usize::from(number >= first_half);
            self.cpu.load(&files[half]);
            for (reg, &value) in batch.inputs.iter().zip(&*row) {
                self.cpu.general[N::general(reg)] = value;
            }
            self.cpu.space.begin(false);
            match decoded.run(&mut self.cpu, FUEL) {
                Err(fault) => faults.push((number, fault)),
                Ok(()) if self.cpu.space.callers_stack_written => return BatchResult::Doubt(Doubt::Stack),
                Ok(()) if !self.kept(batch, &files[half].general) => {
                    return BatchResult::Doubt(Doubt::Register);
                }
                Ok(()) => {}
            }
            stored.iter().for_each(|&(i, reg)| row[i] = self.cpu.general[N::general(reg)]);
        }
        BatchResult::Ran { rows, faults }
    }

    /// Whether the registers that no state sets hold what they held, but for scratch registers.
    fn kept(&self, batch: &Batch, before: &[u64]) -> bool {
        let may_change = |number: usize| {
            N::SCRATCH.contains(&number) || batch.inputs.iter().any(|reg| N::general(reg) == number)
        };
        let mut changed = (0..before.len()).filter(|&number| self.cpu.general[number] != before[number]);
        changed.all(may_change)
    }
}

impl<N: Native> Default for SemanticsEngine<N> {
    fn default() -> Self {
        Self::new()
    }
}

fn native<'a>(program: &Program<'a>) -> &'a NativeCode {
    match program {
        Program::Native(code) => code,
        _ => unreachable!("the harness gives native engines native code"),
    }
}

impl<N: Native> Engine for SemanticsEngine<N> {
    fn name(&self) -> &'static str {
        N::NAME
    }

    fn executes(&self) -> Executes {
        Executes::Native(N::ARCH)
    }

    fn bounds_execution(&self) -> bool {
        true
    }

    fn admits(&self, program: &Program) -> Result<(), String> {
        let Program::Native(code) = program else {
            return Err("it executes native code only".to_owned());
        };
        if code.arch != N::ARCH {
            return Err(format!("it executes {} code only", N::ARCH));
        }
        N::decode(&code.bytes).map(drop).map_err(|unsupported| unsupported.to_string())
    }

    fn run(&mut self, chunk: &Chunk) -> ChunkResult {
        self.cpu.space.memory.clone_from(chunk.memory);
        let batches: Vec<BatchResult> = chunk.batches.iter().map(|batch| self.batch(batch)).collect();
        let doubtful = batches.iter().any(|result| matches!(result, BatchResult::Doubt(_)));
        ChunkResult { batches, memory: (!doubtful).then(|| self.cpu.space.memory.clone()) }
    }

    fn probe(&mut self, probe: &Probe) -> Observation {
        let code = native(&probe.program);
        let decoded: Decoded<N> = Decoded::new(&code.bytes).expect("it was admitted");
        let before = N::register_file(&probe.state.registers, probe.garbage);
        self.cpu.seed(probe.garbage);
        self.cpu.load(&before);
        self.cpu.space.memory.clone_from(&probe.state.memory);
        self.cpu.space.begin(true);
        let fault: Option<Fault> = decoded.run(&mut self.cpu, FUEL).err();
        // What a faulting instruction did to the stack is judged by the stack pointer before it.
        self.cpu.space.settle(u64::MAX);
        let mut breaches = std::mem::take(&mut self.cpu.space.breaches);
        let mut registers = probe.state.registers;
        if fault.is_none() {
            let after = self.cpu.store(&before);
            registers = N::ebpf(&after);
            breaches.extend(N::breaches(&before, &after, code.vectors));
        }
        Observation {
            state: State { registers, memory: self.cpu.space.memory.clone() },
            fault,
            breaches,
            accesses: Some(std::mem::take(&mut self.cpu.space.accesses)),
            native_stack: std::mem::take(&mut self.cpu.space.native_stack_accesses),
        }
    }
}
