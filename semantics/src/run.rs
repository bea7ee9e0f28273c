// SPDX-License-Identifier: GPL-2.0-or-later
//! One run of a program and what it ends with: what every engine for programs takes and gives.

use kop_ops::ebpf::RegSet;
use kop_ops::state::Registers;
use kop_ops::{Fault, Object, ProgramKind};

use crate::world::{Image, MapContents, World};

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

/// What of an [`Outcome`] does not depend on where memory lies: all that an engine with addresses of its own, such as the
/// kernel, can be compared by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// r0.
    pub r0: u64,
    /// The packet from its metadata on; all of the window for a raw program.
    pub data: Vec<u8>,
    /// How many bytes of metadata are at its start.
    pub metadata: u64,
    /// What each map holds, ascending by key.
    pub maps: Vec<MapContents>,
}

impl Outcome {
    /// What does not depend on where memory lies, after a run without a trap. It means the same on every engine where the
    /// program makes no values from addresses.
    pub fn contents(&self) -> Option<Contents> {
        let r0 = self.end.ok()?;
        let packet = self.world.packet();
        let (data, metadata) = match self.world.kind() {
            ProgramKind::Raw => (self.image.window.to_vec(), 0),
            ProgramKind::Xdp | ProgramKind::Tc => {
                let metadata = packet.data - packet.meta;
                (self.image.slice(packet.meta, (packet.length() + metadata) as usize)?.to_vec(), metadata)
            }
        };
        let mut maps = self.world.contents(&self.image).ok()?;
        maps.iter_mut().for_each(|map| map.entries.sort_unstable());
        Some(Contents { r0, data, metadata, maps })
    }
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
