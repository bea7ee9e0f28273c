// SPDX-License-Identifier: GPL-2.0-or-later
//! Where the packet lies in the window, and how far its ends may move.
//!
//! XDP has what `xdp_buff` has in a page: 256 bytes of headroom, of which `struct xdp_frame` takes the first 40, and the
//! room of `struct skb_shared_info` behind, 320 bytes on both architectures. A tc program gets the same linear data.

use kop_ops::state::{Slot, WINDOW_SIZE};
use kop_ops::{Fault, ProgramKind};
use smallvec::{SmallVec, smallvec};

use super::context::{sk_buff, xdp_md};
use super::errno::{EACCES, EINVAL, ENOMEM, failure};
use super::{GuestMemory, read_bytes};

/// Bytes before the packet: `XDP_PACKET_HEADROOM`.
pub const HEADROOM: usize = 256;

/// Bytes behind the largest packet, which the kernel keeps for itself.
pub const TAILROOM: usize = 320;

/// The most bytes of a packet in one page.
pub const MAX_PACKET: usize = WINDOW_SIZE - HEADROOM - TAILROOM;

/// The fewest bytes of a packet: an Ethernet header (`ETH_HLEN`).
pub const MIN_PACKET: usize = 14;

const XDP_FRAME_SIZE: u64 = 40;
const MAX_METADATA: u64 = 252;

/// The packet's ends, as addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Packet {
    /// Its first byte.
    pub data: u64,
    /// Behind its last byte.
    pub end: u64,
    /// The first byte of metadata, which ends where the packet starts.
    pub meta: u64,
    slot: Slot,
}

impl Packet {
    /// A packet of `length` bytes where a program of `kind` finds it.
    pub(super) fn new(kind: ProgramKind, slot: Slot, length: usize) -> Self {
        let headroom = if kind == ProgramKind::Raw { 0 } else { HEADROOM as u64 };
        let data = slot.window() + headroom;
        Self { data, end: data + length as u64, meta: data, slot }
    }

    /// Its bytes.
    pub fn length(&self) -> u64 {
        self.end - self.data
    }

    fn hard_start(&self) -> u64 {
        self.slot.window()
    }

    fn hard_end(&self) -> u64 {
        self.slot.window_end() - TAILROOM as u64
    }

    /// The words of a context that say where the packet is: offset and value.
    pub(super) fn words(&self, kind: ProgramKind) -> SmallVec<[(usize, u32); 4]> {
        let [data, end, meta] = [self.data, self.end, self.meta].map(|address| address as u32);
        match kind {
            ProgramKind::Raw => SmallVec::new(),
            ProgramKind::Xdp => {
                smallvec![(xdp_md::DATA, data), (xdp_md::DATA_END, end), (xdp_md::DATA_META, meta)]
            }
            ProgramKind::Tc => smallvec![
                (sk_buff::LEN, self.length() as u32),
                (sk_buff::DATA, data),
                (sk_buff::DATA_END, end),
                (sk_buff::DATA_META, meta),
            ],
        }
    }

    /// `bpf_xdp_adjust_head`: moves the first byte by `delta`, and metadata with it.
    pub(super) fn adjust_head(&mut self, memory: &mut dyn GuestMemory, delta: i32) -> Result<u64, Fault> {
        let metadata = self.data - self.meta;
        let lowest = self.hard_start() + XDP_FRAME_SIZE + metadata;
        let data = self.data.wrapping_add_signed(i64::from(delta));
        if data < lowest || data + MIN_PACKET as u64 > self.end {
            return Ok(failure(EINVAL));
        }
        let moved = read_bytes(memory, self.meta, metadata)?;
        self.meta = data - metadata;
        self.data = data;
        if !moved.is_empty() {
            memory.write(self.meta, &moved)?;
        }
        Ok(0)
    }

    /// `bpf_xdp_adjust_tail`: moves the end by `delta`; new bytes are zero.
    pub(super) fn adjust_tail(&mut self, memory: &mut dyn GuestMemory, delta: i32) -> Result<u64, Fault> {
        let end = self.end.wrapping_add_signed(i64::from(delta));
        if end > self.hard_end() || end < self.data + MIN_PACKET as u64 {
            return Ok(failure(EINVAL));
        }
        if delta > 0 {
            memory.write(self.end, &vec![0; delta as usize])?;
        }
        self.end = end;
        Ok(0)
    }

    /// `bpf_xdp_adjust_meta`: moves the start of metadata by `delta`.
    pub(super) fn adjust_meta(&mut self, delta: i32) -> u64 {
        let meta = self.meta.wrapping_add_signed(i64::from(delta));
        if meta < self.hard_start() + XDP_FRAME_SIZE || meta > self.data {
            return failure(EINVAL);
        }
        let length = self.data - meta;
        if !length.is_multiple_of(4) || length > MAX_METADATA {
            return failure(EACCES);
        }
        self.meta = meta;
        0
    }

    /// `bpf_skb_change_tail`: sets the length. The kernel would allocate where the window ends; here that is `-ENOMEM`.
    pub(super) fn change_tail(&mut self, length: u32, flags: u64) -> u64 {
        if flags != 0 || u64::from(length) > SKB_MAX || u64::from(length) < MIN_PACKET as u64 {
            return failure(EINVAL);
        }
        let end = self.data + u64::from(length);
        if end > self.hard_end() {
            return failure(ENOMEM);
        }
        self.end = end;
        0
    }

    /// `bpf_skb_change_head`: puts `room` zero bytes before the packet. The kernel would allocate where the window starts;
    /// here that is `-ENOMEM`.
    pub(super) fn change_head(
        &mut self,
        memory: &mut dyn GuestMemory,
        room: u32,
        flags: u64,
    ) -> Result<u64, Fault> {
        let too_long = self.length() + u64::from(room) > SKB_MAX;
        if flags != 0 || i32::try_from(room).is_err() || too_long {
            return Ok(failure(EINVAL));
        }
        let data = self.data.wrapping_sub(u64::from(room));
        if data < self.hard_start() {
            return Ok(failure(ENOMEM));
        }
        if room > 0 {
            memory.write(data, &vec![0; room as usize])?;
        }
        self.data = data;
        self.meta = data;
        Ok(0)
    }

    /// The address of the bytes `offset..offset + length` of the packet, if they are in it.
    pub(super) fn at(&self, offset: u64, length: u64) -> Option<u64> {
        let end = offset.checked_add(length)?;
        (end <= self.length()).then_some(self.data + offset)
    }
}

/// `BPF_SKB_MAX_LEN`: what a linear buffer of 16 KiB holds.
const SKB_MAX: u64 = 16384 - 320;
