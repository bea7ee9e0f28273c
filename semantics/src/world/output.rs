// SPDX-License-Identifier: GPL-2.0-or-later
//! What programs send: perf samples, records of ring buffers, lines of text.

use kop_ops::{Fault, MapKind};

use super::errno::{E2BIG, EAGAIN, EFAULT, EINVAL, ENOENT, ENOSPC, failure};
use super::maps::Ring;
use super::{Event, GuestMemory, World, bytes_at, print, read_bytes};

/// The most bytes of events that are kept; perf buffers are full then, and lines of text are dropped.
const MAX_EVENTS: usize = 1 << 20;

/// What an event counts for besides its bytes.
const EVENT_COST: usize = 64;

/// `BPF_F_CURRENT_CPU`, and the bits of an element's index.
const INDEX: u64 = 0xffff_ffff;

/// The longest line of `bpf_trace_printk`, its end included.
const LINE: usize = 1024;

/// The most bytes of a string that `%s` shows, its end included.
const STRING: u64 = 512;

impl World {
    /// Keeps an event: 0, or `-ENOSPC` when there are too many.
    pub(super) fn send(&mut self, event: Event) -> u64 {
        let bytes = EVENT_COST
            + match &event {
                Event::Perf { data, .. } | Event::Record { data, .. } => data.len(),
                Event::Trace(line) => line.len(),
                Event::Clone { packet, .. } => packet.len(),
            };
        if self.event_bytes + bytes > MAX_EVENTS {
            return failure(ENOSPC);
        }
        self.event_bytes += bytes;
        self.events.push(event);
        0
    }

    /// `bpf_perf_event_output` for packets: the upper half of the flags asks for bytes of the packet.
    pub(super) fn perf_event_output(
        &mut self,
        memory: &dyn GuestMemory,
        id: i32,
        [_, map, flags, data, size]: [u64; 5],
    ) -> Result<u64, Fault> {
        let map = self.map(id, map)?;
        if self.specs[map].kind != MapKind::PerfEventArray {
            return Err(Fault::Helper { id });
        }
        let context = flags >> 32;
        if context > 0xf_ffff {
            return Ok(failure(EINVAL));
        }
        if context > self.packet.length() {
            return Ok(failure(EFAULT));
        }
        let index = if flags & INDEX == INDEX { self.cpu } else { flags as u32 };
        if index >= self.specs[map].max_entries {
            return Ok(failure(E2BIG));
        }
        if !self.perf_readers && self.tables[map].reference(index).is_none() {
            return Ok(failure(ENOENT));
        }
        let mut data = bytes_at(memory, data, size)?.to_vec();
        data.extend_from_slice(bytes_at(memory, self.packet.data, context)?);
        Ok(self.send(Event::Perf { map, index, data }))
    }

    fn ring(&mut self, id: i32, map: u64) -> Result<(usize, &mut Ring), Fault> {
        let map = self.map(id, map)?;
        let ring = self.tables[map].ring().ok_or(Fault::Helper { id })?;
        Ok((map, ring))
    }

    /// `bpf_ringbuf_output`.
    pub(super) fn ringbuf_output(
        &mut self,
        memory: &mut dyn GuestMemory,
        id: i32,
        [map, data, size, flags, _]: [u64; 5],
    ) -> Result<u64, Fault> {
        let (map, ring) = self.ring(id, map)?;
        if !Ring::knows(flags) {
            return Ok(failure(EINVAL));
        }
        let Some(offset) = ring.produce(size) else { return Ok(failure(EAGAIN)) };
        let data = read_bytes(memory, data, size)?;
        let address = self.ring_address(map, offset);
        memory.write(address - 8, &(size as u32).to_le_bytes())?;
        if !data.is_empty() {
            memory.write(address, &data)?;
        }
        self.events.push(Event::Record { map, data: data.into_vec() });
        Ok(0)
    }

    /// `bpf_ringbuf_reserve`: the address of a record, or NULL.
    pub(super) fn ringbuf_reserve(
        &mut self,
        memory: &mut dyn GuestMemory,
        id: i32,
        map: u64,
        size: u64,
        flags: u64,
    ) -> Result<u64, Fault> {
        const BUSY: u32 = 1 << 31;
        let (map, ring) = self.ring(id, map)?;
        if flags != 0 {
            return Ok(0);
        }
        let Some(offset) = ring.reserve(size) else { return Ok(0) };
        let address = self.ring_address(map, offset);
        memory.write(address - 8, &(size as u32 | BUSY).to_le_bytes())?;
        Ok(address)
    }

    /// `bpf_ringbuf_submit` and `bpf_ringbuf_discard`, which return nothing.
    pub(super) fn ringbuf_end(
        &mut self,
        memory: &mut dyn GuestMemory,
        id: i32,
        record: u64,
        submitted: bool,
    ) -> Result<u64, Fault> {
        const DISCARDED: u32 = 1 << 30;
        let found = (0..self.tables.len()).find_map(|map| {
            let offset = record.checked_sub(self.addresses.values(map)?)?;
            let size = self.tables[map].ring()?.release(offset)?;
            Some((map, size))
        });
        let (map, size) = found.ok_or(Fault::Helper { id })?;
        let header = size as u32 | if submitted { 0 } else { DISCARDED };
        memory.write(record - 8, &header.to_le_bytes())?;
        if submitted {
            let data = bytes_at(memory, record, size)?.to_vec();
            self.events.push(Event::Record { map, data });
        }
        Ok(0)
    }

    /// `bpf_ringbuf_query`.
    pub(super) fn ringbuf_query(&mut self, id: i32, map: u64, what: u64) -> Result<u64, Fault> {
        Ok(self.ring(id, map)?.1.query(what))
    }

    fn ring_address(&self, map: usize, offset: u64) -> u64 {
        self.addresses.values(map).expect("every map has an address") + offset
    }

    /// `bpf_trace_printk`: the length of the text, or an error number.
    pub(super) fn trace(
        &mut self,
        memory: &dyn GuestMemory,
        format: u64,
        size: u32,
        arguments: &[u64],
    ) -> Result<u64, Fault> {
        let bytes = bytes_at(memory, format, u64::from(size))?;
        let Some(end) = bytes.iter().position(|byte| *byte == 0) else { return Ok(failure(EINVAL)) };
        let text = print::format(&bytes[..end], arguments, |address| string(memory, address));
        let mut line = match text {
            Ok(line) => line,
            Err(number) => return Ok(failure(number)),
        };
        let length = line.len() as u64;
        line.truncate((0..LINE).rev().find(|end| line.is_char_boundary(*end)).unwrap_or_default());
        if self.send(Event::Trace(line)) != 0 {
            self.lost += 1;
        }
        Ok(length)
    }
}

/// The string at `address`, up to where it ends or cannot be read.
fn string(memory: &dyn GuestMemory, address: u64) -> String {
    let byte = |offset| {
        let mut byte = [0];
        memory.read(address.wrapping_add(offset), &mut byte).ok()?;
        (byte[0] != 0).then_some(char::from(byte[0]))
    };
    (0..STRING - 1).map_while(byte).collect()
}
