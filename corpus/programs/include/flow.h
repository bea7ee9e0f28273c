/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding the transport header of a frame, the five-tuple that names a flow, and its hash. */
#ifndef FLOW_H
#define FLOW_H

#include "net.h"

struct flow {
	u32 source;
	u32 destination;
	u16 source_port;
	u16 destination_port;
	u32 protocol;
};

enum { NO_IPV4, FRAGMENT, BROKEN, FOUND };

struct headers {
	struct ethernet *ethernet;
	struct ipv4 *ip;
	/* Behind the IPv4 header, options or not; at least eight bytes are there. */
	void *transport;
};

/* Finds the headers of an IPv4 packet behind up to two VLAN tags. */
INLINE int find_headers(void *start, void *end, struct headers *found)
{
	struct ethernet *ethernet = start;
	void *at = ethernet + 1;
	struct ipv4 *ip;
	u16 type;
	u32 length;

	if (at > end)
		return BROKEN;
	type = ethernet->type;
	UNROLLED
	for (int tag = 0; tag < 2; tag++) {
		struct vlan *vlan = at;

		if (type != swap16(ETHERTYPE_VLAN) && type != swap16(ETHERTYPE_QINQ))
			continue;
		if ((void *)(vlan + 1) > end)
			return BROKEN;
		type = vlan->type;
		at = vlan + 1;
	}
	if (type != swap16(ETHERTYPE_IPV4))
		return NO_IPV4;
	ip = at;
	if ((void *)(ip + 1) > end)
		return BROKEN;
	length = (ip->version_length & 15) * 4;
	if (ip->version_length >> 4 != 4 || length < sizeof(*ip))
		return BROKEN;
	/* More fragments, or an offset. */
	if (ip->fragment & swap16(0x3fff))
		return FRAGMENT;
	found->ethernet = ethernet;
	found->ip = ip;
	found->transport = (void *)ip + length;
	return found->transport + 8 > end ? BROKEN : FOUND;
}

INLINE u32 rotate_left(u32 x, u32 by)
{
	return x << by | x >> (32 - by);
}

/* Jenkins' lookup3 of four words, as the kernel's jhash2. */
INLINE u32 jhash_flow(const struct flow *flow, u32 seed)
{
	u32 ports = flow->source_port | (u32)flow->destination_port << 16;
	u32 a, b, c;

	a = b = c = 0xdeadbeef + (4 << 2) + seed;
	a += flow->source;
	b += flow->destination;
	c += ports;
	a -= c;
	a ^= rotate_left(c, 4);
	c += b;
	b -= a;
	b ^= rotate_left(a, 6);
	a += c;
	c -= b;
	c ^= rotate_left(b, 8);
	b += a;
	a -= c;
	a ^= rotate_left(c, 16);
	c += b;
	b -= a;
	b ^= rotate_left(a, 19);
	a += c;
	c -= b;
	c ^= rotate_left(b, 4);
	b += a;
	a += flow->protocol;
	c ^= b;
	c -= rotate_left(b, 14);
	a ^= c;
	a -= rotate_left(c, 11);
	b ^= a;
	b -= rotate_left(a, 25);
	c ^= b;
	c -= rotate_left(b, 16);
	a ^= c;
	a -= rotate_left(c, 4);
	b ^= a;
	b -= rotate_left(a, 14);
	c ^= b;
	c -= rotate_left(b, 24);
	return c;
}

#endif
