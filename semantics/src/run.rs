// SPDX-License-Identifier: GPL-2.0-or-later
//! One run of a program and what it ends with: what every engine for programs takes and gives.

use kop_ops::ebpf::RegSet;
use kop_ops::state::Registers;
use kop_ops::{Fault, Object};

use crate::world::{Image, World};

/// One run: an object without Kop sites (they are lowered to their proof sequences), where it starts, and all that it
/// finds.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The programs.
    pub object: &'a Object,
    /// The index of the program to start with.
    pub entry: usize,
    /// Maps, context and everything else that helpers see.
    pub world: &'a World,
    /// Memory.
    pub image: &'a Image,
    /// r0..r10 at entry. Those that the kind of program defines are what [`World::registers`] says; the others are unspecified
    /// to a program, and hold what the caller wants an engine to put there.
    pub registers: &'a Registers,
    /// How many instructions it may run.
    pub fuel: u64,
}

/// What a run ends with.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// r0, or what stopped it.
    pub end: Result<u64, Trap>,
    /// r0..r10 at the exit of the program, where the engine can tell; meaningless after a trap.
    pub registers: Option<Registers>,
    /// The registers whose values are defined at the exit: written on the way, and not left undefined by a call.
    pub defined: RegSet,
    /// Maps, packet bounds and events after.
    pub world: World,
    /// Memory after.
    pub image: Image,
}

/// What stopped a run, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Trap {
    /// The fault.
    pub fault: Fault,
    /// The index of the program that was running.
    pub program: usize,
    /// The index of the instruction, where the engine can tell.
    pub at: Option<usize>,
}
