// SPDX-License-Identifier: GPL-2.0-or-later
//! Contexts as programs see them (`struct xdp_md`, `struct __sk_buff`) against what the kernel takes for a test run.

use std::ops::Range;

use kop_ops::ProgramKind;
use kop_semantics::Image;

/// The bytes of `struct xdp_md`.
const XDP_MD: usize = 24;
/// The bytes of `struct __sk_buff`.
const SK_BUFF: usize = 192;

/// The fewest and the most bytes of a packet: an Ethernet header, and what the kernel has room for in a page.
const PACKET: Range<usize> = 14..3521;

/// Fields of `struct xdp_md`.
mod xdp_md {
    pub const DATA: usize = 0;
    pub const DATA_END: usize = 4;
    pub const DATA_META: usize = 8;
    pub const INGRESS_IFINDEX: usize = 12;
    pub const RX_QUEUE_INDEX: usize = 16;
    pub const EGRESS_IFINDEX: usize = 20;
}

/// Fields of `struct __sk_buff`.
mod sk_buff {
    use std::ops::Range;

    pub const DATA: usize = 76;
    pub const DATA_END: usize = 80;
    pub const DATA_META: usize = 140;
    /// What a test run takes from the caller and gives back: mark, priority and ingress_ifindex, cb, tstamp and wire_len,
    /// gso_segs, gso_size, hwtstamp.
    pub const GIVEN: [Range<usize>; 7] = [8..12, 32..40, 48..68, 152..164, 164..168, 176..180, 184..192];
}

/// Where the packet lies in the window: offsets of its metadata, its first byte and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub meta: usize,
    pub data: usize,
    pub end: usize,
}

impl Place {
    /// As the context says. Bounds that are none are those of an empty packet.
    pub fn of(kind: ProgramKind, image: &Image) -> Self {
        let at = |field: usize| {
            let offset = u64::from(word(&image.context, field)).wrapping_sub(image.slot.window());
            usize::try_from(offset).ok().filter(|offset| *offset <= image.window.len())
        };
        let (data, end, meta) = match kind {
            ProgramKind::Xdp => (at(xdp_md::DATA), at(xdp_md::DATA_END), at(xdp_md::DATA_META)),
            ProgramKind::Tc => (at(sk_buff::DATA), at(sk_buff::DATA_END), at(sk_buff::DATA_META)),
            ProgramKind::Raw => (None, None, None),
        };
        let place = match (data, end) {
            (Some(data), Some(end)) if data <= end => Self { meta: meta.unwrap_or(data), data, end },
            _ => Self { meta: 0, data: 0, end: 0 },
        };
        // A packet without metadata may say so by a position that is none.
        Self { meta: if place.meta <= place.data { place.meta } else { place.data }, ..place }
    }

    /// Metadata and packet.
    pub fn bytes(self) -> Range<usize> {
        self.meta..self.end
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes")))
}

/// Why the kernel cannot present a program with this packet and context, if it cannot.
pub(super) fn admits(kind: ProgramKind, image: &Image) -> Result<(), String> {
    let place = Place::of(kind, image);
    let length = place.end - place.data;
    if !PACKET.contains(&length) {
        return Err(format!(
            "a packet of {length} bytes: the kernel takes {} to {}",
            PACKET.start,
            PACKET.end - 1
        ));
    }
    let context = &image.context;
    if kind == ProgramKind::Xdp {
        if word(context, xdp_md::EGRESS_IFINDEX) != 0 {
            return Err(
                "egress_ifindex is set: the kernel has it for programs of device maps alone".to_owned()
            );
        }
        if word(context, xdp_md::INGRESS_IFINDEX) != LOOPBACK || word(context, xdp_md::RX_QUEUE_INDEX) != 0 {
            return Err(format!(
                "ingress_ifindex {} and rx_queue_index {}: a test run has the first queue of loopback, interface {LOOPBACK}",
                word(context, xdp_md::INGRESS_IFINDEX),
                word(context, xdp_md::RX_QUEUE_INDEX)
            ));
        }
    }
    Ok(())
}

/// The loopback interface.
const LOOPBACK: u32 = 1;

/// The context to give the kernel for a run on `image`.
pub(super) fn given(kind: ProgramKind, image: &Image) -> Vec<u8> {
    let place = Place::of(kind, image);
    match kind {
        ProgramKind::Raw => Vec::new(),
        ProgramKind::Xdp => {
            // The positions count from the metadata here; the rest is what a run has without being told.
            let mut context = vec![0; XDP_MD];
            let data = (place.data - place.meta) as u32;
            let end = (place.end - place.meta) as u32;
            context[xdp_md::DATA..][..4].copy_from_slice(&data.to_le_bytes());
            context[xdp_md::DATA_END..][..4].copy_from_slice(&end.to_le_bytes());
            context
        }
        ProgramKind::Tc => {
            let mut context = vec![0; SK_BUFF];
            for field in sk_buff::GIVEN {
                let bytes = image.context.get(field.clone()).unwrap_or_default();
                context[field.start..field.start + bytes.len()].copy_from_slice(bytes);
            }
            context
        }
    }
}

/// Puts what the kernel says of the context after a run into `image`.
pub(super) fn taken_back(kind: ProgramKind, given: &[u8], image: &mut Image) {
    if kind != ProgramKind::Tc {
        return;
    }
    for field in sk_buff::GIVEN {
        if let (Some(after), Some(here)) = (given.get(field.clone()), image.context.get_mut(field)) {
            here.copy_from_slice(after);
        }
    }
}
