/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers pings (RFC 792) where they arrive: swaps the addresses, turns the request into a reply with an
 * incremental checksum, and sends it back. No map and no helper function.
 */
#include "net.h"

SECTION("xdp") int xdp_echo(struct xdp_md *ctx)
{
	struct ethernet *ethernet = packet(ctx);
	struct ipv4 *ip = find_ipv4(ctx, sizeof(struct icmp));
	struct icmp *icmp;
	u8 mac[6];
	u32 address;

	if (!ip || ip->protocol != PROTOCOL_ICMP)
		return XDP_PASS;
	if (fold(sum_ipv4(ip)) != 0xffff)
		return XDP_DROP;
	icmp = (void *)(ip + 1);
	if (icmp->type != 8 || icmp->code)
		return XDP_PASS;
	icmp->type = 0;
	icmp->checksum = checksum_replace16(icmp->checksum, 8, 0);
	address = ip->source;
	ip->source = ip->destination;
	ip->destination = address;
	copy_mac(mac, ethernet->source);
	copy_mac(ethernet->source, ethernet->destination);
	copy_mac(ethernet->destination, mac);
	return XDP_TX;
}

LICENSE("GPL");
