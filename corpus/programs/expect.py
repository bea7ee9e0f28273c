#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes NAME.bin (a packet) and NAME.expect (what the program has to do with it) for the programs of this folder.

Nothing here is taken from what a program returned: results come from Python's own hashlib, zlib and base64, or are
computed in the plainest way from the definition (sorted, pow, math.isqrt), and checksums of packets are computed from
nothing rather than updated.

usage: expect.py            write the files
       expect.py --check    say which files differ from what would be written; exit 1 when one does

NAME.expect holds a line for each fact, numbers in decimal, bytes in hexadecimal:
    before MAP KEY VALUE    an entry of a map before the run; the value @PROGRAM is a program of the same file
    result NUMBER           the low 32 bits of r0
    packet BYTES            the packet after the run; without it, the packet is as it was
    after MAP KEY VALUE     an entry of a map after the run; .bss is the map of global data
"""

import base64
import hashlib
import math
import struct
import sys
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
M32, M64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF


def noise(name, size):
    """Bytes that look random and are the same for the same name."""
    return hashlib.shake_128(name.encode()).digest(size)


def words(data, size, count):
    return [int.from_bytes(data[i * size:(i + 1) * size], "little") for i in range(count)]


def rotate(x, by, width):
    mask = (1 << width) - 1
    return ((x << by) | (x & mask) >> (width - by)) & mask


def halves(x):
    return (x ^ x >> 32) & M32


# Programs that only compute: from the packet to the result.

def jhash(data):
    """Jenkins' lookup3 (public domain, 2006), hashword() for four words."""
    def mix(a, b, c):
        for by in (4, 6, 8, 16, 19, 4):
            a = (a - c) & M32 ^ rotate(c, by, 32)
            c = c + b & M32
            a, b, c = b, c, a
        return a, b, c

    def final(a, b, c):
        for by in (14, 11, 25, 16, 4, 14, 24):
            c = (c ^ b) - rotate(b, by, 32) & M32
            a, b, c = b, c, a
        return a, b, c

    key, result = words(data, 4, 4), 0
    for seed in range(96):
        a = b = c = 0xDEADBEEF + 16 + seed & M32
        a, b, c = mix(a + key[0] & M32, b + key[1] & M32, c + key[2] & M32)
        a, b, c = final(a + key[3] & M32, b, c)
        # After seven steps of a rotation by three, what was written last has moved on by one place.
        result ^= b
        key[3] = key[3] + 0x10001 & M32
    return result


def siphash_state(k0, k1):
    return [0x736F6D6570736575 ^ k0, 0x646F72616E646F6D ^ k1, 0x6C7967656E657261 ^ k0, 0x7465646279746573 ^ k1]


def siphash_rounds(v, count):
    for _ in range(count):
        v[0] = v[0] + v[1] & M64
        v[2] = v[2] + v[3] & M64
        v[1] = rotate(v[1], 13, 64) ^ v[0]
        v[3] = rotate(v[3], 16, 64) ^ v[2]
        v[0] = rotate(v[0], 32, 64)
        v[2] = v[2] + v[1] & M64
        v[0] = v[0] + v[3] & M64
        v[1] = rotate(v[1], 17, 64) ^ v[2]
        v[3] = rotate(v[3], 21, 64) ^ v[0]
        v[2] = rotate(v[2], 32, 64)


def siphash_c_d(message, k0, k1, c, d):
    v = siphash_state(k0, k1)
    for word in message + [len(message) * 8 << 56 & M64]:
        v[3] ^= word
        siphash_rounds(v, c)
        v[0] ^= word
    v[2] ^= 0xFF
    siphash_rounds(v, d)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def siphash(data):
    # The vector for 8 bytes from the reference implementation: key 00..0f, message 00..07.
    assert siphash_c_d([0x0706050403020100], 0x0706050403020100, 0x0F0E0D0C0B0A0908, 2, 4) == 0x93F5F5799A932462
    w, value = words(data, 8, 10), 0
    for _ in range(16):
        value = siphash_c_d(w[:8], w[8] ^ value, w[9], 2, 4)
    return halves(value)


def fnv1a_64(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & M64
    return value


def sha256(data):
    return int.from_bytes(hashlib.sha256(data[:64]).digest()[:4], "big")


def chacha20(data):
    def quarter(x, a, b, c, d):
        for one, two, three, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[one] = x[one] + x[two] & M32
            x[three] = rotate(x[three] ^ x[one], by, 32)

    start = words(b"expand 32-byte k" + data[:48], 4, 16)
    result = 0
    for _ in range(4):
        x = list(start)
        for _ in range(10):
            for i in range(4):
                quarter(x, i, 4 + i, 8 + i, 12 + i)
            for i in range(4):
                quarter(x, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
        for own, first in zip(x, start):
            result ^= own + first & M32
        start[12] = start[12] + 1 & M32
    return result


def bits(data):
    x, total = words(data, 8, 1)[0], 0
    for i in range(128):
        x ^= x << 13 & M64
        x ^= x >> 7
        x ^= x << 17 & M64
        total = total + x.bit_count() + (64 - (x >> (i & 63)).bit_length()) * 64 & M64
        total ^= int(f"{x:064b}"[::-1], 2)
        total = total + total.bit_count() % 2 & M64
    return halves(total)


def bubble_sort(data):
    result = 0
    for value in sorted(words(data, 4, 40)):
        result = result * 31 + value & M32
    return result


def sort_network(data):
    inputs, result = words(data, 4, 16), 0
    for number in range(24):
        inputs = sorted(rotate(w, 5, 32) ^ i * 0x9E3779B9 * number & M32 for i, w in enumerate(inputs))
        result = result * 1000003 + (inputs[7] + inputs[8]) // 2 & M64
    return halves(result)


def matrix(data):
    a = [list(data[row * 6:row * 6 + 6]) for row in range(6)]
    for _ in range(4):
        a = [[sum(x * y for x, y in zip(row, column)) & M32 for column in zip(*a)] for row in a]
    return sum(a[i][i] for i in range(6)) & M32


def string_search(data):
    text, result = data[:256], 0
    for n in range(4):
        at = -1
        while (at := text.find(data[n * 4:n * 4 + 4], at + 1)) >= 0:
            result = result * 257 + at + 3 & M32
    return result


def ones_complement(data):
    """The Internet checksum: all of the bytes as one number modulo 65535."""
    total = int.from_bytes(data + b"\0" * (len(data) % 2), "big")
    return 65535 - (total % 65535 or (65535 if total else 0))


def checksum(data):
    # The program adds little-endian words and eight rounds, each of which starts with the folded sum of the last.
    value = ones_complement(data[:512] * 8)
    return value >> 8 | (value & 0xFF) << 8


def base64_fnv(data):
    value = 0x811C9DC5
    for byte in base64.b64encode(data[:96]) * 3:
        value = (value ^ byte) * 0x01000193 & M32
    return value


def lz_decode(data):
    result, output = 0, bytearray(128)
    for _ in range(4):
        control = words(data, 4, 1)[0]
        for group in range(32):
            item = data[4 + 4 * group:8 + 4 * group]
            for i in range(4):
                matched = output[(4 * group + i - 1 - item[0]) % 128]
                output[4 * group + i] = matched if control >> group & 1 else item[i]
        for byte in output:
            result = result * 31 + byte & M32
    return result


def sieve(_):
    return sum(all(n % d for d in range(2, math.isqrt(n) + 1)) for n in range(2, 2048))


def fixed_point(data):
    mean = variance = result = 0
    for sample in data[:64]:
        error = (sample << 32) - mean
        mean += error >> 3
        variance = variance + ((error >> 20) ** 2 >> 3) - (variance >> 3) & M64
        result = result * 31 + math.isqrt(variance >> 16) + (mean >> 24) & M32
    return result


def binary_search(data):
    table, total, result = [], 0, 0
    for byte in data[:64]:
        total += byte + 1
        table.append(total)
    for i in range(192):
        key = data[i & 63] * 64 + i * 7
        # The last place is not reached: the search halves 64 six times, to 63 at most.
        result = result * 67 + min(sum(entry <= key for entry in table), 63) & M32
    return result


def division(data):
    first, second = words(data, 8, 2)
    result = 0
    for i in range(16):
        a, b = first + i & M64, second ^ i
        for _ in range(8):
            a, b = b, a % (b | 1)
        result += (a & M32) // (b & M32 | 1) + (b & M32) % 1009
    modulus = second & 0x7FFFFFFF | 1
    # Square and multiply with a multiplication at every bit: the exponent is all ones.
    return (result ^ pow(first, 2**31 - 1, modulus)) & M32


def toeplitz(data):
    key = int.from_bytes(data[96:136], "big")
    result = 0
    for number in [*range(8), *range(8)]:
        tuple_bits = f"{int.from_bytes(data[number * 12:number * 12 + 12], 'big'):096b}"
        value = 0
        for position, bit in enumerate(tuple_bits):
            if bit == "1":
                value ^= key >> (320 - 32 - position) & M32
        result = result * 31 + value & M32
    return result


def murmur3(data):
    value = 0
    for block in words(data, 4, 48) * 6:
        block = rotate(block * 0xCC9E2D51 & M32, 15, 32) * 0x1B873593 & M32
        value = rotate(value ^ block, 13, 32) * 5 + 0xE6546B64 & M32
    value ^= 6 * 192
    value = (value ^ value >> 16) * 0x85EBCA6B & M32
    value = (value ^ value >> 13) * 0xC2B2AE35 & M32
    return value ^ value >> 16


COMPUTE = {
    "jhash": jhash,
    "siphash": siphash,
    "fnv1a": lambda data: halves(fnv1a_64(data[:256] * 4)),
    "crc32_bitwise": lambda data: zlib.crc32(data[:128]),
    "crc32_table": lambda data: zlib.crc32(data[:256]),
    "sha256": sha256,
    "chacha20": chacha20,
    "bits": bits,
    "bubble_sort": bubble_sort,
    "sort_network": sort_network,
    "matrix": matrix,
    "string_search": string_search,
    "checksum": checksum,
    "base64": base64_fnv,
    "lz_decode": lz_decode,
    "sieve": sieve,
    "fixed_point": fixed_point,
    "binary_search": binary_search,
    "division": division,
    "toeplitz": toeplitz,
    "subprograms": murmur3,
}


def compute_packet(name):
    data = noise(name, 512)
    if name == "string_search":
        data = b"GET /POST/index." * 3 + b"HTTP/1.1 GET /POSTindex./POST.." + data
    return data[:512]


# Programs that handle packets: frames with headers, built from fields with correct checksums.

MACS = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
ALICE, BOB, CAROL = bytes([10, 0, 0, 1]), bytes([192, 0, 2, 7]), bytes([198, 51, 100, 9])
PASS, DROP, TX, REDIRECT = 2, 1, 3, 4


def ethernet(payload, kind=0x0800, to=MACS[0], source=MACS[1]):
    return to + source + struct.pack(">H", kind) + payload


def ipv4(payload, protocol, source=ALICE, destination=BOB, ttl=64, service=0):
    length = 20 + len(payload)
    header = struct.pack(">BBHHHBBH4s4s", 0x45, service, length, 0x1234, 0, ttl, protocol, 0, source, destination)
    return header[:10] + struct.pack(">H", ones_complement(header)) + header[12:] + payload


def with_checksum(segment, at, protocol, source, destination):
    pseudo = source + destination + struct.pack(">HH", protocol, len(segment))
    value = ones_complement(pseudo + segment[:at] + b"\0\0" + segment[at + 2:])
    return segment[:at] + struct.pack(">H", value) + segment[at + 2:]


def udp(ports, payload, source=ALICE, destination=BOB):
    segment = struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload
    return with_checksum(segment, 6, 17, source, destination)


def tcp(ports, payload=b"", source=ALICE, destination=BOB, flags=0x10, sequence=0x01020304, ack=0, window=4096):
    segment = struct.pack(">HHIIBBHHH", *ports, sequence, ack, 0x50, flags, window, 0, 0) + payload
    return with_checksum(segment, 16, 6, source, destination)


def udp_frame(ports, payload=b"payload of a test", source=ALICE, destination=BOB, **rest):
    return ethernet(ipv4(udp(ports, payload, source, destination), 17, source, destination, **rest))


def u32(*values):
    return struct.pack("<%dI" % len(values), *values)


def u64(*values):
    return struct.pack("<%dQ" % len(values), *values)


def dns_name(name):
    return b"".join(bytes([len(label)]) + label for label in name.split(b".")) + b"\0"


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


def text(result, packet, before, after):
    lines = ["# Written by expect.py, which says what the lines mean."]
    show = lambda value: value if isinstance(value, str) else value.hex()
    lines += [f"before {name} {key.hex()} {show(value)}" for name, key, value in before]
    lines.append(f"result {result}")
    if packet is not None:
        lines.append(f"packet {packet.hex()}")
    lines += [f"after {name} {key.hex()} {value.hex()}" for name, key, value in after]
    return "\n".join(lines) + "\n"


def files():
    for name, function in COMPUTE.items():
        packet = compute_packet(name)
        yield f"{name}.bin", packet
        yield f"{name}.expect", text(function(packet), None, [], []).encode()
    for name, function in PACKETS.items():
        packet, result, sent, before, after = function()
        yield f"{name}.bin", packet
        yield f"{name}.expect", text(result, sent, before, after).encode()


def main():
    if sys.argv[1:] not in ([], ["--check"]):
        print(__doc__.split("\n\n")[2], file=sys.stderr)
        return 2
    sources = {path.stem for path in HERE.glob("*.c")}
    wrong = [f"{name}.c has no expectation" for name in sorted(sources - COMPUTE.keys() - PACKETS.keys())]
    for name, content in files():
        path = HERE / name
        if not sys.argv[1:]:
            path.write_bytes(content)
        elif not path.exists() or path.read_bytes() != content:
            wrong.append(f"{name} is not what expect.py writes")
    print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
