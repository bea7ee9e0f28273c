/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the name in a DNS query (RFC 1035) label by label, in lower case, and drops queries for blocked names and
 * for blocked top-level domains: the whole name and the last label are hashed in one pass. Names of up to 63
 * bytes.
 */
#include "net.h"

#define NAME 63
#define FNV_START 0xcbf29ce484222325
#define FNV_PRIME 0x100000001b3

struct dns {
	u16 id;
	u16 flags;
	u16 questions;
	u16 answers;
	u16 authorities;
	u16 additionals;
};

MAP(blocked, MAP_HASH, u64, u32, 128, 0);
MAP(queries, MAP_PERCPU_ARRAY, u32, u64, 2, 0);

INLINE void count(u32 which)
{
	u64 *number = map_lookup(&queries, &which);

	if (number)
		++*number;
}

SECTION("xdp") int xdp_dns(struct xdp_md *ctx)
{
	struct ipv4 *ip = find_ipv4(ctx, sizeof(struct udp) + sizeof(struct dns));
	void *end = packet_end(ctx);
	u64 whole = FNV_START, last = FNV_START;
	struct dns *dns;
	struct udp *udp;
	u8 *name;
	u32 left = 0;

	if (!ip || ip->protocol != PROTOCOL_UDP)
		return XDP_PASS;
	udp = (void *)(ip + 1);
	dns = (void *)(udp + 1);
	if (udp->destination != swap16(53) || dns->flags & swap16(0xf800) || dns->questions != swap16(1))
		return XDP_PASS;
	name = (void *)(dns + 1);
	ROLLED
	for (u32 i = 0; i <= NAME; i++) {
		u8 byte;

		if ((void *)(name + i + 1) > end)
			return XDP_DROP;
		byte = name[i];
		if (!left) {
			if (!byte)
				break;
			if (byte > NAME)
				return XDP_DROP;
			last = FNV_START;
			left = byte;
			byte = '.';
		} else {
			left--;
			if (byte >= 'A' && byte <= 'Z')
				byte += 'a' - 'A';
		}
		whole = (whole ^ byte) * FNV_PRIME;
		last = (last ^ byte) * FNV_PRIME;
	}
	if (map_lookup(&blocked, &whole) || map_lookup(&blocked, &last)) {
		count(1);
		return XDP_DROP;
	}
	count(0);
	return XDP_PASS;
}

LICENSE("GPL");
