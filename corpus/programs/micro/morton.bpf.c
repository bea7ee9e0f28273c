/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 120 pairs of 16-bit coordinates to the place on the Z curve that has their bits in turn, by shifts and masks: keys of
 * geographic and multi-field classifiers. The least, the greatest and a sum, four times, of places side by side.
 */
#include "compute.h"

INLINE u32 spread(u32 x)
{
	x = (x | x << 8) & 0x00ff00ff;
	x = (x | x << 4) & 0x0f0f0f0f;
	x = (x | x << 2) & 0x33333333;
	return (x | x << 1) & 0x55555555;
}

SECTION("xdp") int morton(struct xdp_md *ctx)
{
	u16 points[240];
	u32 sum = 0, least = 0xffffffff, greatest = 0;

	if (!input(ctx, points, sizeof(points)))
		return 0;
	ROLLED
	for (int pass = 0; pass < 4; pass++) {
		ROLLED
		for (u32 i = 0; i < 240; i += 2) {
			u32 place = spread(points[i] ^ pass) | spread(points[i + 1]) << 1;

			sum = rotate32(sum, 1) + place;
			least = place < least ? place : least;
			greatest = place > greatest ? place : greatest;
		}
	}
	return sum ^ least ^ greatest;
}

LICENSE("GPL");
