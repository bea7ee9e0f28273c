/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Network address and port translation on egress and ingress of a gateway (tc): a flow from inside gets a port of the outside
 * address from a bitmap, both directions are found in hash maps, addresses, ports and checksums are rewritten in the packet.
 */
#include "bits.h"
#include "flow.h"

#define PORT_WORDS 64
#define FIRST_PORT 32768

struct translation {
	u32 address;
	u16 port;
	u16 number;
	u64 packets;
};

/* What comes from outside: its destination is the outside address, and the protocol's ports are apart. */
struct outside_key {
	u16 port;
	u16 protocol;
};

/* What the loader sets. */
volatile const u32 outside_address = 0x4d7100cb;
volatile const u32 inside_network = 0x0000000a;
volatile const u32 inside_mask = 0x000000ff;

volatile struct {
	u64 used[PORT_WORDS];
	u32 exhausted;
} ports;

MAP(outgoing, MAP_HASH, struct flow, struct translation, 2048, 0);
MAP(incoming, MAP_HASH, struct outside_key, struct translation, 2048, 0);

/* A free number, starting from where the flow's hash says; -1 when four words are full. */
INLINE int take_number(u32 hash)
{
	UNROLLED
	for (u32 attempt = 0; attempt < 4; attempt++) {
		u32 word = (hash + attempt) % PORT_WORDS;
		u64 free = ~ports.used[word];

		if (free) {
			u32 bit = lowest_bit(free);

			ports.used[word] |= 1ull << (bit & 63);
			return word * 64 + bit;
		}
	}
	return -1;
}

/* Where ports and checksum of a transport header are. */
struct transport {
	u16 *source;
	u16 *destination;
	u16 *checksum;
};

INLINE int find_ports(struct headers *headers, void *end, struct transport *found)
{
	if (headers->ip->protocol == PROTOCOL_TCP) {
		struct tcp *tcp = headers->transport;

		if ((void *)(tcp + 1) > end)
			return 0;
		found->source = &tcp->source;
		found->destination = &tcp->destination;
		found->checksum = &tcp->checksum;
		return 1;
	}
	if (headers->ip->protocol == PROTOCOL_UDP) {
		struct udp *udp = headers->transport;

		if ((void *)(udp + 1) > end)
			return 0;
		found->source = &udp->source;
		found->destination = &udp->destination;
		found->checksum = &udp->checksum;
		return 1;
	}
	return 0;
}

INLINE void replace(struct ipv4 *ip, u32 *address, u16 *port, u16 *checksum, u32 to, u16 to_port)
{
	u32 from = *address;
	u16 from_port = *port;

	ip->checksum = checksum_replace32(ip->checksum, from, to);
	if (ip->protocol == PROTOCOL_TCP || *checksum) {
		u16 sum = checksum_replace16(checksum_replace32(*checksum, from, to), from_port, to_port);

		*checksum = !sum && ip->protocol == PROTOCOL_UDP ? 0xffff : sum;
	}
	*address = to;
	*port = to_port;
}

INLINE struct translation *make_translation(struct flow *flow)
{
	struct translation fresh = { .address = outside_address };
	struct outside_key back = { .protocol = flow->protocol };
	int number = take_number(jhash_flow(flow, 0));

	if (number < 0) {
		ports.exhausted++;
		return NULL;
	}
	fresh.number = number;
	fresh.port = swap16(FIRST_PORT + (number & 0xfff));
	map_update(&outgoing, flow, &fresh, MAP_ANY);
	back.port = fresh.port;
	fresh.address = flow->source;
	fresh.port = flow->source_port;
	map_update(&incoming, &back, &fresh, MAP_ANY);
	return map_lookup(&outgoing, flow);
}

SECTION("tc") int nat_gateway(struct __sk_buff *skb)
{
	void *end = packet_end(skb);
	struct headers headers = {};
	struct transport transport = {};
	struct translation *translation;
	struct ipv4 *ip;

	switch (find_headers(packet(skb), end, &headers)) {
	case NO_IPV4:
		return TC_ACT_OK;
	case BROKEN:
	case FRAGMENT:
		return TC_ACT_SHOT;
	}
	if (!find_ports(&headers, end, &transport))
		return TC_ACT_OK;
	ip = headers.ip;
	if ((ip->source & inside_mask) == inside_network && (ip->destination & inside_mask) != inside_network) {
		struct flow flow = { ip->source, ip->destination, *transport.source, *transport.destination, ip->protocol };

		translation = map_lookup(&outgoing, &flow);
		if (!translation)
			translation = make_translation(&flow);
		if (!translation)
			return TC_ACT_SHOT;
		translation->packets++;
		replace(ip, &ip->source, transport.source, transport.checksum, translation->address, translation->port);
		return TC_ACT_OK;
	}
	if (ip->destination == outside_address) {
		struct outside_key key = { *transport.destination, ip->protocol };

		translation = map_lookup(&incoming, &key);
		if (!translation)
			return TC_ACT_SHOT;
		translation->packets++;
		replace(ip, &ip->destination, transport.destination, transport.checksum, translation->address,
			translation->port);
	}
	return TC_ACT_OK;
}

LICENSE("GPL");
