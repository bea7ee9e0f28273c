/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A token bucket for each source address: tokens come with the clock at 1000 a second, up to 32, and each packet
 * takes one or is dropped. The buckets are an LRU hash, so that no sender can fill it.
 */
#include "net.h"

#define BURST 32
#define NANOSECONDS_PER_TOKEN 1000000

struct bucket {
	u64 filled_at;
	u32 tokens;
	u32 dropped;
};

MAP(buckets, MAP_LRU_HASH, u32, struct bucket, 1024, 0);

SECTION("xdp") int xdp_rate_limit(struct xdp_md *ctx)
{
	struct ipv4 *ip = find_ipv4(ctx, 0);
	struct bucket fresh = { .tokens = BURST - 1 };
	struct bucket *bucket;
	u64 now = ktime_ns(), earned;
	u32 source;

	if (!ip)
		return XDP_PASS;
	source = ip->source;
	bucket = map_lookup(&buckets, &source);
	if (!bucket) {
		fresh.filled_at = now;
		map_update(&buckets, &source, &fresh, MAP_ANY);
		return XDP_PASS;
	}
	earned = (now - bucket->filled_at) / NANOSECONDS_PER_TOKEN;
	if (earned) {
		u64 tokens = bucket->tokens + earned;

		bucket->tokens = tokens < BURST ? tokens : BURST;
		bucket->filled_at += earned * NANOSECONDS_PER_TOKEN;
	}
	if (!bucket->tokens) {
		bucket->dropped++;
		return XDP_DROP;
	}
	bucket->tokens--;
	return XDP_PASS;
}

LICENSE("GPL");
