#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes what the programs of this folder and its suites run on, and what they have to do with it.

Nothing here is taken from what a program returned: results come from Python's own hashlib, zlib and base64, or are
computed in the plainest way from the definition (sorted, pow, math.isqrt, sets of numbers for bitmaps), and checksums of
packets are computed from nothing rather than updated. `models` has a model for each program.

usage: expect.py            write the files
       expect.py --check    say which files differ from what would be written; exit 1 when one does

NAME.bin is a packet, or NAME.pcap a capture of several. NAME.expect holds a line for each fact, numbers in decimal, bytes in
hexadecimal:
    before MAP KEY VALUE    an entry of a map before the run; the value @PROGRAM is a program of the same file
    result NUMBER           the low 32 bits of r0; with several packets, a line for each
    packet BYTES            the packet after the run, behind its result; without it, the packet is as it was
    after MAP KEY VALUE     an entry of a map after all packets; .bss is the map of global data

A program of `micro` that looks for text or headers has NAME.pcap beside NAME.bin: packets for the benchmark to rotate.
"""

import sys
from pathlib import Path

# The folder holds sources alone.
sys.dont_write_bytecode = True

from models import apps, compute, idioms, inputs, packets
from models.base import pcap

HERE = Path(__file__).resolve().parent
HEAD = "# Written by expect.py, which says what the lines mean."


def lines(before, results, after):
    """`results` holds a result and a packet, or None, for each packet."""
    show = lambda value: value if isinstance(value, str) else value.hex()
    yield HEAD
    yield from (f"before {name} {key.hex()} {show(value)}" for name, key, value in before)
    for result, packet in results:
        yield f"result {result}"
        if packet is not None:
            yield f"packet {packet.hex()}"
    yield from (f"after {name} {key.hex()} {value.hex()}" for name, key, value in after)


def expectation(before, results, after):
    return ("\n".join(lines(before, results, after)) + "\n").encode()


def micro():
    for name, function in (compute.MODELS | idioms.MODELS).items():
        packet = inputs.packet(name)
        yield f"micro/{name}.bin", packet
        yield f"micro/{name}.expect", expectation([], [(function(packet), None)], [])
        if name in inputs.STRUCTURED:
            yield f"micro/{name}.pcap", pcap(inputs.packet(name, index) for index in range(inputs.COUNT))


def single():
    for name, function in packets.PACKETS.items():
        packet, result, sent, before, after = function()
        yield f"{name}.bin", packet
        yield f"{name}.expect", expectation(before, [(result, sent)], after)


def traffic():
    for name, function in apps.MODELS.items():
        before, frames, results, after = function()
        yield f"apps/{name}.pcap", pcap(frames)
        yield f"apps/{name}.expect", expectation(before, results, after)


def files():
    yield from micro()
    yield from single()
    yield from traffic()


def main():
    if sys.argv[1:] not in ([], ["--check"]):
        print(__doc__.split("\n\n")[2], file=sys.stderr)
        return 2
    wrong, written = [], set()
    for name, content in files():
        written.add(name)
        path = HERE / name
        if not sys.argv[1:]:
            path.write_bytes(content)
        elif not path.exists() or path.read_bytes() != content:
            wrong.append(f"{name} is not what expect.py writes")
    for source in sorted(HERE.glob("**/*.bpf.c")):
        name = str(source.relative_to(HERE)).removesuffix(".bpf.c") + ".expect"
        if name not in written:
            wrong.append(f"{source.name} has no expectation")
    print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
