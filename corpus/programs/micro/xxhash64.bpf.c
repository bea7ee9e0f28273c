/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xxHash64 of 448 bytes with 36 seeds: rotations and products of 64 bits, four of them at a time. */
#include "compute.h"

#define P1 0x9e3779b185ebca87
#define P2 0xc2b2ae3d27d4eb4f
#define P3 0x165667b19e3779f9
#define P4 0x85ebca77c2b2ae63

INLINE u64 round(u64 lane, u64 word)
{
	return rotate64(lane + word * P2, 31) * P1;
}

INLINE u64 merge(u64 hash, u64 lane)
{
	return (hash ^ round(0, lane)) * P1 + P4;
}

SECTION("xdp") int xxhash64(struct xdp_md *ctx)
{
	u64 words[56];
	u64 total = 0;

	if (!input(ctx, words, sizeof(words)))
		return 0;
	ROLLED
	for (u64 seed = 0; seed < 36; seed++) {
		u64 a = seed + P1 + P2, b = seed + P2, c = seed, d = seed - P1, hash;

		ROLLED
		for (u32 i = 0; i < 56; i += 4) {
			a = round(a, words[i]);
			b = round(b, words[i + 1]);
			c = round(c, words[i + 2]);
			d = round(d, words[i + 3]);
		}
		hash = rotate64(a, 1) + rotate64(b, 7) + rotate64(c, 12) + rotate64(d, 18);
		hash = merge(merge(merge(merge(hash, a), b), c), d) + sizeof(words);
		hash = (hash ^ hash >> 33) * P2;
		hash = (hash ^ hash >> 29) * P3;
		total ^= hash ^ hash >> 32;
	}
	return (u32)(total ^ total >> 32);
}

LICENSE("GPL");
