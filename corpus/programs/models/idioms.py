# SPDX-License-Identifier: GPL-2.0-or-later
"""Bit fields, parsers, classifiers, sketches and the like: from the packet to the result."""

import hashlib
import itertools
import re
import struct
import zlib

from .base import M32, M64, halves, ones_complement, rotate, words

FNV_BASIS, FNV_PRIME = 0x811C9DC5, 0x01000193


def fnv1a_32(data, value=FNV_BASIS):
    for byte in data:
        value = (value ^ byte) * FNV_PRIME & M32
    return value


def horner(factor, values, result=0):
    for value in values:
        result = result * factor + value & M32
    return result


def ip_to_text(data):
    return fnv1a_32("".join("%d.%d.%d.%d " % tuple(data[i:i + 4]) for i in range(0, 240, 4)).encode())


def bit_fields(data):
    widths, weights = (4, 8, 20, 1, 7, 11, 13), (1, 3, 5, 7, 11, 13, 17)
    values = []
    for number in range(8 * 60):
        first = number % 60 * 8
        header = bytes([data[first] ^ number // 60]) + data[first + 1:first + 8]
        bits = f"{int.from_bytes(header, 'big'):064b}"
        total = 0
        for width, weight in zip(widths, weights):
            total, bits = total + weight * int(bits[:width], 2), bits[width:]
        values.append(total)
    return horner(31, values)


def bitmap_allocate(data):
    used = [{0}, {0, 1}, {0, 1, 2}, {0, 1, 2, 3}]
    taken = []
    for request in data[:448]:
        ports = used[request & 3]
        if request >= 128 or len(ports) == 64:
            ports.discard(request // 4 % 32)
        else:
            port = min(set(range(64)) - ports)
            ports.add(port)
            taken.append((request & 3) * 64 + port)
    return horner(33, taken)


def bloom_filter(data):
    keys = words(data, 8, 8)

    def places(i):
        key = keys[i % 8] + i & M64
        key = (key ^ key >> 33) * 0xFF51AFD7ED558CCD & M64
        key ^= key >> 33
        return {(key >> shift + 6) % 16 * 64 + (key >> shift) % 64 for shift in (0, 20, 40)}

    present, hits = set(), []
    for first in range(0, 6 * 24, 24):
        present.update(*map(places, range(first, first + 24)))
        hits += [i for i in range(first, first + 72) if places(i) <= present]
    return horner(3, hits)


def packed_records(data):
    total = 0
    for offset in [start + 13 * i for start in range(16) for i in range(36)]:
        sequence, length = struct.unpack_from(">IH", data, offset)
        session, port, flag = struct.unpack_from("<IHB", data, offset + 6)
        total = rotate(total + (sequence ^ session) & M32, 5, 32) + length * 3 + port & M32
        if flag % 2:
            total ^= 0x5BD1E995
    return total


def call_compare(data):
    values = [(word & 0xFFFF, word) for word in words(data, 4, 26)]
    return horner(27, map(sorted(values).index, values))


def call_fixed_point(data):
    mean, total = 1 << 20, 0
    for delay in [word >> shift & 0xFFFFF for shift in (0, 6, 12) for word in words(data, 4, 120)]:
        mean = (mean >> 8) * 0xE0 + (delay >> 8) * 0x20
        total += (delay << 16) // (mean | 1)
    return (total ^ mean) & M32


def checksum_update(data):
    """Each checksum is computed anew from the changed header."""
    values = []
    for i in range(24):
        header = bytearray(data[20 * i:20 * i + 20])
        header[10:12] = bytes(2)
        for hop in range(16):
            # The lower byte of the word, in little-endian order, is the time to live.
            header[8] = (header[8] - 1) % 256
            if hop % 2:
                address = int.from_bytes(header[12:16], "little") * 5 + hop & M32
                header[12:16] = address.to_bytes(4, "little")
            value = ones_complement(bytes(header))
            values.append(value >> 8 | (value & 0xFF) << 8)
    return horner(31, values)


def count_min(data):
    flows = words(data, 4, 32)
    counted, values = {}, []
    for i in range(384):
        key = flows[i * i % 32]
        cells = [(row, ((key ^ row * 0x9E3779B9 & M32) * 0x85EBCA6B & M32) >> 27) for row in range(4)]
        for cell in cells:
            counted[cell] = counted.get(cell, 0) + 1
        values.append(min(counted[cell] for cell in cells))
    return horner(5, values)


def dns_names(data):
    data, names = data[:448], [b""]
    while data:
        length, data = data[0] % 64, data[1:]
        if length == 0:
            names.append(b"")
        else:
            # The dot stands for the label's length, and only letters of the label change.
            names[-1] += b"." + data[:length].lower()
            data = data[length:]
    result = 0
    for _ in range(3):
        result += sum(fnv1a_32(name, FNV_BASIS ^ result) for name in names)
        result &= M32
    return result


def encapsulate(data):
    frame = bytearray(data[:64])
    first = int.from_bytes(frame[28:32], "little")
    result = 0
    for i in range(96):
        # The frame's own address goes up by one, two, three with the frames.
        source = first + i * (i + 1) // 2 & M32
        destination = int.from_bytes(frame[32:36], "little")
        value = (source ^ rotate(destination, 16, 32)) * 0x9E3779B1 & M32
        outer = struct.pack(">BBHHHBBH", 0x45, 0, 100, i << 8, 0, 64, 17, 0)
        outer += struct.pack("<II", source ^ 0x0A, destination ^ 0xAC)
        outer = outer[:10] + struct.pack(">H", ones_complement(outer)) + outer[12:]
        udp = struct.pack(">HHHH", 0xC000 | value >> 18, 4789, 80, 0)
        # What is copied has the address as it was before this round.
        inner = bytearray(frame)
        inner[28:32] = (first + i * (i - 1) // 2 & M32 if i else first).to_bytes(4, "little")
        vxlan = struct.pack(">II", 0x08000000, i + 1 << 8)
        sent = bytes(2) + data[8:14] + data[2:8] + b"\x08\0" + outer + udp + vxlan + bytes(inner)
        result += sum(word * (index % 8 | 1) for index, word in enumerate(words(sent, 2, len(sent) // 2)))
    return result & M32


def hex_decode(data):
    digits = total = wrong = 0
    for text in [data[start:384].decode("latin-1") for start in range(2)]:
        for i, c in enumerate(text):
            if c in "0123456789abcdefABCDEF":
                digits = (digits << 4 | int(c, 16)) & M32
                total += digits if i % 8 == 7 else 0
        wrong += len(re.sub("[0-9a-fA-F]", "", text))
    return total * 31 + wrong & M32


def http_request(data):
    lines = (data[:448] * 2).replace(b"\r", b"").split(b"\n")
    first = [line for before, line in zip([b"", *lines], lines) if not before]
    headers = [line.partition(b":") for before, line in zip(lines, lines[1:]) if before]
    names = fnv1a_32(b"".join(name.lower() for name, _, _ in headers))
    values = fnv1a_32(b"".join(value.replace(b" ", b"") for _, _, value in headers))
    return names + values * 3 + (len(lines) - 1) * 1000 + b"".join(first).count(b" ") & M32


def log_histogram(data):
    seen, result = [], 0
    for interval in range(9):
        latencies = [word >> ((word >> 58) + 3 * interval) % 64 for word in words(data, 8, 24)]
        # What is nothing counts as one does, and 64 bits as none.
        seen += [max(latency.bit_length(), 1) % 64 for latency in latencies]
        result = horner(7, map(seen.count, range(64)), result)
    return result


def rendezvous(data):
    values = []
    for flow in [flow ^ seed for seed in (0, 1) for flow in words(data, 8, 60)]:
        weigh = lambda backend: ((flow ^ backend * 0x9E3779B97F4A7C15 & M64) * 0xBF58476D1CE4E5B9 & M64) >> 32
        values.append(max(range(12), key=weigh))
    return horner(13, values)


def jump_hash(data):
    values = []
    for buckets, key in itertools.product((24, 48), words(data, 8, 60)):
        bucket, following = -1, 0
        while following < buckets:
            bucket = following
            key = key * 2862933555777941757 + 1 & M64
            following = (bucket + 1) * 2**31 // ((key >> 33) + 1)
        values.append(bucket)
    return horner(49, values)


def multiply_high(data):
    total, stamps = 0, words(data, 8, 60)
    for passed in [stamp - start & M64 for start in stamps[:8] for stamp in stamps]:
        nanoseconds = passed * 0x5555555555555556 >> 64
        slot = (nanoseconds * 0x9E3779B97F4A7C15 & M64) * 1000 >> 64
        total = rotate(total, 9, 64) + nanoseconds + slot & M64
    return halves(total)


def pcg_sampler(data):
    flows = words(data, 8, 8)
    state = flows[0]
    taken = size = 0
    for _ in range(640):
        shifted = ((state >> 18 ^ state) >> 27) & M32
        random = rotate(shifted, 32 - (state >> 59) & 31, 32) & M32
        state = state * 6364136223846793005 + 1442695040888963407 & M64
        flow = flows[(random >> 8) % 8]
        if random % 2 ** (flow % 4) == 0:
            taken += 1
            size += flow >> 40 & 0x7FF
    return size * 251 + taken & M32


def hamming(data):
    prints = words(data, 8, 16)
    distance = lambda i, j: (prints[i] ^ prints[j % 16]).bit_count()
    return horner(65, [distance(i, i + step) for i in range(16) for step in range(1, 8)])


def port_class(port):
    rules = [
        (range(0, 20), 1), (range(5060, 5062), 2), (range(16384, 32768), 3), (range(0, 1024), 4),
        (range(49153, 65536, 2), 5), (range(49152, 65536), 6), (range(6000, 6064), 7), (range(8000, 9000), 8),
        (range(33434, 33535), 9), (range(0, 32768), 10), (range(65536), 11),
    ]
    return next(number for ports, number in rules if port in ports)


def port_ranges(data):
    ports = struct.unpack(">240H", data[:480])
    return horner(12, [port_class(port ^ other) for other in range(4) for port in ports])


def service_class(data):
    # Class selectors, assured forwarding, expedited forwarding and voice-admit.
    queues = {48: 7, 56: 7, 46: 6, 44: 6, 40: 5, 32: 12, 24: 11, 16: 10, 8: 9}
    queues |= {8 * af + 2 * drop: af for af in (1, 2, 3, 4) for drop in (1, 2, 3)}
    return horner(13, [queues.get(byte >> 2 ^ other, 0) for other in (0, 46) for byte in data[:320]])


def common_prefix(data):
    values = []
    for i in range(28):
        high, low = struct.unpack_from(">Q", data, 16 * i)[0], words(data[16 * i + 8:], 8, 1)[0]
        values += [64 - (high >> (low >> 6 * route) % 64).bit_length() for route in range(10)]
    return horner(65, values)


def varint(data):
    total = 0
    for start in range(3):
        value, shift = 0, 0
        for byte in data[start:480]:
            value |= (byte & 0x7F) << shift % 64 & M64
            shift += 7
            if byte < 0x80:
                signed = value // 2 if value % 2 == 0 else -(value + 1) // 2
                total, value, shift = rotate(total, 3, 64) + signed & M64, 0, 0
    return halves(total)


def rc4(data):
    table = list(range(256))
    j = 0
    for i in range(256):
        j = (j + table[i] + data[i % 16]) % 256
        table[i], table[j] = table[j], table[i]
    j, stream = 0, []
    for i in range(1, 129):
        j = (j + table[i]) % 256
        table[i], table[j] = table[j], table[i]
        stream.append(table[(table[i] + table[j]) % 256])
    return horner(31, stream)


def rtp_jitter(data):
    delays, jitters, seen, late = words(data, 2, 220), [], [], 0
    for ticks in range(80, 481, 80):
        transits = [delays[2 * i] + i * ticks - delays[2 * i + 1] // 16 for i in range(110)]
        jitter = 0
        for before, now in zip([0] + transits, transits):
            jitter += abs(now - before) - (jitter + 8) // 16
            seen.append(jitter)
            late += abs(now - before) > jitter // 16
        jitters.append(jitter)
    return horner(31, jitters) + min(seen) * 17 + max(seen) * 13 + late & M32


def tcp_options(data):
    result = 0
    for header in [*range(11)] * 3:
        options, seen = data[40 * header:40 * header + 40], 0
        while options and options[0]:
            kind = options[0]
            if kind == 1 or len(options) < 2:
                options = options[1:]
                continue
            length = options[1]
            if length < 3:
                options = options[2:]
                continue
            value = int.from_bytes(options[2:length], "big")
            if len(options) >= length:
                seen += 1
                if kind == 2:
                    result += value & 0xFFFF
                elif kind == 3:
                    result += (value & 15) << 8
                elif kind == 8:
                    result = (result & M32) ^ value & M32
            options = options[length:]
        result = result * 31 + seen & M32
    return result


def tcp_states(data):
    """The transitions as a table: state, then what flags must have and must not have, and the next state."""
    fin, syn, rst, ack = 1, 2, 4, 8
    rules = [
        (0, syn | ack, 0, 0), (0, syn, 0, 1), (0, 0, 0, 0),
        (1, syn | ack, 0, 2), (1, syn, 0, 1), (1, fin, 0, 0), (1, 0, 0, 1),
        (2, fin, 0, 4), (2, ack, 0, 3), (2, 0, 0, 2),
        (3, fin, 0, 4), (3, 0, 0, 3),
        (4, fin | ack, 0, 6), (4, fin, 0, 5), (4, 0, 0, 4),
        (5, ack, 0, 6), (5, 0, 0, 5),
        (6, syn, 0, 1), (6, 0, 0, 6),
    ]
    connections, states = [0] * 16, []
    for byte in data[:472] + bytes(byte ^ 0x10 for byte in data[:472]):
        state, flags = connections[byte >> 4], byte & 15
        if flags & (rst | ack) == rst | ack:
            state = 0
        else:
            state = next(to for own, need, _, to in rules if own == state and flags & need == need)
        connections[byte >> 4] = state
        states.append(state)
    return horner(7, states)


def timer_wheel(data):
    levels, result = [{slot for slot in range(64) if word >> slot & 1} for word in words(data, 8, 4)], 0
    for i, time in enumerate(words(data[32:], 4, 110) * 6):
        if i and i % 110 == 0:
            levels[:2] = set(), set()
        distance = time >> time % 16 & 0x7FFF
        level = sum(distance >= limit for limit in (64, 512, 4096))
        slot = (7 * i + distance) // 8**level % 64
        result += level + 1 if slot in levels[level] else 0
        levels[level].add(slot)
        result = result * 5 + slot & M32
    mask = lambda slots: sum(1 << slot for slot in slots)
    return (result ^ mask(levels[2]) ^ mask(levels[3]) >> 32) & M32


def top_talkers(data):
    intervals = [[word << 4 * interval & M32 for word in words(data, 4, 120)] for interval in range(5)]
    return horner(31, [count for counts in intervals for count in sorted(counts)[::-1][:4]])


def utf8_sums(text, values, wrong):
    """Goes on with the sum of characters and the number of what is none."""
    at = 0
    lead = re.compile(rb"[\x00-\x7f]|[\xc0-\xdf][\x80-\xbf]?|[\xe0-\xef][\x80-\xbf]{0,2}|[\xf0-\xf7][\x80-\xbf]{0,3}|.", re.S)
    while at < len(text):
        unit = lead.match(text, at).group()
        at += len(unit)
        size = 1 if unit[0] < 0x80 else 2 if unit[0] < 0xE0 else 3 if unit[0] < 0xF0 else 4
        if 0x80 <= unit[0] < 0xC0 or unit[0] >= 0xF8:
            wrong += 1
        elif len(unit) < size:
            # What the end cuts off is not counted.
            wrong += at < len(text)
        else:
            value = unit[0] & (0x7F if size == 1 else 0xFF >> size + 1)
            for byte in unit[1:]:
                value = value << 6 | byte & 0x3F
            if value < (0, 0, 0x80, 0x800, 0x10000)[size]:
                wrong += 1
            else:
                values = values * 31 + value & M32
    return values, wrong


def utf8_check(data):
    values, wrong = utf8_sums(data[7:448], *utf8_sums(data[:448], 0, 0))
    return values ^ wrong << 24 & M32


XXH_PRIMES = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def xxhash64_of(data, seed):
    """The specification's algorithm for lengths that are multiples of 32."""
    p1, p2, p3, p4, _ = XXH_PRIMES
    step = lambda lane, word: rotate(lane + word * p2 & M64, 31, 64) * p1 & M64
    lanes = [seed + p1 + p2 & M64, seed + p2 & M64, seed, seed - p1 & M64]
    for i, word in enumerate(words(data, 8, len(data) // 8)):
        lanes[i % 4] = step(lanes[i % 4], word)
    value = sum(rotate(lane, by, 64) for lane, by in zip(lanes, (1, 7, 12, 18))) & M64
    for lane in lanes:
        value = (value ^ step(0, lane)) * p1 + p4 & M64
    value = value + len(data) & M64
    value = (value ^ value >> 33) * p2 & M64
    value = (value ^ value >> 29) * p3 & M64
    return value ^ value >> 32


def xxhash64(data):
    total = 0
    for seed in range(36):
        total ^= xxhash64_of(data[:448], seed)
    return halves(total)


def morton(data):
    sum_, places = 0, []
    points = words(data, 2, 240)
    for step in range(4):
        for x, y in zip(points[::2], points[1::2]):
            place = int("".join(b + a for a, b in zip(f"{x ^ step:016b}", f"{y:016b}")), 2)
            sum_ = rotate(sum_, 1, 32) + place & M32
            places.append(place)
    return sum_ ^ min(places) ^ max(places)


def five_tuples(data):
    step = lambda value, word: (rotate(value, 5, 32) ^ word) * 0x9E3779B1 & M32
    result = others = 0
    for seed, i in itertools.product(range(20), range(7)):
        frame = data[64 * i:64 * i + 64]
        wrapped = frame + frame
        number = lambda at, size: int.from_bytes(wrapped[at % 64:at % 64 + size], "big")
        at, value = 12, seed
        for _ in range(2):
            if number(at, 2) in (0x8100, 0x88A8):
                value, at = step(value, number(at + 2, 2) & 0xFFF), at + 4
        kind, at = number(at, 2), at + 2
        if kind == 0x0800:
            protocol, behind = frame[(at + 9) % 64], at + (frame[at] & 15) * 4
            addresses = at + 12, at + 16
        elif kind == 0x86DD:
            protocol, behind = frame[(at + 6) % 64], at + 40
            addresses = range(at + 8, at + 40, 4)
        else:
            others += 1
            continue
        for address in addresses:
            value = step(value, number(address, 4))
        if protocol in (6, 17):
            value = step(value, number(behind, 4))
        result += step(value, protocol)
    return result * 8 + others & M32


MODELS = {
    "adler32": lambda data: zlib.adler32(data[:448] * 4),
    "ip_to_text": ip_to_text,
    "bit_fields": bit_fields,
    "bitmap_allocate": bitmap_allocate,
    "bloom_filter": bloom_filter,
    "packed_records": packed_records,
    "call_compare": call_compare,
    "call_fixed_point": call_fixed_point,
    "checksum_update": checksum_update,
    "count_min": count_min,
    "dns_names": dns_names,
    "encapsulate": encapsulate,
    "hex_decode": hex_decode,
    "http_request": http_request,
    "log_histogram": log_histogram,
    "rendezvous": rendezvous,
    "jump_hash": jump_hash,
    "multiply_high": multiply_high,
    "pcg_sampler": pcg_sampler,
    "hamming": hamming,
    "port_ranges": port_ranges,
    "service_class": service_class,
    "common_prefix": common_prefix,
    "varint": varint,
    "rc4": rc4,
    "rtp_jitter": rtp_jitter,
    "tcp_options": tcp_options,
    "tcp_states": tcp_states,
    "timer_wheel": timer_wheel,
    "top_talkers": top_talkers,
    "utf8_check": utf8_check,
    "xxhash64": xxhash64,
    "sha1": lambda data: int.from_bytes(hashlib.sha1(data[:256]).digest()[:4], "big"),
    "morton": morton,
    "five_tuples": five_tuples,
}
