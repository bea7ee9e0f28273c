/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A layer-4 load balancer without state: the five-tuple's hash picks one of the backends of a virtual address,
 * whose IPv4 and MAC addresses replace the destination; both checksums follow, and the packet goes out where it
 * came in.
 */
#include "net.h"
#include "compute.h"

struct service {
	u32 backends;
	u32 first;
};

struct backend {
	u32 address;
	u8 mac[6];
	u16 reserved;
};

struct endpoint {
	u32 address;
	u16 port;
	u16 protocol;
};

MAP(services, MAP_HASH, struct endpoint, struct service, 32, 0);
MAP(backends, MAP_ARRAY, u32, struct backend, 64, 0);

INLINE u32 mix(u32 hash, u32 word)
{
	hash ^= word * 0xcc9e2d51;
	hash = rotate32(hash, 13);
	return hash * 5 + 0xe6546b64;
}

SECTION("xdp") int xdp_balancer(struct xdp_md *ctx)
{
	struct ethernet *ethernet = packet(ctx);
	struct ipv4 *ip = find_ipv4(ctx, sizeof(struct tcp));
	struct endpoint key = {};
	struct service *service;
	struct backend *backend;
	u16 *ports, *checksum;
	u32 hash, index, old;

	if (!ip || ip->fragment & swap16(0x3fff))
		return XDP_PASS;
	ports = (u16 *)(ip + 1);
	if (ip->protocol == PROTOCOL_TCP)
		checksum = &((struct tcp *)ports)->checksum;
	else if (ip->protocol == PROTOCOL_UDP)
		checksum = &((struct udp *)ports)->checksum;
	else
		return XDP_PASS;
	key.address = ip->destination;
	key.port = ports[1];
	key.protocol = ip->protocol;
	service = map_lookup(&services, &key);
	if (!service)
		return XDP_PASS;
	if (!service->backends)
		return XDP_DROP;
	hash = mix(mix(mix(ip->protocol, ip->source), ip->destination), *(u32 *)ports);
	index = service->first + (hash ^ hash >> 16) % service->backends;
	backend = map_lookup(&backends, &index);
	if (!backend)
		return XDP_ABORTED;
	old = ip->destination;
	ip->destination = backend->address;
	ip->checksum = checksum_replace32(ip->checksum, old, backend->address);
	if (ip->protocol == PROTOCOL_TCP || *checksum)
		*checksum = checksum_replace32(*checksum, old, backend->address);
	copy_mac(ethernet->source, ethernet->destination);
	copy_mac(ethernet->destination, backend->mac);
	return XDP_TX;
}

LICENSE("GPL");
