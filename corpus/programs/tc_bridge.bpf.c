/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A learning bridge: remembers behind which interface a source MAC address is and redirects what goes to an
 * address that it knows; everything else is left to the kernel's flooding.
 */
#include "net.h"

struct station {
	u32 ifindex;
	u32 packets;
};

MAP(stations, MAP_HASH, u64, struct station, 1024, 0);

INLINE u64 mac(const u8 *address)
{
	const u16 *words = (const u16 *)address;

	return (u64)words[2] << 32 | (u32)words[1] << 16 | words[0];
}

SECTION("tc") int tc_bridge(struct __sk_buff *skb)
{
	struct ethernet *ethernet = packet(skb);
	struct station fresh = { .ifindex = skb->ifindex };
	struct station *station;
	u64 source, destination;

	if ((void *)(ethernet + 1) > packet_end(skb))
		return TC_ACT_SHOT;
	source = mac(ethernet->source);
	destination = mac(ethernet->destination);
	if (source & 1)
		return TC_ACT_SHOT;
	station = map_lookup(&stations, &source);
	if (!station) {
		map_update(&stations, &source, &fresh, MAP_ANY);
	} else {
		station->ifindex = skb->ifindex;
		station->packets++;
	}
	if (destination & 1)
		return TC_ACT_OK;
	station = map_lookup(&stations, &destination);
	if (!station)
		return TC_ACT_OK;
	if (station->ifindex == skb->ifindex)
		return TC_ACT_SHOT;
	return redirect(station->ifindex, 0);
}

LICENSE("GPL");
