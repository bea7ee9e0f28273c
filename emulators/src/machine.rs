// SPDX-License-Identifier: GPL-2.0-or-later
//! What can execute native code in an [`Arena`]: an emulated CPU or the real one, behind one trait.

use std::ops::Range;

use kop_ops::{Fault, Slot};

use crate::arena::Arena;
use crate::engine::{AccessRecord, FrameBreach};

/// A CPU with an arena for memory.
///
/// Code runs with the arena's regions at their addresses and protections, and nothing else mapped.
pub trait Machine {
    /// The memory.
    fn arena(&self) -> &Arena;

    /// The memory, to write to it.
    fn arena_mut(&mut self) -> &mut Arena;

    /// Runs from `entry` until `exit` is reached, both addresses in the code region, where the instruction at `exit`
    /// is a return to the caller. Register contents at entry are unspecified; the code may change every register.
    ///
    /// Code that was written where nothing has run since [`Machine::forget_code`] takes effect. The run is stopped after
    /// about a second.
    ///
    /// # Errors
    /// The [`Stop`] that ended it before `exit`.
    fn run(&mut self, entry: u64, exit: u64) -> Result<(), Stop>;

    /// Whether [`Machine::run_watched`] stops after a number of instructions, not after a time.
    fn bounds_watched_runs(&self) -> bool {
        false
    }

    /// Makes code that was written over other code take effect.
    fn forget_code(&mut self) {}

    /// Whether there is memory of the machine's own at this address, outside of the slot's window and stack, and
    /// [`Machine::run_watched`] does not tell when code accesses it.
    fn hides_fault_at(&self, slot: Slot, address: u64) -> bool {
        let _ = (slot, address);
        false
    }

    /// Like [`Machine::run`], watching what the instructions in `code` do to memory; machines that cannot watch just run
    /// and leave `watch` as it is.
    ///
    /// # Errors
    /// As [`Machine::run`].
    fn run_watched(
        &mut self,
        entry: u64,
        exit: u64,
        code: Range<u64>,
        watch: &mut Watch,
    ) -> Result<(), Stop> {
        let _ = (code, watch);
        self.run(entry, exit)
    }
}

/// What to watch a run for, and what that tells.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// The slot whose window and stack the code may access, besides the native stack; an access elsewhere is a fault, although
    /// the machine has memory there. `None` where all that the machine has is open.
    pub slot: Option<Slot>,
    /// The accesses to windows and stacks, in order; `None` when the machine cannot watch.
    pub accesses: Option<Vec<AccessRecord>>,
    /// The accesses to the native stack, likewise.
    pub native_stack: Vec<AccessRecord>,
    /// What it did to the native stack that it may not do.
    pub breaches: Vec<FrameBreach>,
}

/// Why a machine stopped early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The fault.
    pub fault: Fault,
    /// The address of the instruction that caused it, where the machine tells it.
    pub at: Option<u64>,
}
