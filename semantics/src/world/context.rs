// SPDX-License-Identifier: GPL-2.0-or-later
//! Contexts as programs see them (`include/uapi/linux/bpf.h`): `struct xdp_md` and `struct __sk_buff`, with the packet's
//! addresses as 32-bit numbers that are addresses in the window.

use kop_ops::ProgramKind;
use smallvec::SmallVec;

use super::packet::Packet;

/// The bytes of `struct xdp_md`.
pub const XDP_MD_SIZE: usize = 24;

/// The bytes of `struct __sk_buff`.
pub const SK_BUFF_SIZE: usize = 192;

/// A context.
pub(super) type Bytes = SmallVec<[u8; 256]>;

/// The bytes of the context of a kind of program.
pub const fn size(kind: ProgramKind) -> usize {
    match kind {
        ProgramKind::Raw => 0,
        ProgramKind::Xdp => XDP_MD_SIZE,
        ProgramKind::Tc => SK_BUFF_SIZE,
    }
}

/// What contexts hold besides the packet. The defaults are what BPF_PROG_TEST_RUN gives a program that got no context.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fields {
    /// `ingress_ifindex`: the loopback device for XDP (1), none for tc (0).
    pub ingress_ifindex: Option<u32>,
    /// `rx_queue_index`, XDP alone.
    pub rx_queue_index: u32,
    /// `egress_ifindex`, XDP alone.
    pub egress_ifindex: u32,
    /// `ifindex`, tc alone.
    pub ifindex: u32,
    /// `mark`, tc alone.
    pub mark: u32,
    /// `queue_mapping`, tc alone.
    pub queue_mapping: u32,
    /// `protocol` in network order, tc alone; the packet's EtherType when it is `None`.
    pub protocol: Option<u16>,
    /// `vlan_present` and `vlan_tci`, tc alone: a tag that is not in the packet's bytes.
    pub vlan_tci: Option<u16>,
    /// `vlan_proto` in network order, tc alone.
    pub vlan_proto: u16,
    /// `priority`, tc alone.
    pub priority: u32,
    /// `tc_index`, tc alone.
    pub tc_index: u32,
    /// `cb`, tc alone.
    pub cb: [u32; 5],
    /// `hash`, tc alone.
    pub hash: u32,
    /// `tc_classid`, tc alone.
    pub tc_classid: u32,
    /// `tstamp` in nanoseconds, tc alone.
    pub tstamp: u64,
    /// `wire_len`, tc alone; the packet's length when it is `None`.
    pub wire_len: Option<u32>,
    /// `gso_segs`, tc alone.
    pub gso_segs: u32,
    /// `gso_size`, tc alone.
    pub gso_size: u32,
    /// `hwtstamp` in nanoseconds, tc alone.
    pub hwtstamp: u64,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            ingress_ifindex: None,
            rx_queue_index: 0,
            egress_ifindex: 0,
            ifindex: 1,
            mark: 0,
            queue_mapping: 0,
            protocol: None,
            vlan_tci: None,
            vlan_proto: 0,
            priority: 0,
            tc_index: 0,
            cb: [0; 5],
            hash: 0,
            tc_classid: 0,
            tstamp: 0,
            wire_len: None,
            gso_segs: 0,
            gso_size: 0,
            hwtstamp: 0,
        }
    }
}

/// Offsets in `struct xdp_md`.
pub(super) mod xdp_md {
    pub(in crate::world) const DATA: usize = 0;
    pub(in crate::world) const DATA_END: usize = 4;
    pub(in crate::world) const DATA_META: usize = 8;
    pub(in crate::world) const INGRESS_IFINDEX: usize = 12;
    pub(in crate::world) const RX_QUEUE_INDEX: usize = 16;
    pub(in crate::world) const EGRESS_IFINDEX: usize = 20;
}

/// Offsets in `struct __sk_buff`.
pub(super) mod sk_buff {
    pub(in crate::world) const LEN: usize = 0;
    pub(in crate::world) const PKT_TYPE: usize = 4;
    pub(in crate::world) const MARK: usize = 8;
    pub(in crate::world) const QUEUE_MAPPING: usize = 12;
    pub(in crate::world) const PROTOCOL: usize = 16;
    pub(in crate::world) const VLAN_PRESENT: usize = 20;
    pub(in crate::world) const VLAN_TCI: usize = 24;
    pub(in crate::world) const VLAN_PROTO: usize = 28;
    pub(in crate::world) const PRIORITY: usize = 32;
    pub(in crate::world) const INGRESS_IFINDEX: usize = 36;
    pub(in crate::world) const IFINDEX: usize = 40;
    pub(in crate::world) const TC_INDEX: usize = 44;
    pub(in crate::world) const CB: usize = 48;
    pub(in crate::world) const HASH: usize = 68;
    pub(in crate::world) const TC_CLASSID: usize = 72;
    pub(in crate::world) const DATA: usize = 76;
    pub(in crate::world) const DATA_END: usize = 80;
    pub(in crate::world) const DATA_META: usize = 140;
    pub(in crate::world) const TSTAMP: usize = 152;
    pub(in crate::world) const WIRE_LEN: usize = 160;
    pub(in crate::world) const GSO_SEGS: usize = 164;
    pub(in crate::world) const GSO_SIZE: usize = 176;
    pub(in crate::world) const HWTSTAMP: usize = 184;
}

/// The bytes of the context of a program of `kind` that gets `packet`.
pub(super) fn build(kind: ProgramKind, fields: &Fields, packet: &Packet, bytes: &[u8]) -> Bytes {
    let mut context = Bytes::from_elem(0, size(kind));
    for (offset, value) in packet.words(kind) {
        put(&mut context, offset, value);
    }
    match kind {
        ProgramKind::Raw => {}
        ProgramKind::Xdp => {
            put(&mut context, xdp_md::INGRESS_IFINDEX, fields.ingress_ifindex.unwrap_or(1));
            put(&mut context, xdp_md::RX_QUEUE_INDEX, fields.rx_queue_index);
            put(&mut context, xdp_md::EGRESS_IFINDEX, fields.egress_ifindex);
        }
        ProgramKind::Tc => build_sk_buff(&mut context, fields, bytes),
    }
    context
}

fn build_sk_buff(context: &mut [u8], fields: &Fields, bytes: &[u8]) {
    let ether_type = ether_type(bytes);
    let length = bytes.len() as u32;
    let words = [
        (sk_buff::PKT_TYPE, packet_type(bytes)),
        (sk_buff::MARK, fields.mark),
        (sk_buff::QUEUE_MAPPING, fields.queue_mapping),
        (sk_buff::PROTOCOL, u32::from(fields.protocol.unwrap_or(ether_type))),
        (sk_buff::VLAN_PRESENT, u32::from(fields.vlan_tci.is_some())),
        (sk_buff::VLAN_TCI, u32::from(fields.vlan_tci.unwrap_or_default())),
        (sk_buff::VLAN_PROTO, u32::from(fields.vlan_proto)),
        (sk_buff::PRIORITY, fields.priority),
        (sk_buff::INGRESS_IFINDEX, fields.ingress_ifindex.unwrap_or_default()),
        (sk_buff::IFINDEX, fields.ifindex),
        (sk_buff::TC_INDEX, fields.tc_index),
        (sk_buff::HASH, fields.hash),
        (sk_buff::TC_CLASSID, fields.tc_classid),
        (sk_buff::WIRE_LEN, fields.wire_len.unwrap_or(length)),
        (sk_buff::GSO_SEGS, fields.gso_segs),
        (sk_buff::GSO_SIZE, fields.gso_size),
    ];
    for (offset, value) in words {
        put(context, offset, value);
    }
    for (index, value) in fields.cb.into_iter().enumerate() {
        put(context, sk_buff::CB + 4 * index, value);
    }
    for (offset, value) in [(sk_buff::TSTAMP, fields.tstamp), (sk_buff::HWTSTAMP, fields.hwtstamp)] {
        context[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    }
}

/// The protocol of a packet as a number in network order: its EtherType, or what stands for a length in that place
/// (`eth_type_trans`).
fn ether_type(bytes: &[u8]) -> u16 {
    const LEAST: u16 = 0x600;
    const RAW_802_3: u16 = 0x0001;
    const WITH_802_2: u16 = 0x0004;
    let pair = |at: usize| bytes.get(at..at + 2).map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]));
    match pair(12) {
        number @ LEAST.. => number.swap_bytes(),
        _ if pair(14) == 0xffff => RAW_802_3.swap_bytes(),
        _ => WITH_802_2.swap_bytes(),
    }
}

/// `PACKET_HOST` for the loopback device's address, which is zeros as its broadcast address is, else what the destination
/// says: `eth_type_trans`.
fn packet_type(bytes: &[u8]) -> u32 {
    const HOST: u32 = 0;
    const MULTICAST: u32 = 2;
    const OTHER_HOST: u32 = 3;
    match bytes.get(..6) {
        Some(destination) if destination[0] & 1 != 0 => MULTICAST,
        Some([0, 0, 0, 0, 0, 0]) | None => HOST,
        Some(_) => OTHER_HOST,
    }
}

fn put(context: &mut [u8], offset: usize, value: u32) {
    context[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
}
