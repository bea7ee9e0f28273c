/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A layer-4 load balancer: services by address, port and protocol; connections stay with their backend, new ones go by a
 * table made by consistent hashing (Maglev), one for each service; the destination is rewritten with incremental
 * checksums, and the packet goes out where it came in. Pings of a service's address are answered in place.
 */
#include "flow.h"

#define SERVICES 4
#define SLOTS 251
#define BACKENDS 16

struct service_key {
	u32 address;
	u16 port;
	u16 protocol;
};

struct service {
	u32 number;
	u32 flags;
};

/* New connections get no entry: for services over UDP with one packet a flow. */
#define STATELESS 1

struct backend {
	u32 address;
	u8 mac[6];
	u16 port;
};

struct counter {
	u64 packets;
	u64 bytes;
};

enum { REASON_TTL, REASON_NO_BACKEND, REASON_FRAGMENT, REASON_BROKEN, REASONS };

MAP(services, MAP_HASH, struct service_key, struct service, 64, 0);
MAP(slots, MAP_ARRAY, u32, u32, SERVICES * SLOTS, 0);
MAP(backends, MAP_ARRAY, u32, struct backend, BACKENDS, 0);
MAP(connections, MAP_LRU_HASH, struct flow, u32, 4096, 0);
MAP(counters, MAP_PERCPU_ARRAY, u32, struct counter, SERVICES, 0);
MAP(reasons, MAP_PERCPU_ARRAY, u32, u64, REASONS, 0);

INLINE void give_reason(u32 reason)
{
	u64 *count = map_lookup(&reasons, &reason);

	if (count)
		++*count;
}

INLINE int answer_ping(struct headers *headers, void *end)
{
	struct icmp *icmp = headers->transport;
	struct ipv4 *ip = headers->ip;
	u32 address = ip->source;
	u8 mac[6];

	if ((void *)(icmp + 1) > end || icmp->type != 8 || icmp->code != 0)
		return XDP_PASS;
	icmp->type = 0;
	icmp->checksum = checksum_replace16(icmp->checksum, 8, 0);
	/* Swapped addresses leave the sum as it is. */
	ip->source = ip->destination;
	ip->destination = address;
	copy_mac(mac, headers->ethernet->source);
	copy_mac(headers->ethernet->source, headers->ethernet->destination);
	copy_mac(headers->ethernet->destination, mac);
	return XDP_TX;
}

INLINE struct service *find_service(struct flow *flow)
{
	struct service_key key = { flow->destination, flow->destination_port, flow->protocol };
	struct service *service = map_lookup(&services, &key);

	if (service)
		return service;
	/* All ports of the address. */
	key.port = 0;
	return map_lookup(&services, &key);
}

/* The backend of a connection, which is remembered if there is something to remember. */
INLINE struct backend *choose(struct flow *flow, struct service *service, int starts, int ends)
{
	u32 *known = NULL, *slot, number;

	if (!(service->flags & STATELESS) && !starts)
		known = map_lookup(&connections, flow);
	if (known) {
		number = *known;
		if (ends)
			map_delete(&connections, flow);
		return map_lookup(&backends, &number);
	}
	number = service->number * SLOTS + jhash_flow(flow, 0x5eed) % SLOTS;
	slot = map_lookup(&slots, &number);
	if (!slot)
		return NULL;
	number = *slot;
	if (!(service->flags & STATELESS) && !ends)
		map_update(&connections, flow, &number, MAP_ANY);
	return map_lookup(&backends, &number);
}

INLINE void rewrite(struct headers *headers, struct backend *backend, u16 *checksum, u16 *port)
{
	struct ipv4 *ip = headers->ip;
	u32 from = ip->destination;
	u16 life = *(u16 *)&ip->ttl, shorter = life - 1;

	*(u16 *)&ip->ttl = shorter;
	ip->checksum = checksum_replace16(ip->checksum, life, shorter);
	ip->destination = backend->address;
	ip->checksum = checksum_replace32(ip->checksum, from, backend->address);
	if (*checksum || ip->protocol == PROTOCOL_TCP) {
		u16 sum = checksum_replace32(*checksum, from, backend->address);

		if (backend->port)
			sum = checksum_replace16(sum, *port, backend->port);
		*checksum = sum || ip->protocol == PROTOCOL_TCP ? sum : 0xffff;
	}
	if (backend->port)
		*port = backend->port;
	copy_mac(headers->ethernet->source, headers->ethernet->destination);
	copy_mac(headers->ethernet->destination, backend->mac);
}

SECTION("xdp") int l4_balancer(struct xdp_md *ctx)
{
	void *end = packet_end(ctx);
	struct headers headers = {};
	struct flow flow = {};
	struct service *service;
	struct backend *backend;
	struct counter *counter;
	int starts = 0, ends = 0;
	u16 *checksum, *port;
	u32 number;

	switch (find_headers(packet(ctx), end, &headers)) {
	case NO_IPV4:
		return XDP_PASS;
	case FRAGMENT:
		give_reason(REASON_FRAGMENT);
		return XDP_PASS;
	case BROKEN:
		give_reason(REASON_BROKEN);
		return XDP_DROP;
	}
	flow.source = headers.ip->source;
	flow.destination = headers.ip->destination;
	flow.protocol = headers.ip->protocol;
	if (flow.protocol == PROTOCOL_TCP) {
		struct tcp *tcp = headers.transport;

		if ((void *)(tcp + 1) > end) {
			give_reason(REASON_BROKEN);
			return XDP_DROP;
		}
		flow.source_port = tcp->source;
		flow.destination_port = tcp->destination;
		starts = (tcp->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
		ends = (tcp->flags & (TCP_RST | TCP_FIN)) != 0;
		checksum = &tcp->checksum;
		port = &tcp->destination;
	} else if (flow.protocol == PROTOCOL_UDP) {
		struct udp *udp = headers.transport;

		flow.source_port = udp->source;
		flow.destination_port = udp->destination;
		checksum = &udp->checksum;
		port = &udp->destination;
	} else if (flow.protocol == PROTOCOL_ICMP) {
		return find_service(&flow) ? answer_ping(&headers, end) : XDP_PASS;
	} else {
		return XDP_PASS;
	}
	service = find_service(&flow);
	if (!service)
		return XDP_PASS;
	if (headers.ip->ttl <= 1) {
		give_reason(REASON_TTL);
		return XDP_DROP;
	}
	backend = choose(&flow, service, starts, ends);
	if (!backend || !backend->address) {
		give_reason(REASON_NO_BACKEND);
		return XDP_DROP;
	}
	number = service->number;
	counter = map_lookup(&counters, &number);
	if (counter) {
		counter->packets++;
		counter->bytes += end - packet(ctx);
	}
	rewrite(&headers, backend, checksum, port);
	return XDP_TX;
}

LICENSE("GPL");
