/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Jump consistent hashing (Lamping and Veach, 2014) of 60 keys to 24 buckets and to twice as many, in integers: a 64-bit
 * division for each jump.
 */
#include "compute.h"

SECTION("xdp") int jump_hash(struct xdp_md *ctx)
{
	u64 keys[60];
	u32 result = 0;

	if (!input(ctx, keys, sizeof(keys)))
		return 0;
	ROLLED
	for (u32 buckets = 24; buckets <= 48; buckets += 24) {
		ROLLED
		for (u32 i = 0; i < 60; i++) {
			u64 key = keys[i], bucket = 0, next = 0;

			ROLLED
			for (u32 jump = 0; jump < buckets && next < buckets; jump++) {
				bucket = next;
				key = key * 2862933555777941757 + 1;
				next = ((bucket + 1) << 31) / ((key >> 33) + 1);
			}
			result = result * 49 + bucket;
		}
	}
	return result;
}

LICENSE("GPL");
