// SPDX-License-Identifier: GPL-2.0-or-later
//! What a program finds around it: memory, maps, the context and its packet, and the helper functions that act on them.
//!
//! The bytes that a program can address are an [`Image`], or wherever an engine keeps them; everything else is a [`World`].
//! Helper functions are implemented here once, over [`GuestMemory`], and every engine of user space calls them.

mod call;
mod checksum;
pub mod context;
mod errno;
pub mod helpers;
mod image;
mod maps;
mod output;
mod packet;
mod print;
pub mod scenarios;
mod setup;
mod skb;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use kop_ops::ebpf::Reg;
use kop_ops::program::MapAddresses;
use kop_ops::state::Registers;
use kop_ops::{Access, Fault, MapKind, MapSpec, ProgramKind};

use helpers::HelperSet;
use maps::Table;
use smallvec::SmallVec;

pub use context::Fields;
pub use image::{Image, MAX_REGIONS};
pub use packet::{HEADROOM, MAX_PACKET, MIN_PACKET, Packet, TAILROOM};
pub use setup::{Arrival, Input, SetupError};

/// The memory that a program addresses, as helper functions reach it.
pub trait GuestMemory {
    /// The `length` bytes at `address`, where they lie: helper functions that look at keys copy none.
    ///
    /// # Errors
    /// [`Fault::Memory`] when one of them is not mapped.
    fn bytes(&self, address: u64, length: usize) -> Result<&[u8], Fault>;

    /// Reads the bytes at `address`.
    ///
    /// # Errors
    /// As [`GuestMemory::bytes`].
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        bytes.copy_from_slice(self.bytes(address, bytes.len())?);
        Ok(())
    }

    /// Writes the bytes at `address`; nothing when one of them cannot be written.
    ///
    /// # Errors
    /// [`Fault::Memory`] when one of them is not mapped.
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Fault>;
}

/// Everything around a program that is not memory: what maps hold besides values, the packet's bounds, the clock, random
/// numbers, and what the program sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    kind: ProgramKind,
    programs: Vec<ProgramKind>,
    specs: Arc<[MapSpec]>,
    addresses: MapAddresses,
    tables: Vec<Table>,
    packet: Packet,
    clock: u64,
    random: u64,
    cpu: u32,
    perf_readers: bool,
    helpers: HelperSet,
    tail_calls: u32,
    redirect: Option<Redirect>,
    events: Vec<Event>,
    event_bytes: usize,
    lost: u64,
}

/// What a helper function answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It returns this in r0.
    Return(u64),
    /// It does not return: the program of the object with this index goes on in the caller's frame.
    TailCall(usize),
}

/// What a program sent, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A sample in an element of a perf event array.
    Perf {
        /// The map.
        map: usize,
        /// The element.
        index: u32,
        /// The program's bytes, then those of the packet that it asked for.
        data: Vec<u8>,
    },
    /// A record in a ring buffer.
    Record {
        /// The map.
        map: usize,
        /// Its bytes.
        data: Vec<u8>,
    },
    /// A line of `bpf_trace_printk`.
    Trace(String),
    /// A copy of the packet sent to another device.
    Clone {
        /// The device.
        ifindex: u32,
        /// `BPF_F_INGRESS` or 0.
        flags: u64,
        /// The packet.
        packet: Vec<u8>,
    },
}

/// Where the last call of `bpf_redirect` or `bpf_redirect_map` that succeeded sends the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Redirect {
    /// To a device.
    Device {
        /// Its number.
        ifindex: u32,
        /// `BPF_F_INGRESS` or 0.
        flags: u64,
    },
    /// To an element of a map.
    Map {
        /// The map.
        map: usize,
        /// The element.
        key: u64,
        /// Its flags.
        flags: u64,
    },
}

/// What a map holds: key and value of each element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapContents {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: MapKind,
    /// Its elements: arrays by index, hash maps by key, tries by length of prefix.
    pub entries: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The most bytes that one call of a helper function reads or writes. All memory of a program is smaller.
const MAX_BYTES: u64 = 16 << 20;

impl World {
    /// The registers at the entry of a program: r1 is the context (r1 and r2 window and length for a raw program), r10 the
    /// end of the stack, the others zero.
    pub fn registers(&self) -> Registers {
        let slot = self.addresses.slot();
        let mut registers = [0; 11];
        if self.kind == ProgramKind::Raw {
            registers[Reg::R1.index()] = self.packet.data;
            registers[Reg::R2.index()] = self.packet.length();
        } else {
            registers[Reg::R1.index()] = slot.context();
        }
        registers[Reg::R10.index()] = slot.stack_end();
        registers
    }

    /// The kind of the program.
    pub fn kind(&self) -> ProgramKind {
        self.kind
    }

    /// Where the packet is now.
    pub fn packet(&self) -> Packet {
        self.packet
    }

    /// Where maps are.
    pub fn addresses(&self) -> &MapAddresses {
        &self.addresses
    }

    /// What the maps are declared as.
    pub fn specs(&self) -> &[MapSpec] {
        &self.specs
    }

    /// The number of the CPU.
    pub fn cpu(&self) -> u32 {
        self.cpu
    }

    /// What the program sent.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// How many lines of `bpf_trace_printk` were dropped because there were too many.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Where the packet is redirected to, if it is.
    pub fn redirect(&self) -> Option<Redirect> {
        self.redirect
    }

    /// What each map holds, with the values that are in `memory`.
    ///
    /// # Errors
    /// [`Fault::Memory`] when values are not mapped, which is a mistake of the caller.
    pub fn contents(&self, memory: &dyn GuestMemory) -> Result<Vec<MapContents>, Fault> {
        let maps = self.specs.iter().zip(&self.tables).enumerate();
        let contents = maps.map(|(index, (spec, table))| {
            let entries = table.places(spec).into_iter().map(|(key, place)| {
                let value = if spec.memory_size() > 0 {
                    bytes_at(memory, self.value_address(index, place), u64::from(spec.value_size))?.to_vec()
                } else {
                    table.reference(place).unwrap_or_default().to_le_bytes().to_vec()
                };
                Ok((key, value))
            });
            Ok(MapContents {
                name: spec.name.clone(),
                kind: spec.kind,
                entries: entries.collect::<Result<_, _>>()?,
            })
        });
        contents.collect()
    }

    fn value_address(&self, map: usize, place: u32) -> u64 {
        let first = self.addresses.values(map).expect("every map has an address");
        first + u64::from(place) * self.specs[map].value_stride()
    }
}

/// The `length` bytes at `address`; none are read at an address that does not matter when there are none.
fn bytes_at(memory: &dyn GuestMemory, address: u64, length: u64) -> Result<&[u8], Fault> {
    if length == 0 {
        return Ok(&[]);
    }
    if length > MAX_BYTES {
        return Err(Fault::Memory { access: Access::Read, address: Some(address) });
    }
    memory.bytes(address, length as usize)
}

/// As [`bytes_at`], as a copy: what is written to memory cannot lie in it.
fn read_bytes(memory: &dyn GuestMemory, address: u64, length: u64) -> Result<Bytes, Fault> {
    bytes_at(memory, address, length).map(Bytes::from_slice)
}

/// Bytes that helper functions copy: values of most maps need no allocation.
type Bytes = SmallVec<[u8; 64]>;

/// Sets `length` bytes at `address` to zero.
fn clear(memory: &mut dyn GuestMemory, address: u64, length: u64) -> Result<(), Fault> {
    if length > MAX_BYTES {
        return Err(Fault::Memory { access: Access::Write, address: Some(address) });
    }
    if length > 0 { memory.write(address, &vec![0; length as usize]) } else { Ok(()) }
}

/// The next number of SplitMix64.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
