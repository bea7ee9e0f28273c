// SPDX-License-Identifier: GPL-2.0-or-later
//! Native code on the `semantics` crate: the lines that a prover turns into formulas, run over integers.
//!
//! The engine is written once; an architecture says how its code is decoded and stepped through. What the manual leaves
//! undefined is garbage, another one each time.

pub mod aarch64;
mod cpu;
mod engine;
mod memory;
pub mod x86_64;

use kop_ops::Fault;
use kop_ops::ebpf::Reg;
use kop_semantics::native::{Next, Unsupported};

pub use cpu::Cpu;
pub use engine::SemanticsEngine;
pub use memory::Space;

use crate::native::Drivers;

/// An architecture with semantics.
pub trait Native: Drivers {
    /// The name of the engine.
    const NAME: &'static str;

    /// The number of the stack pointer among the general registers.
    const STACK_POINTER: usize;
    /// The numbers of the general registers that code may clobber.
    const SCRATCH: &'static [usize];

    /// A decoded instruction.
    type Insn;

    /// The number of the general register that holds an eBPF register.
    fn general(register: Reg) -> usize;

    /// The instructions of `code`.
    ///
    /// # Errors
    /// The first that is not covered.
    fn decode(code: &[u8]) -> Result<Vec<Self::Insn>, Unsupported>;

    /// The offset and the number of bytes of an instruction.
    fn extent(insn: &Self::Insn) -> (usize, usize);

    /// Runs one instruction.
    ///
    /// # Errors
    /// The fault that it raises.
    fn step(cpu: &mut Cpu, insn: &Self::Insn) -> Result<Next<u64>, Fault>;

    /// What an instruction raises whose step ends with [`Next::Trap`].
    fn trap(insn: &Self::Insn) -> Fault;
}

/// Decoded code, with the instruction that stands at each offset.
#[derive(Clone, Debug)]
pub struct Decoded<N: Native> {
    insns: Vec<N::Insn>,
    /// The index of the instruction at an offset, or [`NONE`].
    at: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl<N: Native> Decoded<N> {
    /// Decodes `code`.
    ///
    /// # Errors
    /// The first instruction that is not covered.
    pub fn new(code: &[u8]) -> Result<Self, Unsupported> {
        let insns = N::decode(code)?;
        let mut at = vec![NONE; code.len()];
        for (index, insn) in (0..).zip(&insns) {
            at[N::extent(insn).0] = index;
        }
        Ok(Self { insns, at })
    }

    /// The index of the instruction at an offset.
    fn index(&self, offset: i64) -> Option<usize> {
        let index = *self.at.get(usize::try_from(offset).ok()?)?;
        (index != NONE).then_some(index as usize)
    }

    /// Runs from the first instruction until one leads to the end of the code, for `fuel` instructions at most.
    ///
    /// # Errors
    /// What stopped it; [`Fault::Escape`] when an instruction leads elsewhere.
    pub fn run(&self, cpu: &mut Cpu, mut fuel: u32) -> Result<(), Fault> {
        let mut index = 0;
        while let Some(insn) = self.insns.get(index) {
            fuel = fuel.checked_sub(1).ok_or(Fault::RunAway)?;
            let next = N::step(cpu, insn)?;
            cpu.space.settle(cpu.general[N::STACK_POINTER]);
            let target = match next {
                Next::Fall | Next::Branch { taken: 0, .. } => {
                    index += 1;
                    continue;
                }
                Next::Jump(target) | Next::Branch { target, .. } => target,
                Next::Indirect(address) => address.wrapping_sub(cpu.space.code_place).cast_signed(),
                Next::Trap => return Err(N::trap(insn)),
            };
            index = match self.index(target) {
                Some(index) => index,
                None if target == self.at.len() as i64 => return Ok(()),
                None => {
                    let address = cpu.space.code_place.wrapping_add_signed(target);
                    return Err(Fault::Escape { address: Some(address) });
                }
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
