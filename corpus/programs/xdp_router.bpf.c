/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A router's fast path: the longest prefix of the destination gives port and next hop, the time to live goes down
 * with an incremental checksum, the MAC addresses change, and the packet is redirected through a device map.
 */
#include "net.h"

struct prefix {
	u32 length;
	u32 address;
};

struct route {
	u32 port;
	u8 source[6];
	u8 destination[6];
};

MAP(routes, MAP_LPM_TRIE, struct prefix, struct route, 256, MAP_NO_PREALLOC);
MAP(ports, MAP_DEVMAP, u32, u32, 8, 0);

SECTION("xdp") int xdp_router(struct xdp_md *ctx)
{
	struct ethernet *ethernet = packet(ctx);
	struct ipv4 *ip = find_ipv4(ctx, 0);
	struct prefix key = { .length = 32 };
	struct route *route;
	u16 *word, old;

	if (!ip || ip->ttl <= 1)
		return XDP_PASS;
	key.address = ip->destination;
	route = map_lookup(&routes, &key);
	if (!route)
		return XDP_PASS;
	word = (u16 *)&ip->ttl;
	old = *word;
	ip->ttl--;
	ip->checksum = checksum_replace16(ip->checksum, old, *word);
	copy_mac(ethernet->source, route->source);
	copy_mac(ethernet->destination, route->destination);
	return redirect_map(&ports, route->port, XDP_PASS);
}

LICENSE("GPL");
