// SPDX-License-Identifier: GPL-2.0-or-later
//! Contexts as programs see them (`struct xdp_md`, `struct __sk_buff`) against what the kernel takes for a test run.

use std::ops::Range;

use kop_ops::ProgramKind;
use kop_semantics::world::context::{SK_BUFF_SIZE, XDP_MD_SIZE};
use kop_semantics::world::{Image, MAX_PACKET, MIN_PACKET, Packet, World};

/// The fewest and the most bytes of a packet: an Ethernet header, and what the kernel has room for in a page.
const PACKET: Range<u64> = MIN_PACKET as u64..MAX_PACKET as u64 + 1;

/// Fields of `struct xdp_md`. In a test run `data` is where the packet starts and `data_end` where it ends, counted from
/// its metadata.
mod xdp_md {
    pub const DATA: usize = 0;
    pub const DATA_END: usize = 4;
    pub const INGRESS_IFINDEX: usize = 12;
    pub const RX_QUEUE_INDEX: usize = 16;
    pub const EGRESS_IFINDEX: usize = 20;
}

/// Fields of `struct __sk_buff`.
mod sk_buff {
    use std::ops::Range;

    /// What a test run takes from the caller and gives back: mark, priority and ingress_ifindex, cb, tstamp and wire_len,
    /// gso_segs, gso_size, hwtstamp.
    pub const GIVEN: [Range<usize>; 7] = [8..12, 32..40, 48..68, 152..164, 164..168, 176..180, 184..192];

    /// Where the interface's number is.
    pub const IFINDEX: usize = 40;

    /// What is zero in a test run.
    pub const NOT_GIVEN: [(&str, usize); 7] = [
        ("queue_mapping", 12),
        ("vlan_present", 20),
        ("vlan_tci", 24),
        ("vlan_proto", 28),
        ("tc_index", 44),
        ("hash", 68),
        ("tc_classid", 72),
    ];
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes")))
}

/// Why the kernel cannot present a program with this packet and context, if it cannot.
pub(super) fn admits(kind: ProgramKind, world: &World, image: &Image) -> Result<(), String> {
    let length = world.packet().length();
    if !PACKET.contains(&length) {
        return Err(format!(
            "a packet of {length} bytes: the kernel takes {} to {}",
            PACKET.start,
            PACKET.end - 1
        ));
    }
    if kind == ProgramKind::Tc && length < least_of_protocol(world, image) {
        return Err(format!(
            "a packet of {length} bytes whose EtherType says IP: the kernel wants the whole header of it"
        ));
    }
    let context = &image.context;
    if kind == ProgramKind::Tc {
        if let Some((name, _)) = sk_buff::NOT_GIVEN.iter().find(|(_, at)| word(context, *at) != 0) {
            return Err(format!("{name} is set: a test run does not take it"));
        }
        if word(context, sk_buff::IFINDEX) != LOOPBACK {
            return Err(format!("ifindex is not {LOOPBACK}: a test run has the loopback interface"));
        }
    }
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

/// The fewest bytes of a packet for a test run of a tc program, by its EtherType: kernels of late 2025 refuse those that
/// end within the header of IPv4 or IPv6.
fn least_of_protocol(world: &World, image: &Image) -> u64 {
    match image.slice(world.packet().data + 12, 2) {
        Some([0x08, 0x00]) => 14 + 20,
        Some([0x86, 0xdd]) => 14 + 40,
        _ => 14,
    }
}

/// The loopback interface.
const LOOPBACK: u32 = 1;

/// The context to give the kernel for a run on `image`.
pub(super) fn given(kind: ProgramKind, packet: Packet, image: &Image) -> Vec<u8> {
    match kind {
        ProgramKind::Raw => Vec::new(),
        ProgramKind::Xdp => {
            // The rest is what a run has without being told.
            let mut context = vec![0; XDP_MD_SIZE];
            let data = (packet.data - packet.meta) as u32;
            let end = (packet.end - packet.meta) as u32;
            context[xdp_md::DATA..][..4].copy_from_slice(&data.to_le_bytes());
            context[xdp_md::DATA_END..][..4].copy_from_slice(&end.to_le_bytes());
            context
        }
        ProgramKind::Tc => {
            let mut context = vec![0; SK_BUFF_SIZE];
            for field in sk_buff::GIVEN {
                let bytes = image.context.get(field.clone()).unwrap_or_default();
                context[field.start..field.start + bytes.len()].copy_from_slice(bytes);
            }
            context
        }
    }
}

/// The bytes of metadata before the packet after a run, as the kernel says.
pub(super) fn metadata(kind: ProgramKind, given: &[u8]) -> usize {
    if kind == ProgramKind::Xdp { word(given, xdp_md::DATA) as usize } else { 0 }
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
