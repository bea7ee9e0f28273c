# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that handle one packet: the frame, what comes of it, and what maps hold before and after."""

import struct

from .base import *


def acl():
    rules = [(8, b"\n\0\0\0", 1, PASS), (24, b"\n\0\0\0", 2, DROP), (24, b"\n\0\1\0", 3, PASS)]
    before = [("rules", u32(size) + address, u32(number, action)) for size, address, number, action in rules]
    return udp_frame((1000, 2000)), DROP, None, before, []


def balancer():
    backend = bytes([203, 0, 113, 5])
    mac = bytes.fromhex("020000000099")
    before = [
        ("services", BOB + struct.pack(">H", 80) + struct.pack("<H", 6), u32(1, 3)),
        ("backends", u32(3), backend + mac + b"\0\0"),
    ]
    packet = ethernet(ipv4(tcp((40000, 80), b"GET / HTTP/1.1"), 6))
    moved = tcp((40000, 80), b"GET / HTTP/1.1", destination=backend)
    return packet, TX, ethernet(ipv4(moved, 6, destination=backend), to=mac, source=MACS[0]), before, []


def vxlan():
    inner = udp_frame((5, 6), b"inner")
    packet = udp_frame((50000, 4789), struct.pack(">II", 0x08000000, 0x123456 << 8) + inner)
    before = [("networks", u32(0x123456), u64(41) + u32(1, 0))]
    return packet, PASS, inner, before, [("networks", u32(0x123456), u64(42) + u32(1, 0))]


def vlan():
    plain = udp_frame((5, 6))
    tags = bytes.fromhex("88a80064810060c8")
    return plain[:12] + tags + plain[12:], PASS, plain, [], [("packets_of_vlan", u32(0xC8), u64(1))]


def dns():
    query = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + dns_name(b"wWw.Example.ZIP") + struct.pack(">HH", 1, 1)
    blocked = [("blocked", u64(fnv1a_64(name)), u32(1)) for name in (b".bad.example", b".zip")]
    return udp_frame((4000, 53), query), DROP, None, blocked, []


def router():
    macs = bytes.fromhex("0200000000aa"), bytes.fromhex("0200000000bb")
    before = [
        ("routes", u32(0) + bytes(4), u32(2) + bytes(12)),
        ("routes", u32(16) + bytes([192, 0, 0, 0]), u32(1) + macs[0] + macs[1]),
        ("ports", u32(1), u32(1)),
    ]
    sent = udp_frame((1, 2), ttl=63)
    return udp_frame((1, 2)), REDIRECT, macs[1] + macs[0] + sent[12:], before, []


def icmp(kind, payload):
    message = struct.pack(">BBHHH", kind, 0, 0, 3, 4) + payload
    return message[:2] + struct.pack(">H", ones_complement(message)) + message[4:]


def echo():
    body = noise("echo", 56)
    packet = ethernet(ipv4(icmp(8, body), 1))
    return packet, TX, ethernet(ipv4(icmp(0, body), 1, BOB, ALICE), to=MACS[1], source=MACS[0]), [], []


def ipv6(next_header, payload):
    addresses = bytes.fromhex("20010db8000000000000000000000001" "20010db8000000000000000000000002")
    return struct.pack(">IHBB", 6 << 28, len(payload), next_header, 64) + addresses + payload


def ipv6_walk():
    """Hop-by-hop, destination options, then a routing header of type 0: dropped."""
    extensions = bytes([60, 0, 1, 4, 0, 0, 0, 0]) + bytes([43, 1]) + bytes(14) + bytes([6, 2, 0, 1]) + bytes(20)
    return ethernet(ipv6(0, extensions + tcp((1, 2))), 0x86DD), DROP, None, [], []


def syn_cookie():
    ports = (40000, 443)
    packet = ethernet(ipv4(tcp(ports, flags=2), 6))
    address = [int.from_bytes(a, "little") for a in (ALICE, BOB)]
    source_and_port = int.from_bytes(struct.pack(">HH", *ports), "little")
    cookie = siphash_c_d(
        [address[1] << 32 | address[0], source_and_port], 0x0706050403020100, 0x0F0E0D0C0B0A0908, 1, 3) & M32
    answer = tcp(ports[::-1], b"", BOB, ALICE, 0x12, cookie, 0x01020305, 0x7FFF)
    sent = ethernet(ipv4(answer, 6, BOB, ALICE), to=MACS[1], source=MACS[0])
    return packet, TX, sent, [], [(".bss", u32(0), u64(1))]


def histogram():
    packet = udp_frame((1, 2), bytes(200))
    lengths, protocols = [0] * 16, [0] * 256
    lengths[len(packet).bit_length() - 1] = protocols[17] = 1
    return packet, PASS, None, [], [(".bss", u32(0), u64(*lengths, *protocols, len(packet), 1))]


def dispatch():
    before = [("handlers", u32(1), "@xdp_udp"), ("handlers", u32(2), "@xdp_icmp")]
    after = [("handled", u32(i), u64(n)) for i, n in enumerate((1, 1, 0, 0))]
    return udp_frame((11211, 80)), DROP, None, before, after


def nat():
    outside = bytes([203, 0, 113, 77])
    key = ALICE + struct.pack(">H", 5000) + struct.pack("<H", 17)
    before = [("translations", key, outside + struct.pack(">H", 61000) + struct.pack("<H", 17))]
    return udp_frame((5000, 53)), 0, udp_frame((61000, 53), source=outside), before, []


def flow_counter():
    packet = udp_frame((5000, 53))
    key = ALICE + BOB + struct.pack(">HH", 5000, 53) + u32(17)
    size = len(packet)
    return packet, 0, None, [("flows", key, u64(20, 1000))], [("flows", key, u64(21, 1000 + size))]


def bridge():
    stations = [("stations", MACS[0] + b"\0\0", u32(7, 3))]
    return udp_frame((1, 2)), 7, None, stations, []


PACKETS = {
    "xdp_acl": acl,
    "xdp_rate_limit": lambda: (udp_frame((1, 2)), PASS, None, [], []),
    "xdp_balancer": balancer,
    "xdp_vxlan": vxlan,
    "xdp_vlan": vlan,
    "xdp_dns": dns,
    "xdp_router": router,
    "xdp_echo": echo,
    "xdp_ipv6_walk": ipv6_walk,
    "xdp_syn_cookie": syn_cookie,
    "xdp_histogram": histogram,
    "xdp_dispatch": dispatch,
    "tc_flow_counter": flow_counter,
    "tc_nat": nat,
    "tc_bridge": bridge,
    "tc_dscp": lambda: (udp_frame((4000, 5061), service=1), 0, udp_frame((4000, 5061), service=40 << 2 | 1), [], []),
}
