/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A firewall between zones: source and destination networks by longest prefix (IPv4 and IPv6), rules by zones and protocol with a
 * bitmap of what the destination port's class may be, bogons and land attacks dropped before, counters for each rule.
 */
#include "flow.h"

#define ZONES 8
#define RULES 256

struct key4 {
	u32 bits;
	u32 address;
};

struct key6 {
	u32 bits;
	u32 address[4];
};

struct rule_key {
	u8 from;
	u8 to;
	u8 protocol;
	u8 unused;
};

struct rule {
	/* A bit for each class of ports. */
	u32 classes;
	u32 number;
	u32 action;
};

struct counter {
	u64 packets;
	u64 bytes;
};

/* What the loader sets: what is done where no rule is. */
volatile const u32 default_action = XDP_DROP;

enum { SHORT, BOGON, LAND, UNKNOWN_ZONE, BAD_FLAGS, REASONS };

volatile u64 refused[REASONS];

MAP(networks4, MAP_LPM_TRIE, struct key4, u32, 256, MAP_NO_PREALLOC);
MAP(networks6, MAP_LPM_TRIE, struct key6, u32, 256, MAP_NO_PREALLOC);
MAP(rules, MAP_HASH, struct rule_key, struct rule, RULES, 0);
MAP(counters, MAP_PERCPU_ARRAY, u32, struct counter, RULES, 0);

INLINE int refuse(u32 reason)
{
	refused[reason]++;
	return XDP_DROP;
}

/* The class of a port in host order: what kinds of services are told apart. */
INLINE u32 class_of(u32 port)
{
	switch (port) {
	case 53:
		return 0;
	case 80:
	case 443:
	case 8080:
		return 1;
	case 22:
		return 2;
	case 25:
	case 465:
	case 587:
		return 3;
	case 123:
		return 4;
	case 3306:
	case 5432:
	case 6379:
	case 27017:
		return 5;
	}
	if (port < 1024)
		return 6;
	if (port >= 6000 && port < 6064)
		return 7;
	if (port >= 32768)
		return 9;
	return 8;
}

INLINE int is_bogon(u32 address)
{
	u32 host = swap32(address);

	/* This network, loopback, link-local, multicast and beyond. */
	return host >> 24 == 0 || host >> 24 == 127 || host >> 16 == 0xa9fe || host >> 28 >= 14;
}

/* No flags, all flags, SYN with FIN or RST: scanners send these. */
INLINE int is_scan(u32 flags)
{
	flags &= 0x3f;
	if (!flags || flags == 0x3f)
		return 1;
	return (flags & TCP_SYN) && (flags & (TCP_FIN | TCP_RST));
}

INLINE int decide(u32 from, u32 to, u32 protocol, u32 port, u64 bytes)
{
	struct rule_key key = { from, to, protocol, 0 };
	struct rule *rule = map_lookup(&rules, &key);
	struct counter *counter;
	u32 number;

	if (!rule) {
		/* Any protocol. */
		key.protocol = 0;
		rule = map_lookup(&rules, &key);
		if (!rule)
			return default_action;
	}
	if (!(rule->classes >> class_of(port) & 1))
		return default_action;
	number = rule->number;
	counter = map_lookup(&counters, &number);
	if (counter) {
		counter->packets++;
		counter->bytes += bytes;
	}
	return rule->action;
}

/* The destination port in host order; a port of 0 for protocols without. */
INLINE int port_of(void *transport, void *end, u32 protocol, u32 *port)
{
	*port = 0;
	if (protocol == PROTOCOL_TCP) {
		struct tcp *tcp = transport;

		if ((void *)(tcp + 1) > end)
			return SHORT;
		if (is_scan(tcp->flags))
			return BAD_FLAGS;
		*port = swap16(tcp->destination);
	} else if (protocol == PROTOCOL_UDP) {
		struct udp *udp = transport;

		if ((void *)(udp + 1) > end)
			return SHORT;
		*port = swap16(udp->destination);
	}
	return -1;
}

INLINE int filter6(void *start, void *end)
{
	struct ethernet *ethernet = start;
	struct ipv6 *ip = (void *)(ethernet + 1);
	struct key6 key = { .bits = 128 };
	u32 *from, *to, port;
	int wrong;

	if ((void *)(ip + 1) > end)
		return refuse(SHORT);
	UNROLLED
	for (int word = 0; word < 4; word++)
		key.address[word] = ip->source[word];
	from = map_lookup(&networks6, &key);
	UNROLLED
	for (int word = 0; word < 4; word++)
		key.address[word] = ip->destination[word];
	to = map_lookup(&networks6, &key);
	if (!from || !to)
		return refuse(UNKNOWN_ZONE);
	wrong = port_of(ip + 1, end, ip->next, &port);
	if (wrong >= 0)
		return refuse(wrong);
	return decide(*from, *to, ip->next, port, end - start);
}

SECTION("xdp") int lpm_firewall(struct xdp_md *ctx)
{
	void *start = packet(ctx), *end = packet_end(ctx);
	struct headers headers = {};
	struct key4 key = { .bits = 32 };
	u32 *from, *to, port;
	int wrong;

	switch (find_headers(start, end, &headers)) {
	case NO_IPV4: {
		struct ethernet *ethernet = start;

		if ((void *)(ethernet + 1) > end)
			return refuse(SHORT);
		if (ethernet->type == swap16(ETHERTYPE_IPV6))
			return filter6(start, end);
		return XDP_PASS;
	}
	case FRAGMENT:
	case BROKEN:
		return refuse(SHORT);
	}
	if (is_bogon(headers.ip->source))
		return refuse(BOGON);
	if (headers.ip->source == headers.ip->destination)
		return refuse(LAND);
	key.address = headers.ip->source;
	from = map_lookup(&networks4, &key);
	key.address = headers.ip->destination;
	to = map_lookup(&networks4, &key);
	if (!from || !to)
		return refuse(UNKNOWN_ZONE);
	wrong = port_of(headers.transport, end, headers.ip->protocol, &port);
	if (wrong >= 0)
		return refuse(wrong);
	return decide(*from, *to, headers.ip->protocol, port, end - start);
}

LICENSE("GPL");
