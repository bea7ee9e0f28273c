// SPDX-License-Identifier: GPL-2.0-or-later
//! The engine that runs an operation's plain Rust model: a third opinion beside proof and emit.

use kop_ops::State;

use crate::engine::{BatchResult, Chunk, ChunkResult, Engine, Executes, Observation, Probe, Program};

/// The name of the engine.
pub const NAME: &str = "model";

/// The engine.
#[derive(Debug, Default)]
pub struct ModelEngine;

impl Engine for ModelEngine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn executes(&self) -> Executes {
        Executes::Model
    }

    fn admits(&self, program: &Program) -> Result<(), String> {
        let Program::Model { kop, site } = program else {
            return Err("it executes models only".to_owned());
        };
        match kop.model(site, &mut State::zeroed(kop_ops::Slot::default())) {
            Some(_) => Ok(()),
            None => Err("the operation has no model".to_owned()),
        }
    }

    fn run(&mut self, chunk: &Chunk) -> ChunkResult {
        let mut state = State { registers: [0; 11], memory: chunk.memory.clone() };
        let batches = chunk
            .batches
            .iter()
            .map(|batch| {
                let stored = batch.stored();
                let mut rows = batch.states.to_vec();
                let mut faults = Vec::new();
                let first_half = batch.halves()[0];
                for (number, row) in rows.chunks_exact_mut(batch.inputs.len()).enumerate() {
                    state.registers = batch.background[usize::from(number >= first_half)];
                    for (reg, &value) in batch.inputs.iter().zip(&*row) {
                        state.set(reg, value);
                    }
                    if let Err(fault) = step(&batch.program, &mut state) {
                        faults.push((number, fault));
                    }
                    stored.iter().for_each(|&(i, reg)| row[i] = state.get(reg));
                }
                BatchResult::Ran { rows, faults }
            })
            .collect();
        ChunkResult { batches, memory: Some(state.memory) }
    }

    fn probe(&mut self, probe: &Probe) -> Observation {
        let mut state = probe.state.clone();
        let fault = step(&probe.program, &mut state).err();
        Observation { state, fault, breaches: Vec::new(), accesses: None, native_stack: Vec::new() }
    }
}

fn step(program: &Program, state: &mut State) -> Result<(), kop_ops::Fault> {
    let Program::Model { kop, site } = program else {
        unreachable!("the harness gives the model engine models");
    };
    kop.model(site, state).unwrap_or(Ok(()))
}
