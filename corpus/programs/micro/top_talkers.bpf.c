/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The four greatest of 120 counts in each of five intervals, kept in order: each count sinks down the list, and the lesser of
 * two goes on. There is no branch in the source but what the compiler makes of the comparisons.
 */
#include "compute.h"

SECTION("xdp") int top_talkers(struct xdp_md *ctx)
{
	u32 counts[120];
	u32 top[4];
	u32 result = 0;

	if (!input(ctx, counts, sizeof(counts)))
		return 0;
	ROLLED
	for (u32 interval = 0; interval < 5; interval++) {
		__builtin_memset(top, 0, sizeof(top));
		ROLLED
		for (u32 i = 0; i < 120; i++) {
			/* Other bits come first in each interval. */
			u32 count = counts[i] << 4 * interval;

			UNROLLED
			for (u32 place = 0; place < 4; place++) {
				u32 own = top[place];
				u32 greater = own > count ? own : count;

				count = own > count ? count : own;
				top[place] = greater;
			}
		}
		UNROLLED
		for (u32 place = 0; place < 4; place++)
			result = result * 31 + top[place];
	}
	return result;
}

LICENSE("GPL");
