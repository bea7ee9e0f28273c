# SPDX-License-Identifier: GPL-2.0-or-later
"""The packets of programs that only compute: noise, or text and headers where a program looks for some."""

import struct

from .base import Draw, dns_name, ethernet, ipv4, noise, tcp, udp

SIZE = 512


def search_text(draw):
    pieces = [b"GET ", b"POST ", b"/index.", b"HTTP/1.1 ", b"/", b"GE", b"html", b"POS", b"xyz"]
    text = b"".join(draw.one(pieces) for _ in range(100))
    return b"GET POST/ind.htm" + text


def hex_text(draw):
    digits = b"0123456789abcdefABCDEF"
    # One in a hundred is a separator.
    return bytes(draw.one(digits) if draw.below(100) else ord("-") for _ in range(384))


def http_head(draw):
    lines = [b"%s /%s HTTP/1.1" % (draw.one([b"GET", b"POST", b"PUT"]), draw.data(6).hex().encode())]
    headers = [
        b"User-Agent: kop/1.0 (bench)", b"Accept: */*", b"Accept-Encoding: gzip, br", b"Connection: keep-alive",
        b"X-Trace: " + draw.data(8).hex().encode(), b"Cookie: id=" + draw.data(10).hex().encode(),
    ]
    chosen = [draw.one(headers) for _ in range(3 + draw.below(4))]
    name = draw.one([b"Host", b"host", b"HOST"])
    chosen.insert(draw.below(len(chosen)), name + b": " + draw.data(4).hex().encode() + b".example")
    return b"\r\n".join(lines + chosen) + b"\r\n\r\n"


def http_text(draw):
    return b"".join(http_head(draw) for _ in range(8))


def names(draw):
    labels = [b"www", b"Mail", b"api-%d" % draw.below(100), b"cdn", b"EXAMPLE", b"net", b"internal", b"x", b"com"]
    return b"".join(dns_name(b".".join(draw.one(labels) for _ in range(1 + draw.below(5)))) for _ in range(40))


def options(draw):
    def header():
        parts = [
            b"\2\4" + struct.pack(">H", 536 + draw.below(1000)), b"\3\3" + bytes([draw.below(15)]), b"\4\2",
            b"\1", b"\1\1", b"\10\12" + draw.data(8), b"\5\12" + draw.data(8),
        ]
        text = b"".join(draw.one(parts) for _ in range(1 + draw.below(6)))
        return (text[:40] + bytes(40))[:40]

    return b"".join(header() for _ in range(12))


def unicode_text(draw):
    letters = "etaoin shrdlu \u00e4\u00f6\u00fc\u00df\u0434\u0438\u4e2d\u6587\u20ac\U0001f600"
    parts = [draw.one(letters).encode() for _ in range(400)]
    # One in sixty is no UTF-8.
    return b"".join(part if draw.below(60) else draw.one([b"\xff", b"\xc0\x80", b"\x80"]) for part in parts)


def frames(draw):
    def frame():
        ports = draw.below(65536), draw.one([53, 80, 443, 8080])
        segment = draw.one([tcp, udp])(ports, b"some payload that is cut off")
        protocol = 6 if segment[12:13] == b"\x50" else 17
        kind = draw.below(8)
        if kind == 0:
            return ethernet(draw.data(50), 0x0806)
        if kind <= 2:
            payload = struct.pack(">IHBB", 6 << 28, len(segment), protocol, 64) + draw.data(32) + segment
            plain = ethernet(payload, 0x86DD)
        else:
            plain = ethernet(ipv4(segment, protocol, draw.data(4), draw.data(4)))
        for _ in range(draw.one([0, 0, 0, 1, 2])):
            plain = plain[:12] + struct.pack(">HH", 0x8100, draw.below(4096)) + plain[12:]
        return plain

    return b"".join((frame() + bytes(64))[:64] for _ in range(7))


STRUCTURED = {
    "string_search": search_text,
    "hex_decode": hex_text,
    "http_request": http_text,
    "dns_names": names,
    "tcp_options": options,
    "utf8_check": unicode_text,
    "five_tuples": frames,
}

# How many inputs there are to rotate where noise is none.
COUNT = 32


def packet(name, index=0):
    """The packet that the expectation is for, or one of those to rotate."""
    if name not in STRUCTURED:
        return noise(name, SIZE)
    data = STRUCTURED[name](Draw(f"{name} {index}"))
    return (data + bytes(SIZE))[:SIZE]
