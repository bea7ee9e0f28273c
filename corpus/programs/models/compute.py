# SPDX-License-Identifier: GPL-2.0-or-later
"""Hashes, checksums, cryptography and arithmetic: from the packet to the result."""

import base64
import hashlib
import math
import zlib

from .base import (
    M32,
    M64,
    fnv1a_64,
    halves,
    jhash4,
    ones_complement,
    rotate,
    siphash_c_d,
    words,
)


def jhash(data):
    key, result = words(data, 4, 4), 0
    for seed in range(192):
        result ^= jhash4(key, seed)
        key[3] = key[3] + 0x10001 & M32
    return result


def siphash(data):
    # The vector for 8 bytes from the reference implementation: key 00..0f, message 00..07.
    assert siphash_c_d([0x0706050403020100], 0x0706050403020100, 0x0F0E0D0C0B0A0908, 2, 4) == 0x93F5F5799A932462
    w, value = words(data, 8, 10), 0
    for _ in range(24):
        value = siphash_c_d(w[:8], w[8] ^ value, w[9], 2, 4)
    return halves(value)


def sha256(data):
    return int.from_bytes(hashlib.sha256(data[:192]).digest()[:4], "big")


def chacha20(data):
    def quarter(x, a, b, c, d):
        for one, two, three, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[one] = x[one] + x[two] & M32
            x[three] = rotate(x[three] ^ x[one], by, 32)

    start = words(b"expand 32-byte k" + data[:48], 4, 16)
    result = 0
    for _ in range(10):
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
    for i in range(176):
        x ^= x << 13 & M64
        x ^= x >> 7
        x ^= x << 17 & M64
        total = total + x.bit_count() + (64 - (x >> (i & 63)).bit_length()) * 64 & M64
        total ^= int(f"{x:064b}"[::-1], 2)
        total = total + total.bit_count() % 2 & M64
    return halves(total)


def bubble_sort(data):
    result = 0
    for value in sorted(words(data, 4, 46)):
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
    for _ in range(8):
        a = [[sum(x * y for x, y in zip(row, column)) & M32 for column in zip(*a)] for row in a]
    return sum(a[i][i] for i in range(6)) & M32


def string_search(data):
    text, result = data[:256], 0
    for n in range(6):
        at = -1
        while (at := text.find(data[n * 4:n * 4 + 4], at + 1)) >= 0:
            result = result * 257 + at + 3 & M32
    return result


def checksum(data):
    # The program adds little-endian words and sixteen rounds, each of which starts with the folded sum of the last.
    value = ones_complement(data[:512] * 16)
    return value >> 8 | (value & 0xFF) << 8


def base64_fnv(data):
    value = 0x811C9DC5
    for byte in base64.b64encode(data[:96]) * 5:
        value = (value ^ byte) * 0x01000193 & M32
    return value


def lz_decode(data):
    result, output = 0, bytearray(128)
    for _ in range(6):
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
    for sample in data[:80]:
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
    for i in range(360):
        key = data[i & 63] * 64 + i * 7
        # The last place is not reached: the search halves 64 six times, to 63 at most.
        result = result * 67 + min(sum(entry <= key for entry in table), 63) & M32
    return result


def division(data):
    first, second = words(data, 8, 2)
    result = 0
    for i in range(36):
        a, b = first + i & M64, second ^ i
        for _ in range(8):
            a, b = b, a % (b | 1)
        result += (a & M32) // (b & M32 | 1) + (b & M32) % 1009
    modulus = second & 0x7FFFFFFF | 1
    # Square and multiply with a multiplication at every bit: the exponent is all ones.
    return (result ^ pow(first, 2**31 - 1, modulus)) & M32


def toeplitz(data):
    key = int.from_bytes(data[384:424], "big")
    result = 0
    for number in range(32):
        tuple_bits = f"{int.from_bytes(data[number * 12:number * 12 + 12], 'big'):096b}"
        value = 0
        for position, bit in enumerate(tuple_bits):
            if bit == "1":
                value ^= key >> (320 - 32 - position) & M32
        result = result * 31 + value & M32
    return result


def murmur3(data):
    value = 0
    for block in words(data, 4, 48) * 12:
        block = rotate(block * 0xCC9E2D51 & M32, 15, 32) * 0x1B873593 & M32
        value = rotate(value ^ block, 13, 32) * 5 + 0xE6546B64 & M32
    value ^= 12 * 192
    value = (value ^ value >> 16) * 0x85EBCA6B & M32
    value = (value ^ value >> 13) * 0xC2B2AE35 & M32
    return value ^ value >> 16


MODELS = {
    "jhash": jhash,
    "siphash": siphash,
    "fnv1a": lambda data: halves(fnv1a_64(data[:256] * 5)),
    "crc32_bitwise": lambda data: zlib.crc32(data[:168]),
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
