/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A flow meter (tc): packets, bytes, flags, the least and greatest size and a histogram of sizes for each flow, and samples of
 * headers to a ring buffer, one of 16 by a hash of flow and count, so that all of a flow's packets have the same chance; long
 * flows are sampled less.
 */
#include "flow.h"

#define SAMPLE_MASK 15
#define HEADER 64

struct meter {
	u64 packets;
	u64 bytes;
	u32 sampled;
	u16 least;
	u16 greatest;
	u8 flags;
	u8 service;
	u8 life;
	u8 unused;
	u32 sizes;
};

struct sample {
	struct flow flow;
	u32 length;
	u64 packets;
	u8 header[HEADER];
	u32 ones;
};

volatile struct {
	u64 packets;
	u64 skipped;
	/* By the lengths' logarithms. */
	u32 lengths[16];
} totals;

MAP(flows, MAP_HASH, struct flow, struct meter, 4096, 0);
RINGBUF(samples, 1 << 16);

INLINE u32 log2_of(u32 v)
{
	u32 r, shift;

	r = (v > 0xff) << 3;
	v >>= r;
	shift = (v > 0xf) << 2;
	v >>= shift;
	r |= shift;
	shift = (v > 3) << 1;
	v >>= shift;
	r |= shift;
	return r | v >> 1;
}

INLINE u32 count_ones(u64 x)
{
	x -= x >> 1 & 0x5555555555555555;
	x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return x * 0x0101010101010101 >> 56;
}

/* Ports and flags, where there are some. */
INLINE void read_transport(void *transport, void *end, struct flow *flow, u32 *flags)
{
	*flags = 0;
	if (flow->protocol == PROTOCOL_TCP) {
		struct tcp *tcp = transport;

		if ((void *)(tcp + 1) > end)
			return;
		flow->source_port = tcp->source;
		flow->destination_port = tcp->destination;
		*flags = tcp->flags;
	} else if (flow->protocol == PROTOCOL_UDP) {
		struct udp *udp = transport;

		if ((void *)(udp + 1) > end)
			return;
		flow->source_port = udp->source;
		flow->destination_port = udp->destination;
	} else if (flow->protocol == PROTOCOL_ICMP) {
		struct icmp *icmp = transport;

		if ((void *)(icmp + 1) > end)
			return;
		/* Type and code tell messages apart. */
		flow->destination_port = icmp->type << 8 | icmp->code;
	}
}

INLINE void measure(struct meter *meter, u32 length, u32 flags)
{
	u32 class = length >> 8;

	meter->packets++;
	meter->bytes += length;
	meter->flags |= flags;
	if (length < meter->least)
		meter->least = length;
	if (length > meter->greatest)
		meter->greatest = length;
	/* Eight counters of four bits that stay at their end. */
	class = class > 7 ? 7 : class;
	if ((meter->sizes >> 4 * class & 15) != 15)
		meter->sizes += 1u << 4 * class;
}

/* Whether to sample: less often the more packets a flow has had. */
INLINE int is_sampled(const struct flow *flow, const struct meter *meter)
{
	u32 mask = SAMPLE_MASK;

	if (meter->packets <= 1)
		return 1;
	if (meter->packets > 16)
		mask = mask << 2 | 3;
	return (jhash_flow(flow, meter->packets) & mask) == 0;
}

INLINE void send_sample(void *start, void *end, struct flow *flow, struct meter *meter, u32 length)
{
	struct sample sample = { .packets = meter->packets, .length = length };
	u64 *words = (u64 *)sample.header;

	sample.flow = *flow;
	if (start + HEADER > end) {
		totals.skipped++;
		return;
	}
	UNROLLED
	for (u32 word = 0; word < HEADER / 8; word++) {
		words[word] = ((u64 *)start)[word];
		sample.ones += count_ones(words[word]);
	}
	meter->sampled++;
	ringbuf_output(&samples, &sample, sizeof(sample), 0);
}

SECTION("tc") int flow_sampler(struct __sk_buff *skb)
{
	void *start = packet(skb), *end = packet_end(skb);
	struct headers headers = {};
	struct flow flow = {};
	struct meter *meter;
	u32 flags, length = end - start;

	totals.packets++;
	totals.lengths[log2_of(length & 0xffff) & 15]++;
	if (find_headers(start, end, &headers) != FOUND) {
		totals.skipped++;
		return TC_ACT_OK;
	}
	flow.source = headers.ip->source;
	flow.destination = headers.ip->destination;
	flow.protocol = headers.ip->protocol;
	read_transport(headers.transport, end, &flow, &flags);
	meter = map_lookup(&flows, &flow);
	if (!meter) {
		struct meter fresh = { .least = 0xffff, .service = headers.ip->service, .life = headers.ip->ttl };

		if (map_update(&flows, &flow, &fresh, MAP_NOEXIST))
			return TC_ACT_OK;
		meter = map_lookup(&flows, &flow);
		if (!meter)
			return TC_ACT_OK;
	}
	measure(meter, length, flags);
	if (is_sampled(&flow, meter))
		send_sample(start, end, &flow, meter, length);
	return TC_ACT_OK;
}

LICENSE("GPL");
