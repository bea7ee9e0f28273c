// SPDX-License-Identifier: GPL-2.0-or-later
//! Engines that are wrong in rare conditions.

use kop_emulators::{BatchResult, Chunk, ChunkResult, Doubt, Engine, Executes, Observation, Probe, Program};
use kop_ops::ebpf::Reg;
use kop_ops::state::Registers;
use kop_ops::{Access, Fault, Slot};
use kop_reports::{Blame, Kind};

/// A fault in an engine, and how a check must report it.
#[derive(Clone, Debug)]
pub struct PlantedEngine {
    /// Its name, unique, in kebab case.
    pub name: &'static str,
    /// The engine that is wrong.
    pub engine: &'static str,
    /// The mistake.
    pub about: &'static str,
    /// The kind of the divergence.
    pub kind: Kind,
    /// The side to blame.
    pub blame: Blame,
    damage: Damage,
}

/// What goes wrong, and on what.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// A register that held this before has another bit 17 afterwards.
    Register(u64),
    /// The run faults when a register holds this.
    Fault(u64),
    /// The first byte of the stack changes when a register holds this.
    Memory(u64),
}

/// Every fault in an engine. Where two engines execute the same code, the wrong one is told by the other.
pub fn engines() -> Vec<PlantedEngine> {
    let native = |name, engine: &'static str, about, kind, damage| PlantedEngine {
        name,
        engine,
        about,
        kind,
        blame: Blame::Engine(engine.to_owned()),
        damage,
    };
    vec![
        native(
            "engine-unicorn-flips-a-bit",
            "unicorn-x86_64",
            "a register of all ones comes back with a bit clear",
            Kind::Register,
            Damage::Register(u64::MAX),
        ),
        native(
            "engine-host-flips-a-bit",
            "host",
            "a register that held the smallest signed number comes back with another bit",
            Kind::Register,
            Damage::Register(1 << 63),
        ),
        native(
            "engine-host-faults",
            "host",
            "a fault where there is none, for a register of all ones",
            Kind::Fault,
            Damage::Fault(u64::MAX),
        ),
        native(
            "engine-unicorn-writes-memory",
            "unicorn-x86_64",
            "a byte of the stack changes, for a register that holds the smallest signed number",
            Kind::Memory,
            Damage::Memory(1 << 63),
        ),
    ]
}

impl PlantedEngine {
    /// The engine with the fault, if it is the one meant.
    pub fn wrap(&self, inner: Box<dyn Engine>) -> Box<dyn Engine> {
        if inner.name() == self.engine { Box::new(Damaged { inner, damage: self.damage }) } else { inner }
    }
}

/// An engine that does damage.
struct Damaged {
    inner: Box<dyn Engine>,
    damage: Damage,
}

const BIT: u64 = 1 << 17;

const FAULT: Fault = Fault::Memory { access: Access::Read, address: None };

/// Whether one of r0..r9 holds `value`.
fn holds(registers: &Registers, value: u64) -> bool {
    registers[..Reg::R10.index()].contains(&value)
}

impl Engine for Damaged {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn executes(&self) -> Executes {
        self.inner.executes()
    }

    fn admits(&self, program: &Program) -> Result<(), String> {
        self.inner.admits(program)
    }

    fn run(&mut self, chunk: &Chunk) -> ChunkResult {
        let mut result = self.inner.run(chunk);
        let any = |value| {
            chunk.batches.iter().any(|batch| {
                let inputs: Vec<bool> = batch.inputs.iter().map(|reg| reg != Reg::R10).collect();
                let mut rows = batch.states.chunks_exact(inputs.len());
                rows.any(|row| row.iter().zip(&inputs).any(|(&held, &counts)| counts && held == value))
            })
        };
        match self.damage {
            Damage::Fault(value) if any(value) => {
                return ChunkResult::doubtful(chunk.batches.len(), Doubt::Fault(FAULT));
            }
            Damage::Memory(value) if any(value) => {
                if let Some(memory) = &mut result.memory {
                    memory.stack[0] ^= 1;
                }
            }
            Damage::Register(value) => {
                for (batch, result) in chunk.batches.iter().zip(&mut result.batches) {
                    let BatchResult::Ran { rows, .. } = result else { continue };
                    let width = batch.inputs.len();
                    for (state, row) in batch.states.chunks_exact(width).zip(rows.chunks_exact_mut(width)) {
                        for (i, _) in batch.stored().into_iter().filter(|(i, _)| state[*i] == value) {
                            row[i] ^= BIT;
                        }
                    }
                }
            }
            Damage::Fault(_) | Damage::Memory(_) => (),
        }
        result
    }

    fn hides_fault_at(&self, slot: Slot, address: u64) -> bool {
        self.inner.hides_fault_at(slot, address)
    }

    fn probe(&mut self, probe: &Probe) -> Observation {
        let mut observation = self.inner.probe(probe);
        let before = &probe.state.registers;
        match self.damage {
            Damage::Register(value) => {
                for reg in Reg::ALL.into_iter().filter(|&reg| reg != Reg::R10) {
                    if before[reg.index()] == value {
                        observation.state.registers[reg.index()] ^= BIT;
                    }
                }
            }
            Damage::Fault(value) if holds(before, value) => observation.fault = Some(FAULT),
            Damage::Memory(value) if holds(before, value) => observation.state.memory.stack[0] ^= 1,
            Damage::Fault(_) | Damage::Memory(_) => (),
        }
        observation
    }
}
