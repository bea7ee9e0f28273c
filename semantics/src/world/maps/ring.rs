// SPDX-License-Identifier: GPL-2.0-or-later
//! Ring buffers (`kernel/bpf/ringbuf.c`), whose reader has read everything between runs and nothing during one.

use std::collections::BTreeMap;

/// The bytes before each record: its length and flags, which belong to the kernel.
const HEADER: u64 = 8;

/// The most bytes of a record: `RINGBUF_MAX_RECORD_SZ`.
const LONGEST: u64 = u32::MAX as u64 / 4;

/// Where the producer of a ring buffer is, and which records are reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ring {
    size: u64,
    producer: u64,
    /// Offset of the data of each record that is reserved, with its length.
    reserved: BTreeMap<u64, u64>,
}

impl Ring {
    /// An empty ring of `size` bytes, a power of two.
    pub(crate) fn new(size: u32) -> Self {
        Self { size: u64::from(size), producer: 0, reserved: BTreeMap::new() }
    }

    /// Reserves a record of `length` bytes and gives the offset of its data; `None` when there is no room.
    pub(crate) fn reserve(&mut self, length: u64) -> Option<u64> {
        let offset = self.produce(length)?;
        self.reserved.insert(offset, length);
        Some(offset)
    }

    /// Makes room for a record of `length` bytes that is there at once.
    pub(crate) fn produce(&mut self, length: u64) -> Option<u64> {
        if length > LONGEST {
            return None;
        }
        let end = self.producer + (length + HEADER).next_multiple_of(8);
        if end > self.size - 1 {
            return None;
        }
        let offset = self.producer + HEADER;
        self.producer = end;
        Some(offset)
    }

    /// Ends the reservation of the record at `offset`: its length.
    pub(crate) fn release(&mut self, offset: u64) -> Option<u64> {
        self.reserved.remove(&offset)
    }

    /// The answer of `bpf_ringbuf_query`.
    pub(crate) fn query(&self, what: u64) -> u64 {
        match what {
            AVAILABLE | PRODUCER => self.producer,
            SIZE => self.size,
            _ => 0,
        }
    }

    /// The reader has read everything. Records that a run left reserved are lost.
    pub(crate) fn drain(&mut self) {
        self.producer = 0;
        self.reserved.clear();
    }
}

/// `BPF_RB_AVAIL_DATA`; all of it, since nothing was read.
const AVAILABLE: u64 = 0;
/// `BPF_RB_RING_SIZE`.
const SIZE: u64 = 1;
/// `BPF_RB_PROD_POS`.
const PRODUCER: u64 = 3;
