/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Limits by source: a bucket of tokens for each address and one for its /24 network, both refilled by the clock, with larger
 * ones for networks that a trie names; what is over the limit is dropped, and senders that keep on are shut out for a while.
 */
#include "flow.h"

#define NANOSECONDS 1000000000ull
#define SHUT_OUT_AFTER 8
#define SHUT_OUT_FOR 40000

struct key4 {
	u32 bits;
	u32 address;
};

struct limit {
	/* Tokens for a second, and how many there may be; a token is a byte. */
	u64 rate;
	u64 burst;
};

struct bucket {
	u64 filled_at;
	u64 tokens;
	u64 shut_until;
	u32 strikes;
	u32 dropped;
};

enum { PASSED, DROPPED, SHUT, NEW, OUTCOMES };

volatile const struct limit usual = { 4000000, 1500 };
volatile const struct limit network = { 20000000, 6000 };
volatile u64 outcomes[OUTCOMES];

MAP(limits, MAP_LPM_TRIE, struct key4, struct limit, 64, MAP_NO_PREALLOC);
MAP(buckets, MAP_LRU_HASH, u32, struct bucket, 4096, 0);
MAP(networks, MAP_LRU_HASH, u32, struct bucket, 1024, 0);

/* Puts the tokens into a bucket that time has earned; no more than the burst. */
INLINE void refill(struct bucket *bucket, u64 now, u64 rate, u64 burst)
{
	u64 passed = now - bucket->filled_at;
	u64 earned;

	/* A second fills every bucket, and keeps the product within 64 bits. */
	if (passed > NANOSECONDS)
		passed = NANOSECONDS;
	earned = passed * rate / NANOSECONDS;
	if (!earned)
		return;
	bucket->tokens += earned;
	if (bucket->tokens > burst)
		bucket->tokens = burst;
	bucket->filled_at = now;
}

INLINE struct bucket *find_bucket(void *map, u32 key, u64 now, u64 burst)
{
	struct bucket *bucket = map_lookup(map, &key);
	struct bucket fresh = {};

	if (bucket)
		return bucket;
	outcomes[NEW]++;
	fresh.filled_at = now;
	fresh.tokens = burst;
	map_update(map, &key, &fresh, MAP_NOEXIST);
	return map_lookup(map, &key);
}

INLINE int strike(struct bucket *bucket, u64 now)
{
	bucket->dropped++;
	if (++bucket->strikes >= SHUT_OUT_AFTER) {
		bucket->strikes = 0;
		bucket->shut_until = now + SHUT_OUT_FOR;
	}
	outcomes[DROPPED]++;
	return XDP_DROP;
}

SECTION("xdp") int rate_limiter(struct xdp_md *ctx)
{
	void *start = packet(ctx), *end = packet_end(ctx);
	struct headers headers = {};
	struct key4 key = { .bits = 32 };
	struct bucket *own, *shared;
	struct limit *limit;
	u64 rate = usual.rate, burst = usual.burst, now, bytes = end - start;

	switch (find_headers(start, end, &headers)) {
	case NO_IPV4:
		return XDP_PASS;
	case BROKEN:
		return XDP_DROP;
	case FRAGMENT:
		break;
	}
	if (!headers.ip)
		return XDP_PASS;
	key.address = headers.ip->source;
	limit = map_lookup(&limits, &key);
	if (limit) {
		/* No rate: not limited. */
		if (!limit->rate)
			return XDP_PASS;
		rate = limit->rate;
		burst = limit->burst;
	}
	now = ktime_ns();
	own = find_bucket(&buckets, headers.ip->source, now, burst);
	shared = find_bucket(&networks, headers.ip->source & swap32(0xffffff00), now, network.burst);
	if (!own || !shared)
		return XDP_PASS;
	if (now < own->shut_until) {
		outcomes[SHUT]++;
		return XDP_DROP;
	}
	refill(own, now, rate, burst);
	refill(shared, now, network.rate, network.burst);
	if (own->tokens < bytes || shared->tokens < bytes)
		return strike(own, now);
	own->tokens -= bytes;
	shared->tokens -= bytes;
	if (own->strikes)
		own->strikes--;
	outcomes[PASSED]++;
	return XDP_PASS;
}

LICENSE("GPL");
