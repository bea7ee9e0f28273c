/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A Bloom filter of 1024 bits with three hashes for each key: six times, 24 keys go in and 72 are asked for, these and 48
 * that have not been there. What a program keeps of flows that it has seen.
 */
#include "compute.h"

INLINE u64 mix(u64 key)
{
	key ^= key >> 33;
	key *= 0xff51afd7ed558ccd;
	key ^= key >> 33;
	return key;
}

SECTION("xdp") int bloom_filter(struct xdp_md *ctx)
{
	u64 words[8], filter[16];
	u32 hits = 0;

	if (!input(ctx, words, sizeof(words)))
		return 0;
	__builtin_memset(filter, 0, sizeof(filter));
	ROLLED
	for (u32 first = 0; first < 6 * 24; first += 24) {
		ROLLED
		for (u32 i = first; i < first + 24; i++) {
			u64 hash = mix(words[i & 7] + i);

			filter[hash >> 6 & 15] |= 1ull << (hash & 63);
			filter[hash >> 26 & 15] |= 1ull << (hash >> 20 & 63);
			filter[hash >> 46 & 15] |= 1ull << (hash >> 40 & 63);
		}
		ROLLED
		for (u32 i = first; i < first + 72; i++) {
			u64 hash = mix(words[i & 7] + i);

			if (!(filter[hash >> 6 & 15] >> (hash & 63) & 1))
				continue;
			if (!(filter[hash >> 26 & 15] >> (hash >> 20 & 63) & 1))
				continue;
			if (!(filter[hash >> 46 & 15] >> (hash >> 40 & 63) & 1))
				continue;
			hits = hits * 3 + i;
		}
	}
	return hits;
}

LICENSE("GPL");
