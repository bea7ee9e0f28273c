// SPDX-License-Identifier: GPL-2.0-or-later
//! How a world and its memory come to be: from an object and what its programs are to find.

use std::sync::Arc;

use kop_ops::program::{MapAddresses, MapsTooLarge};
use kop_ops::state::{Slot, WINDOW_SIZE};
use kop_ops::{Fault, MapKind, MapSpec, Object, ProgramKind};

use super::context::{self, Fields};
use super::helpers::HelperSet;
use super::maps::{self, Flags, Table};
use super::packet::{MAX_PACKET, MIN_PACKET, Packet};
use super::{GuestMemory, Image, World};

/// What a program finds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Input {
    /// The packet; for a raw program the data at the window's start.
    pub packet: Vec<u8>,
    /// The context.
    pub fields: Fields,
    /// Contents of maps besides those of the object, which they come after: index of the map, key, value. An element of a
    /// program array is a program's index in four bytes.
    pub maps: Vec<(usize, Vec<u8>, Vec<u8>)>,
    /// What the first reading of a clock gives, in nanoseconds; each one after is a microsecond later.
    pub clock: u64,
    /// What random numbers are drawn from.
    pub seed: u64,
    /// The number of the CPU.
    pub cpu: u32,
    /// What fills the memory that no one has written yet, stack and window outside of the packet: zeros for 0, else bytes
    /// drawn from it.
    pub fill: u64,
    /// Whether a reader has opened every element of perf event arrays; otherwise output to them is `-ENOENT`.
    pub perf_readers: bool,
    /// Which helper functions there are.
    pub helpers: HelperSet,
}

impl Default for Input {
    /// Ethernet's smallest frame, of zeros, and readers for events.
    fn default() -> Self {
        Self {
            packet: vec![0; 64],
            fields: Fields::default(),
            maps: Vec::new(),
            clock: 1_000_000_000,
            seed: 1,
            cpu: 0,
            fill: 0,
            perf_readers: true,
            helpers: HelperSet::Linux,
        }
    }
}

/// Why there is no world for an object and input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The entry is no program.
    #[error("there is no program {entry}: the object has {programs}")]
    NoProgram {
        /// The index asked for.
        entry: usize,
        /// How many there are.
        programs: usize,
    },
    /// The packet is too long or too short.
    #[error("a packet of {length} bytes: {} programs take {least} to {most} here", kind.name())]
    Packet {
        /// Its bytes.
        length: usize,
        /// The kind of the program.
        kind: ProgramKind,
        /// The fewest bytes.
        least: usize,
        /// The most bytes.
        most: usize,
    },
    /// The kernel would not create a map.
    #[error("map `{name}`: {reason}")]
    Map {
        /// Its name.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// Maps take too much memory.
    #[error(transparent)]
    Maps(#[from] MapsTooLarge),
    /// Contents that a map cannot have.
    #[error("map `{name}`, entry {entry}: {reason}")]
    Contents {
        /// Its name.
        name: String,
        /// Number of the entry.
        entry: usize,
        /// Why.
        reason: String,
    },
    /// Contents for a map that there is not.
    #[error("contents for map {index}: the object has {maps}")]
    NoMap {
        /// The index.
        index: usize,
        /// How many maps there are.
        maps: usize,
    },
}

/// A packet's place and its context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    packet: Packet,
    context: context::Bytes,
}

impl World {
    /// The world and the memory that the program `entry` of `object` finds in `slot` with `input`.
    ///
    /// # Errors
    /// [`SetupError`] when there is no such program, a map that the kernel would not create, maps that do not fit, contents
    /// that they cannot have, or a packet that is too long or too short.
    pub fn new(
        object: &Object,
        entry: usize,
        slot: Slot,
        input: &Input,
    ) -> Result<(World, Image), SetupError> {
        let programs = object.programs.len();
        let program = object.programs.get(entry).ok_or(SetupError::NoProgram { entry, programs })?;
        for spec in &*object.maps {
            maps::check(spec).map_err(|reason| SetupError::Map { name: spec.name.clone(), reason })?;
        }
        let addresses = MapAddresses::new(&object.maps, slot)?;
        let mut image = Image::zeroed(slot, context::size(program.kind), addresses.size() as usize);
        let mut world = World {
            kind: program.kind,
            programs: object.programs.iter().map(|program| program.kind).collect(),
            tables: object.maps.iter().map(Table::new).collect(),
            specs: Arc::clone(&object.maps),
            addresses,
            packet: Packet::new(program.kind, slot, 0),
            clock: input.clock,
            random: input.seed,
            cpu: input.cpu,
            perf_readers: input.perf_readers,
            helpers: input.helpers,
            tail_calls: 0,
            redirect: None,
            events: Vec::new(),
            event_bytes: 0,
            lost: 0,
        };
        for (index, spec) in object.maps.iter().enumerate() {
            for (number, (key, value)) in spec.initial.iter().enumerate() {
                world.put(&mut image, index, number, key, value)?;
            }
        }
        for (number, (index, key, value)) in input.maps.iter().enumerate() {
            let maps = object.maps.len();
            if *index >= maps {
                return Err(SetupError::NoMap { index: *index, maps });
            }
            world.put(&mut image, *index, number, key, value)?;
        }
        world.deliver(&mut image, input)?;
        Ok((world, image))
    }

    /// Puts the next packet of `input` in place: window, stack and context are as if nothing had run, events are forgotten,
    /// readers have read all records; maps stay, and so do clock and random numbers.
    ///
    /// # Errors
    /// [`SetupError::Packet`].
    pub fn deliver(&mut self, image: &mut Image, input: &Input) -> Result<(), SetupError> {
        let length = input.packet.len();
        let (least, most) =
            if self.kind == ProgramKind::Raw { (0, WINDOW_SIZE) } else { (MIN_PACKET, MAX_PACKET) };
        if !(least..=most).contains(&length) {
            return Err(SetupError::Packet { length, kind: self.kind, least, most });
        }
        self.packet = Packet::new(self.kind, image.slot, length);
        let mut noise = input.fill;
        for bytes in [&mut image.window, &mut image.stack] {
            fill(bytes, &mut noise);
        }
        let offset = (self.packet.data - image.slot.window()) as usize;
        image.window[offset..offset + length].copy_from_slice(&input.packet);
        image.context =
            context::build(self.kind, &input.fields, &self.packet, &input.packet).into_vec().into();
        self.tail_calls = 0;
        self.redirect = None;
        self.events.clear();
        (self.event_bytes, self.lost) = (0, 0);
        for ring in self.tables.iter_mut().filter_map(Table::ring) {
            ring.drain();
        }
        Ok(())
    }

    /// Puts the next packet in place as a driver does: its bytes and the context are written, events are forgotten, and all other
    /// memory is as it was left. For benchmarks, in which [`World::deliver`] would take longer than the program.
    ///
    /// # Errors
    /// [`Fault::Memory`] for a packet that does not fit the window.
    pub fn receive(
        &mut self,
        memory: &mut dyn GuestMemory,
        fields: &Fields,
        packet: &[u8],
    ) -> Result<(), Fault> {
        self.arrive(memory, &self.arrival(fields, packet), packet)
    }

    /// What [`World::receive`] makes of a packet.
    pub fn arrival(&self, fields: &Fields, packet: &[u8]) -> Arrival {
        let place = Packet::new(self.kind, self.addresses.slot(), packet.len());
        Arrival { packet: place, context: context::build(self.kind, fields, &place, packet) }
    }

    /// As [`World::receive`], with what was made of the packet before: for those that get the same packets many times.
    ///
    /// # Errors
    /// As [`World::receive`].
    pub fn arrive(
        &mut self,
        memory: &mut dyn GuestMemory,
        arrival: &Arrival,
        packet: &[u8],
    ) -> Result<(), Fault> {
        self.packet = arrival.packet;
        memory.write(self.packet.data, packet)?;
        if self.kind != ProgramKind::Raw {
            memory.write(self.addresses.slot().context(), &arrival.context)?;
        }
        self.tail_calls = 0;
        self.redirect = None;
        self.events.clear();
        (self.event_bytes, self.lost) = (0, 0);
        for ring in self.tables.iter_mut().filter_map(Table::ring) {
            ring.drain();
        }
        Ok(())
    }

    /// Makes map `index` hold `entries` and nothing else, as user space would; elements of an array that are not among them
    /// are zero. For engines that keep maps elsewhere.
    ///
    /// # Errors
    /// [`SetupError::Contents`] with the first entry that the map does not take.
    ///
    /// # Panics
    /// When there is no such map.
    pub fn set_contents(
        &mut self,
        image: &mut Image,
        index: usize,
        entries: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<(), SetupError> {
        let spec = &self.specs[index];
        self.tables[index] = Table::new(spec);
        let first = self.value_address(index, 0);
        if let Some(values) = image.slice_mut(first, spec.memory_size() as usize) {
            values.fill(0);
        }
        for (number, (key, value)) in entries.iter().enumerate() {
            self.put(image, index, number, key, value)?;
        }
        Ok(())
    }

    /// Puts another packet in the place of this one, `bytes` with `metadata` bytes of metadata at its start. For engines that
    /// keep it elsewhere.
    ///
    /// # Errors
    /// [`SetupError::Packet`] when it does not fit the window.
    pub fn set_packet(&mut self, image: &mut Image, metadata: usize, bytes: &[u8]) -> Result<(), SetupError> {
        let length = bytes.len().saturating_sub(metadata);
        let data = Packet::new(self.kind, image.slot, length).data;
        let meta = data - (metadata as u64).min(data - image.slot.window());
        let place = image.slice_mut(meta, bytes.len());
        place
            .ok_or(SetupError::Packet { length, kind: self.kind, least: MIN_PACKET, most: MAX_PACKET })?
            .copy_from_slice(bytes);
        (self.packet.data, self.packet.end, self.packet.meta) = (data, data + length as u64, meta);
        self.tell_context(image).expect("a program with a packet has a context");
        Ok(())
    }

    fn put(
        &mut self,
        image: &mut Image,
        index: usize,
        entry: usize,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), SetupError> {
        self.insert(image, index, key, value).map_err(|reason| {
            let name = self.specs[index].name.clone();
            SetupError::Contents { name, entry, reason }
        })
    }

    fn insert(&mut self, image: &mut Image, index: usize, key: &[u8], value: &[u8]) -> Result<(), String> {
        let specs = Arc::clone(&self.specs);
        let spec = &specs[index];
        if key.len() != spec.key_size as usize {
            return Err(format!("a key of {} bytes, not {}", key.len(), spec.key_size));
        }
        if value.len() != spec.value_size as usize {
            return Err(format!("a value of {} bytes, not {}", value.len(), spec.value_size));
        }
        let table = &mut self.tables[index];
        let place = if let Table::References(_) = table {
            let to = self.referred(spec, value)?;
            self.tables[index].refer(spec, key, to)
        } else {
            table.update(spec, key, Flags::ANY)
        };
        let place = place.map_err(|number| format!("error number {number} from the map"))?;
        if spec.memory_size() > 0 {
            let address = self.value_address(index, place);
            image.write(address, value).expect("the places of a map are in memory");
        }
        Ok(())
    }

    /// What an element of an array of references refers to.
    fn referred(&self, spec: &MapSpec, value: &[u8]) -> Result<u32, String> {
        let to = u32::from_le_bytes(value[..4].try_into().expect("values of references have four bytes"));
        let programs = self.programs.len();
        if spec.kind == MapKind::ProgramArray && to as usize >= programs {
            return Err(format!("there is no program {to}: the object has {programs}"));
        }
        Ok(to)
    }
}

fn fill(bytes: &mut [u8], noise: &mut u64) {
    if *noise == 0 {
        bytes.fill(0);
        return;
    }
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&super::next_random(noise).to_le_bytes()[..chunk.len()]);
    }
}
