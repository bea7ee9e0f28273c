/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Takes VXLAN (RFC 7348) off packets for networks that are known: checks the outer headers, looks the network
 * identifier up, counts, and moves the packet's start to the inner frame.
 */
#include "net.h"

#define VXLAN_PORT 4789

struct vxlan {
	u32 flags;
	u32 network;
};

struct network {
	u64 packets;
	u32 enabled;
	u32 reserved;
};

MAP(networks, MAP_HASH, u32, struct network, 256, 0);

SECTION("xdp") int xdp_vxlan(struct xdp_md *ctx)
{
	struct ipv4 *ip = find_ipv4(ctx, sizeof(struct udp) + sizeof(struct vxlan) + sizeof(struct ethernet));
	struct network *network;
	struct vxlan *vxlan;
	struct udp *udp;
	u32 id;

	if (!ip || ip->protocol != PROTOCOL_UDP)
		return XDP_PASS;
	udp = (void *)(ip + 1);
	vxlan = (void *)(udp + 1);
	if (udp->destination != swap16(VXLAN_PORT))
		return XDP_PASS;
	if (!(vxlan->flags & swap32(0x08000000)))
		return XDP_DROP;
	id = swap32(vxlan->network) >> 8;
	network = map_lookup(&networks, &id);
	if (!network || !network->enabled)
		return XDP_DROP;
	__sync_fetch_and_add(&network->packets, 1);
	if (xdp_adjust_head(ctx, (u8 *)(vxlan + 1) - (u8 *)packet(ctx)))
		return XDP_ABORTED;
	return XDP_PASS;
}

LICENSE("GPL");
