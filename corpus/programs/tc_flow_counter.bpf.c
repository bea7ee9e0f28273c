/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counts packets and bytes of flows in an LRU hash, and sends each sixteenth packet of a flow, with its first
 * bytes, to user space through a ring buffer: a sampler as sFlow has it.
 */
#include "net.h"

struct flow {
	u32 source;
	u32 destination;
	u16 source_port;
	u16 destination_port;
	u32 protocol;
};

struct totals {
	u64 packets;
	u64 bytes;
};

struct sample {
	struct flow flow;
	u32 length;
	u32 mark;
	u8 head[40];
};

MAP(flows, MAP_LRU_HASH, struct flow, struct totals, 512, 0);
RINGBUF(samples, 4096);

SECTION("tc") int tc_flow_counter(struct __sk_buff *skb)
{
	struct ethernet *ethernet = packet(skb);
	struct ipv4 *ip = (void *)(ethernet + 1);
	struct totals fresh = { .packets = 1, .bytes = skb->len };
	struct totals *totals;
	struct sample sample = {};
	u16 *ports = (u16 *)(ip + 1);

	if ((void *)(ports + 2) > packet_end(skb))
		return TC_ACT_OK;
	if (ethernet->type != swap16(ETHERTYPE_IPV4) || ip->version_length != 0x45)
		return TC_ACT_OK;
	sample.flow.source = ip->source;
	sample.flow.destination = ip->destination;
	sample.flow.protocol = ip->protocol;
	if (ip->protocol == PROTOCOL_TCP || ip->protocol == PROTOCOL_UDP) {
		sample.flow.source_port = ports[0];
		sample.flow.destination_port = ports[1];
	}
	totals = map_lookup(&flows, &sample.flow);
	if (totals) {
		totals->packets++;
		totals->bytes += skb->len;
		fresh.packets = totals->packets;
	} else if (map_update(&flows, &sample.flow, &fresh, MAP_NOEXIST)) {
		return TC_ACT_OK;
	}
	if (fresh.packets % 16 == 1) {
		sample.length = skb->len;
		sample.mark = skb->mark;
		if (!skb_load_bytes(skb, 0, sample.head, sizeof(sample.head) - 2))
			ringbuf_output(&samples, &sample, sizeof(sample), 0);
	}
	return TC_ACT_OK;
}

LICENSE("GPL");
