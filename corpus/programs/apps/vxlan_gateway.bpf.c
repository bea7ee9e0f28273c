/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of VXLAN tunnels: outer headers are checked (peer, port, checksum of the header, network), the inner frame's source
 * address is learned with the peer behind it, the outer headers are taken off, and the inner frame is let through, dropped
 * or counted as unknown by its destination and its network's policy.
 */
#include "flow.h"

#define PORT 4789

struct vxlan {
	u8 flags;
	u8 reserved[3];
	/* 24 bits of network and 8 that are reserved. */
	u32 network;
};

struct network {
	u32 number;
	u32 policy;
	u64 packets;
	u64 bytes;
};

/* Bits of a network's policy. */
enum { LEARN = 1, FLOOD = 2, NO_MULTICAST = 4, IPV4_ALONE = 8 };

struct station_key {
	u8 mac[6];
	u16 network;
};

struct station {
	u32 peer;
	u32 moves;
	u64 packets;
};

struct peer {
	u64 packets;
	u64 wrong;
};

enum { NOT_OURS, UNKNOWN_PEER, BAD_HEADER, UNKNOWN_NETWORK, POLICY, UNKNOWN_STATION, REASONS };

volatile u64 refused[REASONS];

MAP(networks, MAP_HASH, u32, struct network, 256, 0);
MAP(peers, MAP_HASH, u32, struct peer, 256, 0);
MAP(stations, MAP_HASH, struct station_key, struct station, 2048, 0);

INLINE int refuse(u32 reason, int action)
{
	refused[reason]++;
	return action;
}

INLINE void fill_key(struct station_key *key, const u8 *mac, u32 network)
{
	copy_mac(key->mac, mac);
	key->network = network;
}

/* Remembers behind which peer a station is; one that comes from elsewhere has moved. */
INLINE void learn(const u8 *mac, u32 network, u32 peer)
{
	struct station fresh = { .peer = peer, .packets = 1 };
	struct station_key key;
	struct station *known;

	/* No station has a group address. */
	if (mac[0] & 1)
		return;
	fill_key(&key, mac, network);
	known = map_lookup(&stations, &key);
	if (!known) {
		map_update(&stations, &key, &fresh, MAP_NOEXIST);
		return;
	}
	known->packets++;
	if (known->peer != peer) {
		known->peer = peer;
		known->moves++;
	}
}

/* Whether the inner frame may go on, by its network's policy and what is known of its destination. */
INLINE int judge(struct ethernet *inner, struct network *network)
{
	struct station_key key;
	u32 policy = network->policy;

	if (policy & IPV4_ALONE && inner->type != swap16(ETHERTYPE_IPV4) && inner->type != swap16(0x0806))
		return POLICY;
	if (inner->destination[0] & 1)
		return policy & NO_MULTICAST ? POLICY : -1;
	if (policy & FLOOD)
		return -1;
	fill_key(&key, inner->destination, network->number);
	return map_lookup(&stations, &key) ? -1 : UNKNOWN_STATION;
}

SECTION("xdp") int vxlan_gateway(struct xdp_md *ctx)
{
	void *end = packet_end(ctx);
	struct ethernet *outer = packet(ctx), *inner;
	struct ipv4 *ip = (void *)(outer + 1);
	struct udp *udp = (void *)(ip + 1);
	struct vxlan *vxlan = (void *)(udp + 1);
	struct network *network;
	struct peer *peer;
	u32 address, number;
	int reason;

	inner = (void *)(vxlan + 1);
	if ((void *)(inner + 1) > end)
		return refuse(NOT_OURS, XDP_PASS);
	if (outer->type != swap16(ETHERTYPE_IPV4) || ip->version_length != 0x45 || ip->protocol != PROTOCOL_UDP)
		return refuse(NOT_OURS, XDP_PASS);
	if (udp->destination != swap16(PORT))
		return refuse(NOT_OURS, XDP_PASS);
	address = ip->source;
	peer = map_lookup(&peers, &address);
	if (!peer)
		return refuse(UNKNOWN_PEER, XDP_DROP);
	/* A header with its checksum sums up to all ones. */
	if (fold(sum_ipv4(ip)) != 0xffff || ip->fragment & swap16(0x3fff)) {
		peer->wrong++;
		return refuse(BAD_HEADER, XDP_DROP);
	}
	if (vxlan->flags != 8 || swap16(udp->length) + sizeof(*ip) != swap16(ip->length)) {
		peer->wrong++;
		return refuse(BAD_HEADER, XDP_DROP);
	}
	number = swap32(vxlan->network) >> 8;
	network = map_lookup(&networks, &number);
	if (!network)
		return refuse(UNKNOWN_NETWORK, XDP_DROP);
	peer->packets++;
	if (network->policy & LEARN)
		learn(inner->source, network->number, address);
	reason = judge(inner, network);
	if (reason >= 0)
		return refuse(reason, XDP_DROP);
	network->packets++;
	network->bytes += end - (void *)inner;
	if (xdp_adjust_head(ctx, (void *)inner - (void *)outer))
		return XDP_ABORTED;
	return XDP_PASS;
}

LICENSE("GPL");
