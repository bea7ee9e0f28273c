// SPDX-License-Identifier: GPL-2.0-or-later
//! Unicorn as a machine for whole programs: one instance, which counts blocks of instructions to end what does not end by
//! itself; a timer would take a thread for each run.

use kop_ops::{Arch, Fault};
use unicorn_engine::{UcHookId, uc_error};

use super::{Bound, Cpu, Faults, forget, instance, start};
use crate::arena::Arena;
use crate::machine::{Machine, Stop};

/// How many blocks of instructions a run may take: about a second of them.
const BLOCKS: u64 = 50_000_000;

/// An emulated CPU for whole programs.
pub struct ProgramMachine {
    arch: Arch,
    // The instance comes before the arena, whose memory it uses, so that it is dropped first.
    cpu: Cpu,
    /// The hook that is called before each block.
    counting: UcHookId,
    arena: Arena,
}

impl ProgramMachine {
    /// A CPU of `arch` with an arena of its own.
    ///
    /// # Errors
    /// What Unicorn or the operating system report, in one line.
    pub fn new(arch: Arch) -> Result<Self, String> {
        let arena = Arena::new().map_err(|error| format!("no memory for the arena: {error}"))?;
        let mut cpu =
            instance(arch, &arena, Faults::OutsideOfData).map_err(|error| format!("Unicorn: {error:?}"))?;
        let counting = count_blocks(&mut cpu).map_err(|error| format!("Unicorn: {error:?}"))?;
        Ok(Self { arch, cpu, counting, arena })
    }
}

fn count_blocks(cpu: &mut Cpu) -> Result<UcHookId, uc_error> {
    cpu.add_block_hook(1, 0, |cpu, _address, _size| {
        let notes = cpu.get_data_mut();
        match notes.blocks.checked_sub(1) {
            Some(left) => notes.blocks = left,
            // Failing to stop leaves the emulation to go on to the next block, where it is tried again.
            None => drop(cpu.emu_stop()),
        }
    })
}

impl Machine for ProgramMachine {
    fn arena(&self) -> &Arena {
        &self.arena
    }

    fn arena_mut(&mut self) -> &mut Arena {
        &mut self.arena
    }

    fn forget_code(&mut self) {
        forget(&mut self.cpu, &mut self.counting, count_blocks)
            .expect("a hook that was added can be added again");
    }

    fn run(&mut self, entry: u64, exit: u64) -> Result<(), Stop> {
        self.cpu.get_data_mut().blocks = BLOCKS;
        let result = start(self.arch, &mut self.cpu, entry, exit, Bound::Hooks);
        match result {
            Err(Stop { fault: Fault::Escape { .. }, .. }) if self.cpu.get_data().blocks == 0 => {
                Err(Stop { fault: Fault::RunAway, at: None })
            }
            result => result,
        }
    }
}
