/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Jump consistent hashing (Lamping and Veach, 2014) of 24 keys to 40 buckets, in integers: a 64-bit division for each
 * jump.
 */
#include "compute.h"

SECTION("xdp") int jump_hash(struct xdp_md *ctx)
{
	u64 keys[24];
	u32 result = 0;

	if (!input(ctx, keys, sizeof(keys)))
		return 0;
	ROLLED
	for (u32 i = 0; i < 24; i++) {
		u64 key = keys[i], bucket = 0, next = 0;

		ROLLED
		for (int jump = 0; jump < 40 && next < 40; jump++) {
			bucket = next;
			key = key * 2862933555777941757 + 1;
			next = ((bucket + 1) << 31) / ((key >> 33) + 1);
		}
		result = result * 41 + bucket;
	}
	return result;
}

LICENSE("GPL");
