/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walks IPv6 extension headers (RFC 8200) to the transport header and drops what a router should not see: routing
 * headers of type 0, more than six extensions, fragments that overlap headers. A bounded loop whose pointer moves
 * by data.
 */
#include "net.h"

enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, AUTHENTICATION = 51, NO_NEXT = 59, DESTINATION = 60 };

struct extension {
	u8 next;
	u8 length;
	u8 type;
	u8 left;
};

SECTION("xdp") int xdp_ipv6_walk(struct xdp_md *ctx)
{
	struct ethernet *ethernet = packet(ctx);
	struct ipv6 *ip = (void *)(ethernet + 1);
	void *end = packet_end(ctx);
	u8 *at = (void *)(ip + 1);
	u8 next;

	if ((void *)at > end)
		return XDP_DROP;
	if (ethernet->type != swap16(ETHERTYPE_IPV6))
		return XDP_PASS;
	next = ip->next;
	ROLLED
	for (int i = 0; i < 6; i++) {
		struct extension *extension = (void *)at;
		u32 length;

		if (next == PROTOCOL_TCP || next == PROTOCOL_UDP || next == PROTOCOL_ICMPV6 || next == NO_NEXT)
			return XDP_PASS;
		if ((void *)(extension + 1) > end)
			return XDP_DROP;
		switch (next) {
		case ROUTING:
			if (!extension->type)
				return XDP_DROP;
			length = (extension->length + 1) * 8;
			break;
		case HOP_BY_HOP:
			if (i)
				return XDP_DROP;
			length = (extension->length + 1) * 8;
			break;
		case DESTINATION:
			length = (extension->length + 1) * 8;
			break;
		case FRAGMENT:
			if (*(u16 *)&extension->type & swap16(0xfff8))
				return XDP_PASS;
			length = 8;
			break;
		case AUTHENTICATION:
			length = (extension->length + 2) * 4;
			break;
		default:
			return XDP_DROP;
		}
		next = extension->next;
		at += length;
	}
	return XDP_DROP;
}

LICENSE("GPL");
