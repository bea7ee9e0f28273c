/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A count-min sketch, four rows of 32 counters: 384 packets of some flows are counted, and each adds the least of its four
 * counters to the result. Heavy hitters are found so.
 */
#include "compute.h"

SECTION("xdp") int count_min(struct xdp_md *ctx)
{
	u32 flows[32];
	u16 counters[4][32];
	u32 result = 0;

	if (!input(ctx, flows, sizeof(flows)))
		return 0;
	__builtin_memset(counters, 0, sizeof(counters));
	ROLLED
	for (u32 i = 0; i < 384; i++) {
		/* Some flows come more often than others. */
		u32 key = flows[i * i & 31];
		u32 least = 0xffff;

		UNROLLED
		for (u32 row = 0; row < 4; row++) {
			u32 hash = (key ^ row * 0x9e3779b9) * 0x85ebca6b;
			u32 count = ++counters[row][hash >> 27];

			if (count < least)
				least = count;
		}
		result = result * 5 + least;
	}
	return result;
}

LICENSE("GPL");
