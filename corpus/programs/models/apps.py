# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of realistic size: traffic, what comes of each packet, and what maps hold before and after.

Whoever makes a packet here knows what has to become of it; only what depends on packets before (connections, tokens, ports
in use) is followed step by step. Rewritten packets are built anew, with checksums from nothing.
"""

import struct

from .base import *

OK, SHOT = 0, 2
FIN, SYN, RST, ACK = 1, 2, 4, 16
COUNT = 128


def address(text):
    return bytes(map(int, text.split(".")))


def little(data):
    return int.from_bytes(data, "little")


def u16(*values):
    return struct.pack("<%dH" % len(values), *values)


class Segment:
    """A TCP or UDP segment in its frame, whose fields can be changed before it is built."""

    def __init__(self, protocol, source, destination, ports, payload=b"", flags=ACK, vlan=None, options=b"", **rest):
        self.protocol, self.source, self.destination, self.ports = protocol, source, destination, ports
        self.payload, self.flags, self.vlan, self.options = payload, flags, vlan, options
        self.ttl, self.to, self.sender, self.no_checksum = 64, MACS[0], MACS[1], False
        self.sequence, self.ack, self.window = 0x01020304, 0, 4096
        self.ip_options = b""
        vars(self).update(rest)

    def transport(self):
        addresses = self.source, self.destination
        if self.protocol == 17:
            segment = udp(self.ports, self.payload, *addresses)
            return segment[:6] + b"\0\0" + segment[8:] if self.no_checksum else segment
        offset = 0x50 + len(self.options) // 4 * 16
        segment = struct.pack(
            ">HHIIBBHHH", *self.ports, self.sequence, self.ack, offset, self.flags, self.window, 0, 0)
        return with_checksum(segment + self.options + self.payload, 16, 6, *addresses)

    def frame(self):
        body = self.transport()
        if self.ip_options:
            size = 20 + len(self.ip_options)
            head = struct.pack(
                ">BBHHHBBH4s4s", 0x40 | size // 4, 0, size + len(body), 0x1234, 0, self.ttl, self.protocol, 0,
                self.source, self.destination) + self.ip_options
            packet = head[:10] + struct.pack(">H", ones_complement(head)) + head[12:] + body
        else:
            packet = ipv4(body, self.protocol, self.source, self.destination, self.ttl)
        frame = ethernet(packet, to=self.to, source=self.sender)
        if self.vlan is not None:
            frame = frame[:12] + struct.pack(">HH", 0x8100, self.vlan) + frame[12:]
        return frame

    def but(self, **changes):
        changed = Segment(0, b"", b"", (0, 0))
        vars(changed).update(vars(self) | changes)
        return changed

    def flow(self):
        """The program's `struct flow`, and what its hash is computed from."""
        ports = struct.pack(">HH", *self.ports)
        return self.source + self.destination + ports + u32(self.protocol)

    def jhash(self, seed):
        return jhash4(words(self.flow(), 4, 4), seed)


def arp():
    return ethernet(bytes.fromhex("0001080006040001") + MACS[1] + ALICE + bytes(6) + BOB + bytes(18), 0x0806)


def fragment(source=ALICE, destination=BOB):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 60, 7, 0x2000 | 100, 64, 17, 0, source, destination)
    return ethernet(head[:10] + struct.pack(">H", ones_complement(head)) + head[12:] + bytes(40))


def maglev(backends, slots, weight):
    """Each backend in turn takes the next free slot of its own permutation (Eisenbud et al., 2016)."""
    table, turns = [None] * slots, {backend: 0 for backend in backends}
    while None in table:
        for backend in backends:
            draw = Draw(f"maglev {backend} {weight}")
            start, step = draw.below(slots), 1 + draw.below(slots - 1)
            while None in table:
                slot = (start + turns[backend] * step) % slots
                turns[backend] += 1
                if table[slot] is None:
                    table[slot] = backend
                    break
    return table


def l4_balancer():
    draw = Draw("l4_balancer")
    web, names, gone = address("192.0.2.7"), address("192.0.2.8"), address("192.0.2.9")
    # Address, port (0 is all), protocol: number, flags, backends.
    services = {(web, 443, 6): (0, 0), (web, 80, 6): (0, 0), (names, 53, 17): (1, 1), (gone, 0, 6): (2, 0)}
    backends = [(address(f"10.1.0.{n + 1}"), bytes([2, 0, 0, 1, 0, n]), 8443 if n % 3 == 0 else 0) for n in range(10)]
    tables = [maglev(range(6), 251, "web"), maglev(range(6, 10), 251, "names"), [15] * 251]
    before = [
        ("services", where + struct.pack(">H", port) + u16(protocol), u32(*value))
        for (where, port, protocol), value in services.items()
    ]
    before += [
        ("slots", u32(service * 251 + slot), u32(backend))
        for service, table in enumerate(tables) for slot, backend in enumerate(table)
    ]
    before += [
        ("backends", u32(n), where + mac + struct.pack(">H", port)) for n, (where, mac, port) in enumerate(backends)
    ]
    flows = []
    for _ in range(24):
        target = draw.one([(web, 443, 6), (web, 443, 6), (web, 80, 6), (names, 53, 17), (gone, 99, 6)])
        flows.append([draw.data(4), target, 1024 + draw.below(60000), 0])
    connections, frames, results = {}, [], []
    counted, reasons = {}, [0, 0, 0, 0]

    def send(frame, result, sent=None):
        frames.append(frame)
        results.append((result, sent))

    for _ in range(COUNT):
        kind = draw.below(40)
        if kind == 0:
            send(arp(), PASS)
            continue
        if kind == 1:
            send(fragment(), PASS)
            reasons[2] += 1
            continue
        if kind == 2:
            send(udp_frame((5, 6), destination=CAROL), PASS)
            continue
        if kind == 3:
            # The address has no service for pings; that of all ports has.
            body = draw.data(32)
            send(ethernet(ipv4(icmp(8, body), 1, destination=web)), PASS)
            continue
        if kind == 4:
            send(ethernet(ipv4(tcp((1, 2))[:10], 6)), DROP)
            reasons[3] += 1
            continue
        flow = draw.one(flows)
        source, (target, port, protocol), own_port, sent = flow
        flags = SYN if protocol == 6 and sent == 0 else draw.one([ACK, ACK, ACK, ACK, FIN | ACK])
        segment = Segment(protocol, source, target, (own_port, port), draw.data(draw.below(120)), flags)
        segment.no_checksum = protocol == 17 and draw.below(4) == 0
        segment.ip_options = b"\1\1\1\0" if draw.below(16) == 0 else b""
        segment.vlan = 7 if draw.below(8) == 0 else None
        if kind == 5:
            segment.ttl = 1
            send(segment.frame(), DROP)
            reasons[0] += 1
            continue
        flow[3] = 0 if flags & FIN else sent + 1
        number, stateless = services.get((target, port, protocol)) or services[(target, 0, protocol)]
        key = segment.flow()
        starts, ends = flags == SYN and protocol == 6, flags & FIN and protocol == 6
        if not stateless and not starts and key in connections:
            backend = connections.pop(key) if ends else connections[key]
        else:
            backend = tables[number][segment.jhash(0x5EED) % 251]
            if not stateless and not ends:
                connections[key] = backend
        if backend == 15:
            send(segment.frame(), DROP)
            reasons[1] += 1
            continue
        where, mac, to_port = backends[backend]
        sent = segment.but(destination=where, ports=(own_port, to_port or port), to=mac, sender=MACS[0], ttl=63)
        packets, size = counted.get(number, (0, 0))
        counted[number] = packets + 1, size + len(segment.frame())
        send(segment.frame(), TX, sent.frame())
    after = [("counters", u32(number), u64(*value)) for number, value in counted.items()]
    after += [("reasons", u32(number), u64(value)) for number, value in enumerate(reasons)]
    after += [("connections", key, u32(backend)) for key, backend in connections.items()]
    return before, frames, results, after


def icmp(kind, payload):
    message = struct.pack(">BBHHH", kind, 0, 0, 3, 4) + payload
    return message[:2] + struct.pack(">H", ones_complement(message)) + message[4:]


PORT_CLASSES = [{53}, {80, 443, 8080}, {22}, {25, 465, 587}, {123}, {3306, 5432, 6379, 27017}]


def port_class(port):
    for number, ports in enumerate(PORT_CLASSES):
        if port in ports:
            return number
    return 6 if port < 1024 else 7 if 6000 <= port <= 6063 else 9 if port >= 32768 else 8


def lpm_firewall():
    draw = Draw("lpm_firewall")
    zones4 = {"10.0.0.0/8": 1, "10.1.0.0/16": 2, "10.1.9.0/24": 3, "192.0.2.0/24": 4, "198.51.0.0/16": 5, "203.0.113.8/32": 6}
    zones6 = {("20010db8", 32): 1, ("20010db80001", 48): 2, ("20010db8000200ff", 64): 4}
    # From, to, protocol (0 is any): classes of ports, number, action.
    rules = {
        (1, 4, 6): ({1, 2, 3}, 0, PASS), (1, 4, 17): ({0, 4}, 1, PASS), (2, 4, 0): (set(range(10)), 2, PASS),
        (3, 4, 0): (set(range(10)), 3, DROP), (5, 4, 6): ({1}, 4, PASS), (5, 1, 6): ({2}, 5, DROP),
        (1, 5, 0): ({0, 1, 8, 9}, 6, PASS), (6, 1, 6): ({5}, 7, PASS), (4, 2, 6): ({9, 8}, 8, PASS),
    }
    before = []
    for network, zone in zones4.items():
        where, bits = network.split("/")
        before.append(("networks4", u32(int(bits)) + address(where), u32(zone)))
    for (where, bits), zone in zones6.items():
        before.append(("networks6", u32(bits) + bytes.fromhex(where.ljust(32, "0")), u32(zone)))
    for key, (classes, number, action) in rules.items():
        before.append(("rules", bytes([*key, 0]), u32(sum(1 << c for c in classes), number, action)))
    hosts4 = [("10.9.8.7", 1), ("10.1.2.3", 2), ("10.1.9.4", 3), ("192.0.2.80", 4), ("198.51.100.9", 5), ("203.0.113.8", 6)]
    hosts6 = [("20010db8ffff" + "0" * 19 + "1", 1), ("20010db80001" + "0" * 19 + "2", 2), ("20010db8000200ff" + "1" * 16, 4)]
    ports = [22, 25, 53, 80, 443, 123, 5432, 6001, 8080, 8888, 40000, 700]
    frames, results, counted, refused = [], [], {}, [0] * 5

    def send(frame, result, reason=None):
        frames.append(frame)
        results.append((result, None))
        if reason is not None:
            refused[reason] += 1

    def by_rules(frame, from_zone, to_zone, protocol, port):
        rule = rules.get((from_zone, to_zone, protocol)) or rules.get((from_zone, to_zone, 0))
        if not rule or port_class(port) not in rule[0]:
            return send(frame, DROP)
        packets, size = counted.get(rule[1], (0, 0))
        counted[rule[1]] = packets + 1, size + len(frame)
        send(frame, rule[2])

    for _ in range(COUNT):
        kind, port, protocol = draw.below(24), draw.one(ports), draw.one([6, 17])
        (source, from_zone), (target, to_zone) = draw.one(hosts4), draw.one(hosts4)
        segment = Segment(protocol, address(source), address(target), (draw.below(65536), port), draw.data(draw.below(99)))
        if kind == 0:
            send(arp(), PASS)
        elif kind == 1:
            send(fragment(), DROP, 0)
        elif kind == 2:
            bogon = draw.one(["0.1.2.3", "127.0.0.1", "169.254.9.9", "224.0.0.1", "255.255.255.255"])
            send(segment.but(source=address(bogon)).frame(), DROP, 1)
        elif kind == 3:
            send(segment.but(destination=segment.source).frame(), DROP, 2)
        elif kind == 4:
            send(segment.but(destination=address("8.8.4.4")).frame(), DROP, 3)
        elif kind == 5:
            scan = segment.but(protocol=6, flags=draw.one([0, 0x3F, SYN | FIN, SYN | RST]))
            same = source == target
            send(scan.frame(), DROP, 2 if same else 4)
        elif kind == 6:
            send(segment.but(protocol=6).frame()[:40], DROP, 0)
        elif kind < 12:
            (source, from_zone), (target, to_zone) = draw.one(hosts6), draw.one(hosts6)
            body = segment.transport()
            packet = struct.pack(">IHBB", 6 << 28, len(body), protocol, 64) + bytes.fromhex(source + target) + body
            by_rules(ethernet(packet, 0x86DD), from_zone, to_zone, protocol, port)
        elif source == target:
            send(segment.frame(), DROP, 2)
        elif kind == 12:
            # Protocols without ports have port 0.
            frame = ethernet(ipv4(icmp(8, draw.data(20)), 1, address(source), address(target)))
            by_rules(frame, from_zone, to_zone, 1, 0)
        else:
            by_rules(segment.frame(), from_zone, to_zone, protocol, port)
    after = [("counters", u32(number), u64(*value)) for number, value in counted.items()]
    return before, frames, results, after + [(".bss", u32(0), u64(*refused))]


def nat_gateway():
    draw = Draw("nat_gateway")
    outside = address("203.0.113.77")
    flows = []
    for _ in range(20):
        inside, far = bytes([10]) + draw.data(3), bytes([100 + draw.below(50)]) + draw.data(3)
        flows.append((draw.one([6, 17]), inside, far, (draw.below(65536), draw.one([53, 80, 443]))))
    used, outgoing, incoming, frames, results = set(), {}, {}, [], []

    def take(value):
        """The lowest free port of the first of four groups of 64 that is not full."""
        for attempt in range(4):
            group = (value + attempt & M32) % 64
            free = set(range(group * 64, group * 64 + 64)) - used
            if free:
                used.add(min(free))
                return min(free)
        raise AssertionError("there are more ports than flows")

    def send(frame, result, sent=None):
        frames.append(frame)
        results.append((result, sent))

    def no_zero(segment):
        return segment.transport()[6:8] != b"\0\0" if segment.protocol == 17 and not segment.no_checksum else True

    for _ in range(COUNT):
        kind = draw.below(24)
        if kind == 0:
            send(arp(), OK)
            continue
        if kind == 1:
            send(fragment(), SHOT)
            continue
        if kind == 2:
            send(Segment(6, CAROL, outside, (80, 31), flags=SYN).frame(), SHOT)
            continue
        if kind == 3:
            send(Segment(17, ALICE, address("10.200.1.1"), (80, 31)).frame(), OK)
            continue
        if kind == 4:
            send(ethernet(ipv4(icmp(8, draw.data(20)), 1)), OK)
            continue
        protocol, inside, far, ports = draw.one(flows)
        out = Segment(protocol, inside, far, ports, draw.data(draw.below(100)))
        out.no_checksum = protocol == 17 and draw.below(5) == 0
        key = out.flow()
        if key in outgoing and draw.below(2):
            # What comes back goes to the outside address and port.
            number = outgoing[key][0]
            port = 32768 + number
            back = out.but(source=far, destination=outside, ports=(ports[1], port))
            sent = back.but(destination=inside, ports=(ports[1], ports[0]))
            assert no_zero(back) and no_zero(sent)
            incoming[port, protocol][1] += 1
            send(back.frame(), OK, sent.frame())
            continue
        if key not in outgoing:
            outgoing[key] = [take(out.jhash(0)), 0]
            incoming[32768 + outgoing[key][0], protocol] = [(inside, ports[0]), 0]
        outgoing[key][1] += 1
        sent = out.but(source=outside, ports=(32768 + outgoing[key][0], ports[1]))
        assert no_zero(out) and no_zero(sent)
        send(out.frame(), OK, sent.frame())
    port = lambda number: struct.pack(">H", number)
    after = [
        ("outgoing", key, outside + port(32768 + number) + u16(number) + u64(packets))
        for key, (number, packets) in outgoing.items()
    ]
    after += [
        ("incoming", port(own) + u16(protocol), where + port(inner) + u16(own - 32768) + u64(packets))
        for (own, protocol), ((where, inner), packets) in incoming.items()
    ]
    bitmap = sum(1 << number for number in used).to_bytes(512, "little")
    return [], frames, results, after + [(".bss", u32(0), bitmap + u32(0, 0))]


def rate_limiter():
    draw = Draw("rate_limiter")
    limits = {"10.0.0.0/8": (8_000_000, 3000), "10.5.0.0/16": (0, 0), "10.7.7.0/24": (500_000, 400)}
    before = []
    for network, limit in limits.items():
        where, bits = network.split("/")
        before.append(("limits", u32(int(bits)) + address(where), u64(*limit)))
    sources = ["10.7.7.1", "10.7.7.2", "10.7.9.1", "10.5.1.1", "198.51.100.1", "198.51.100.2", "198.51.100.3", "203.0.113.1"]
    outcomes = dict.fromkeys(["passed", "dropped", "shut", "new"], 0)
    # The clock of tests starts at a second; a microsecond passes between readings.
    clock, buckets, frames, results = 10**9, {}, [], []

    def limit_of(source):
        named = [(int(n.split("/")[1]), limit) for n, limit in limits.items()
                 if source.split(".")[:int(n.split("/")[1]) // 8] == n.split(".")[:int(n.split("/")[1]) // 8]]
        return max(named)[1] if named else (4_000_000, 1500)

    def bucket(key, now, burst):
        if key not in buckets:
            outcomes["new"] += 1
            buckets[key] = {"at": now, "tokens": burst, "shut": 0, "strikes": 0, "dropped": 0}
        return buckets[key]

    def refill(of, now, rate, burst):
        earned = min(now - of["at"], 10**9) * rate // 10**9
        if earned:
            of["tokens"], of["at"] = min(of["tokens"] + earned, burst), now

    def judge(source, size):
        nonlocal clock
        rate, burst = limit_of(source)
        if not rate:
            return PASS
        now, clock = clock, clock + 1000
        own = bucket(source, now, burst)
        shared = bucket(source.rsplit(".", 1)[0], now, 6000)
        if now < own["shut"]:
            outcomes["shut"] += 1
            return DROP
        refill(own, now, rate, burst)
        refill(shared, now, 20_000_000, 6000)
        if min(own["tokens"], shared["tokens"]) < size:
            own["dropped"] += 1
            own["strikes"] += 1
            if own["strikes"] >= 8:
                own["strikes"], own["shut"] = 0, now + 40000
            outcomes["dropped"] += 1
            return DROP
        own["tokens"] -= size
        shared["tokens"] -= size
        own["strikes"] = max(own["strikes"] - 1, 0)
        outcomes["passed"] += 1
        return PASS

    for _ in range(COUNT):
        kind = draw.below(30)
        if kind == 0:
            frames.append(arp())
            results.append((PASS, None))
            continue
        if kind == 1:
            frames.append(fragment())
            results.append((PASS, None))
            continue
        source = draw.one(sources)
        payload = draw.data(draw.one([20, 60, 200, 300]))
        frame = Segment(17, address(source), BOB, (draw.below(65536), 53), payload).frame()
        frames.append(frame)
        results.append((judge(source, len(frame)), None))
    after = [(".bss", u32(0), u64(*outcomes.values()))]
    for key, of in buckets.items():
        value = u64(of["at"], of["tokens"], of["shut"]) + u32(of["strikes"], of["dropped"])
        full = key.count(".") == 3
        after.append(("buckets" if full else "networks", address(key if full else key + ".0"), value))
    return before, frames, results, after


def dns_guard():
    draw = Draw("dns_guard")
    refused, dropped, allowed = [b"ads.example", b"tracker.test"], [b"malware.invalid"], [b"good.ads.example"]
    dotted = lambda name: fnv1a_64(b"." + name)
    before = [("names", u64(dotted(name)), u32(1)) for name in refused]
    before += [("names", u64(dotted(name)), u32(2)) for name in dropped]
    before += [("names", u64(dotted(name)), u32(3)) for name in allowed]
    types = {1: 0, 28: 1, 5: 2, 15: 3, 16: 4, 2: 5, 33: 6}
    outcomes = dict.fromkeys(["allowed", "malformed", "blocked", "any", "other"], 0)
    seen, lengths, frames, results = [0] * 8, {}, [], []
    prefixes = [b"", b"www.", b"Cdn-7.", b"a.b.c.", b"x."]
    domains = refused + dropped + allowed + [b"example.net", b"KERNEL.example", b"long-label-of-a-name.test", b"Ads.Example"]

    def query(name, kind, flags=0x0120, count=1, ports=None, class_=1):
        message = struct.pack(">HHHHHH", draw.below(65536), flags, count, 0, 0, 1) + dns_name(name)
        message += struct.pack(">HH", kind, class_) + b"\0\0\x29\x10\0\0\0\0\0\0\0"
        return Segment(17, draw.data(4), BOB, ports or (1024 + draw.below(60000), 53), message)

    def send(segment, outcome, result, flags=None):
        outcomes[outcome] += 1
        frames.append(segment.frame())
        if flags is None:
            return results.append((result, None))
        payload = segment.payload[:2] + struct.pack(">H", flags) + segment.payload[4:]
        sent = segment.but(
            source=segment.destination, destination=segment.source, ports=segment.ports[::-1], payload=payload,
            to=segment.sender, sender=segment.to)
        assert sent.no_checksum or sent.transport()[6:8] != b"\0\0"
        results.append((result, sent.frame()))

    for _ in range(COUNT):
        choice = draw.below(30)
        name = draw.one(prefixes) + draw.one(domains)
        if choice == 0:
            send(query(name, 1, ports=(53, 1053)), "other", PASS)
            continue
        if choice == 1:
            send(query(name, 1, flags=0x8180), "malformed", DROP)
            continue
        if choice == 2:
            send(query(name, 1, count=2), "malformed", DROP)
            continue
        if choice == 3:
            send(query(b"x." * 6 + b"y", 1), "malformed", DROP)
            continue
        if choice == 4:
            send(query(name, 1, class_=3), "malformed", DROP)
            continue
        if choice == 5:
            cut = query(name, 1)
            cut.payload = cut.payload[:20]
            send(cut, "malformed", DROP)
            continue
        kind = draw.one([1, 1, 1, 28, 28, 16, 15, 2, 33, 65, 255])
        segment = query(name, kind)
        segment.no_checksum = draw.below(6) == 0
        seen[types.get(kind, 7)] += 1
        length = (len(name) + 1) // 8
        lengths[length] = lengths.get(length, 0) + 1
        endings = [name.lower().split(b".", skip)[-1] for skip in range(name.count(b".") + 1)]
        listed = next((ending for ending in endings if ending in refused + dropped + allowed), None)
        if kind == 255:
            send(segment, "any", TX, 0x8200 | 0x0100)
        elif listed in refused:
            send(segment, "blocked", TX, 0x8005 | 0x0100)
        elif listed in dropped:
            send(segment, "blocked", DROP)
        else:
            send(segment, "allowed", PASS)
    after = [("lengths", u32(length), u64(count)) for length, count in lengths.items()]
    return before, frames, results, after + [(".bss", u32(0), u64(*outcomes.values()) + u32(*seen))]


def vxlan_gateway():
    draw = Draw("vxlan_gateway")
    peers = [address(f"172.16.0.{n}") for n in (1, 2, 3)]
    policies = {0x1001: 1, 0x1002: 3, 0x1003: 7, 0x1004: 1 | 2 | 8}
    before = [("peers", peer, u64(0, 0)) for peer in peers]
    before += [("networks", u32(number), u32(number, policy) + u64(0, 0)) for number, policy in policies.items()]
    macs = [bytes([2, 0, 0, 0, 9, n]) for n in range(10)]
    stations, refused, frames, results = {}, [0] * 6, [], []
    of_peers, of_networks = {peer: [0, 0] for peer in peers}, {number: [0, 0] for number in policies}

    def send(frame, result, sent=None, reason=None):
        frames.append(frame)
        results.append((result, sent))
        if reason is not None:
            refused[reason] += 1

    for _ in range(COUNT):
        kind, peer, number = draw.below(30), draw.one(peers), draw.one(list(policies))
        to, source = draw.one(macs + [bytes.fromhex("ffffffffffff")]), draw.one(macs)
        inner = Segment(17, ALICE, BOB, (5, 6), draw.data(draw.below(150)), to=to, sender=source).frame()
        six = draw.below(10) == 0
        if six:
            inner = inner[:12] + b"\x86\xdd" + inner[14:]
        tunnel = lambda flags=8, vni=number: Segment(
            17, peer, BOB, (49152 + draw.below(16384), 4789), bytes([flags, 0, 0, 0]) + struct.pack(">I", vni << 8) + inner)
        if kind == 0:
            send(arp() + bytes(60), PASS, reason=0)
        elif kind == 1:
            send(udp_frame((1, 2), bytes(80)), PASS, reason=0)
        elif kind == 2:
            send(tunnel().but(source=CAROL).frame(), DROP, reason=1)
        elif kind == 3:
            frame = bytearray(tunnel().frame())
            frame[24] ^= 1
            of_peers[peer][1] += 1
            send(bytes(frame), DROP, reason=2)
        elif kind == 4:
            of_peers[peer][1] += 1
            send(tunnel(flags=0).frame(), DROP, reason=2)
        elif kind == 5:
            send(tunnel(vni=0x2000).frame(), DROP, reason=3)
        else:
            policy = policies[number]
            of_peers[peer][0] += 1
            known = stations.get((source, number))
            if known is None:
                stations[source, number] = [peer, 0, 1]
            else:
                known[2] += 1
                known[1] += known[0] != peer
                known[0] = peer
            if policy & 8 and six:
                reason = 4
            elif to[0] & 1:
                reason = 4 if policy & 4 else None
            elif policy & 2 or (to, number) in stations:
                reason = None
            else:
                reason = 5
            if reason is not None:
                send(tunnel().frame(), DROP, reason=reason)
                continue
            of_networks[number][0] += 1
            of_networks[number][1] += len(inner)
            send(tunnel().frame(), PASS, inner)
    after = [("peers", peer, u64(*value)) for peer, value in of_peers.items()]
    after += [("networks", u32(n), u32(n, policies[n]) + u64(*value)) for n, value in of_networks.items()]
    after += [
        ("stations", mac + u16(number), peer + u32(moves) + u64(packets))
        for (mac, number), (peer, moves, packets) in stations.items()
    ]
    return before, frames, results, after + [(".bss", u32(0), u64(*refused))]


def flow_sampler():
    draw = Draw("flow_sampler")
    flows = [(draw.one([6, 6, 17]), draw.data(4), draw.data(4), (draw.below(65536), draw.below(65536))) for _ in range(14)]
    meters, frames, histogram, skipped = {}, [], [0] * 16, 0
    for _ in range(COUNT):
        kind = draw.below(24)
        if kind == 0:
            frame, key, flags = arp(), None, 0
        elif kind == 1:
            frame, key, flags = fragment(), None, 0
        elif kind == 2:
            frame, flags = ethernet(ipv4(icmp(3, draw.data(40)), 1)), 0
            key = ALICE + BOB + u16(0, 3 << 8) + u32(1)
        else:
            # Few flows have most of the packets.
            protocol, source, target, ports = flows[min(draw.below(14), draw.below(14), draw.below(14))]
            flags = draw.one([ACK, ACK, ACK | 8, SYN, FIN | ACK]) if protocol == 6 else 0
            payload = draw.data(draw.one([0, 10, 40, 300, 900, 1400]))
            segment = Segment(protocol, source, target, ports, payload, flags)
            frame, key = segment.frame(), segment.flow()
        frames.append(frame)
        histogram[len(frame).bit_length() - 1] += 1
        if key is None:
            skipped += 1
            continue
        meter = meters.setdefault(key, {"sizes": [], "flags": 0, "sampled": 0})
        meter["sizes"].append(len(frame))
        meter["flags"] |= flags
        packets = len(meter["sizes"])
        mask = 63 if packets > 16 else 15
        if packets == 1 or jhash4(words(key, 4, 4), packets) & mask == 0:
            if len(frame) >= 64:
                meter["sampled"] += 1
            else:
                skipped += 1
    after = []
    for key, meter in meters.items():
        sizes = meter["sizes"]
        classes = [min(sum(min(size >> 8, 7) == c for size in sizes), 15) for c in range(8)]
        value = u64(len(sizes), sum(sizes)) + u32(meter["sampled"]) + u16(min(sizes), max(sizes))
        value += bytes([meter["flags"], 0, 64, 0]) + u32(sum(count << 4 * c for c, count in enumerate(classes)))
        after.append(("flows", key, value))
    after.append((".bss", u32(0), u64(COUNT, skipped) + u32(*histogram)))
    return [], frames, [(OK, None)] * COUNT, after


def syn_cookies():
    draw = Draw("syn_cookies")
    minute, key = 1000, (0x0706050403020100, 0x0F0E0D0C0B0A0908)
    sizes = [216, 536, 1220, 1400, 1440, 1460, 4312, 8960]
    outcomes = dict.fromkeys(["sent", "valid", "wrong", "old", "known", "other"], 0)
    clients, frames, results, waiting = {}, [], [], []

    def cookie_hash(segment, at):
        source, target = little(segment.source), little(segment.destination)
        ports = little(struct.pack(">HH", *segment.ports))
        return siphash_c_d([target << 32 | source, at << 32 | ports], *key, 2, 4) & 0xFFFFFF

    def cookie(segment, index, at=minute):
        return (at % 32 << 27 | index << 24 | cookie_hash(segment, at)) + segment.sequence & M32

    def send(frame, result, outcome=None, sent=None):
        frames.append(frame)
        results.append((result, sent))
        if outcome:
            outcomes[outcome] += 1

    for _ in range(COUNT):
        choice = draw.below(20)
        segment = Segment(6, draw.data(4), BOB, (draw.below(65536), 443), sequence=draw.below(M32), window=draw.below(65536))
        if choice == 0:
            send(segment.but(ports=(5, 80)).frame(), PASS, "other")
        elif choice == 1:
            send(udp_frame((5, 443)), PASS, "other")
        elif choice == 2:
            send(segment.but(flags=RST).frame(), DROP)
        elif choice == 3:
            send(segment.but(ack=cookie(segment, 3, minute - 2) + 1 & M32, sequence=segment.sequence + 1 & M32).frame(), DROP, "old")
        elif choice == 4:
            ack = (cookie(segment, 3) ^ 0x10) + 1 & M32
            value = (ack - 1 - segment.sequence) & M32
            age = minute - (value >> 27) & 31
            outcome = "old" if age > 1 else "wrong"
            send(segment.but(ack=ack, sequence=segment.sequence + 1 & M32).frame(), DROP, outcome)
        elif choice <= 10 and waiting:
            first, index = waiting.pop(0)
            at = minute - draw.below(2)
            ack = cookie(first, index, at) + 1 & M32
            back = first.but(flags=ACK, ack=ack, sequence=first.sequence + 1 & M32, options=b"")
            clients[back.flow()] = [1, sizes[index], minute, back]
            send(back.frame(), PASS, "valid")
        elif choice <= 13 and clients:
            flow = draw.one(sorted(clients))
            known, ends = clients[flow], draw.below(6) == 0
            known[0] += 1
            frame = known[3].but(flags=FIN | ACK if ends else ACK, payload=draw.data(draw.below(90))).frame()
            if ends:
                del clients[flow]
            send(frame, PASS, "known")
        else:
            size = draw.one([None, 100, 536, 1300, 1400, 1452, 1460, 8960, 9000])
            option = b"" if size is None else b"\2\4" + struct.pack(">H", size)
            padding = draw.one([b"", b"\4\2\1\1", b"\1\3\3\7", b"\4\2\10\12" + bytes(8)])
            options = draw.one([option + padding, padding + option])
            first = segment.but(flags=SYN, options=options)
            index = max(i for i, least in enumerate(sizes) if least <= (size or 536) or i == 0)
            sequence = cookie(first, index)
            sent = first.but(
                source=BOB, destination=first.source, ports=first.ports[::-1], sequence=sequence,
                ack=first.sequence + 1 & M32, flags=SYN | ACK, window=0x7FFF, to=first.sender, sender=first.to)
            waiting.append((first, index))
            send(first.frame(), TX, "sent", sent.frame())
    after = [("clients", flow, u64(packets) + u32(size, at)) for flow, (packets, size, at, _) in clients.items()]
    return [], frames, results, after + [(".bss", u32(0), u64(*outcomes.values()))]


MODELS = {
    "l4_balancer": l4_balancer,
    "lpm_firewall": lpm_firewall,
    "nat_gateway": nat_gateway,
    "rate_limiter": rate_limiter,
    "dns_guard": dns_guard,
    "vxlan_gateway": vxlan_gateway,
    "flow_sampler": flow_sampler,
    "syn_cookies": syn_cookies,
}
