/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Samples one of about 2^k packets of 640, where k is the flow's: random numbers from PCG32, whose output is rotated by an
 * amount that is random as well.
 */
#include "compute.h"

SECTION("xdp") int pcg_sampler(struct xdp_md *ctx)
{
	u64 words[8];
	u64 state;
	u32 taken = 0, bytes = 0;

	if (!input(ctx, words, sizeof(words)))
		return 0;
	state = words[0];
	ROLLED
	for (u32 i = 0; i < 640; i++) {
		u64 old = state;

		state = old * 6364136223846793005 + 1442695040888963407;
		u32 shifted = (u32)((old >> 18 ^ old) >> 27), by = old >> 59;
		u32 random = shifted >> by | shifted << (-by & 31);
		u64 flow = words[random >> 8 & 7];
		u32 mask = (1u << (flow & 3)) - 1;

		if (!(random & mask)) {
			taken++;
			bytes += (u32)(flow >> 40) & 0x7ff;
		}
	}
	return bytes * 251 + taken;
}

LICENSE("GPL");
