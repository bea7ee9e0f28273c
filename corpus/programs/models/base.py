# SPDX-License-Identifier: GPL-2.0-or-later
"""What the models share: numbers of fixed width, bytes that look random, frames with their headers."""

import hashlib
import struct

M32, M64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF


def noise(name, size):
    """Bytes that look random and are the same for the same name."""
    return hashlib.shake_128(name.encode()).digest(size)


class Draw:
    """Numbers that look random and are the same for the same name."""

    def __init__(self, name):
        self.bytes, self.at = noise(name, 1 << 16), 0

    def below(self, limit):
        self.at += 4
        return int.from_bytes(self.bytes[self.at - 4:self.at], "little") % limit

    def one(self, choices):
        return choices[self.below(len(choices))]

    def data(self, size):
        self.at += size
        return self.bytes[self.at - size:self.at]


def words(data, size, count):
    return [int.from_bytes(data[i * size:(i + 1) * size], "little") for i in range(count)]


def rotate(x, by, width):
    mask = (1 << width) - 1
    return ((x << by) | (x & mask) >> (width - by)) & mask


def halves(x):
    return (x ^ x >> 32) & M32


def jhash4(key, seed):
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

    a = b = c = 0xDEADBEEF + 16 + seed & M32
    a, b, c = mix(a + key[0] & M32, b + key[1] & M32, c + key[2] & M32)
    a, b, c = final(a + key[3] & M32, b, c)
    # After seven steps of a rotation by three, what was written last has moved on by one place.
    return b


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


def fnv1a_64(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & M64
    return value


def ones_complement(data):
    """The Internet checksum: all of the bytes as one number modulo 65535."""
    total = int.from_bytes(data + b"\0" * (len(data) % 2), "big")
    return 65535 - (total % 65535 or (65535 if total else 0))


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


def pcap(packets):
    """A capture of Ethernet frames, a microsecond apart (the classic format, little-endian)."""
    records = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]
    for at, packet in enumerate(packets):
        records.append(struct.pack("<IIII", at // 1000000, at % 1000000, len(packet), len(packet)) + packet)
    return b"".join(records)
