/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Three programs in one file: the first classifies by protocol and tail-calls the one for it through a program
 * array; where there is none, it goes on and passes the packet.
 */
#include "net.h"

MAP(handlers, MAP_PROGRAM_ARRAY, u32, u32, 4, 0);
MAP(handled, MAP_ARRAY, u32, u64, 4, 0);

INLINE void count(u32 which)
{
	u64 *number = map_lookup(&handled, &which);

	if (number)
		__sync_fetch_and_add(number, 1);
}

SECTION("xdp/dispatch") int xdp_dispatch(struct xdp_md *ctx)
{
	struct ipv4 *ip = find_ipv4(ctx, 0);
	u32 protocol = ip ? ip->protocol : 0;

	count(0);
	if (protocol == PROTOCOL_UDP)
		tail_call(ctx, &handlers, 1);
	else if (protocol == PROTOCOL_ICMP)
		tail_call(ctx, &handlers, 2);
	else
		tail_call(ctx, &handlers, 3);
	return XDP_PASS;
}

/* Drops UDP of amplification attacks: sources that nobody asks. */
SECTION("xdp/udp") int xdp_udp(struct xdp_md *ctx)
{
	struct ipv4 *ip = find_ipv4(ctx, sizeof(struct udp));
	u16 port;

	count(1);
	if (!ip)
		return XDP_ABORTED;
	port = swap16(((struct udp *)(ip + 1))->source);
	switch (port) {
	case 17:
	case 19:
	case 123:
	case 389:
	case 1900:
	case 11211:
		return XDP_DROP;
	}
	return XDP_PASS;
}

SECTION("xdp/icmp") int xdp_icmp(struct xdp_md *ctx)
{
	struct ipv4 *ip = find_ipv4(ctx, sizeof(struct icmp));

	count(2);
	if (!ip)
		return XDP_ABORTED;
	return ((struct icmp *)(ip + 1))->type == 5 ? XDP_DROP : XDP_PASS;
}

LICENSE("GPL");
