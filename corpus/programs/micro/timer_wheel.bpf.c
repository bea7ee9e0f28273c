/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where 110 timers go in a wheel of four levels with 64 slots each, by how far away they are: a level is 8 times as coarse
 * as the one below it. Slots are marked in bitmaps, some of them from the start. Six rounds, each as long as the two lowest
 * levels reach, whose slots are empty then.
 */
#include "compute.h"

SECTION("xdp") int timer_wheel(struct xdp_md *ctx)
{
	struct {
		u64 levels[4];
		u32 times[110];
	} wheel;
	u64 *levels = wheel.levels;
	u32 now = 0, result = 0;

	if (!input(ctx, &wheel, sizeof(wheel)))
		return 0;
	ROLLED
	for (int round = 0; round < 6; round++) {
		ROLLED
		for (u32 i = 0; i < 110; i++) {
			u32 distance = wheel.times[i] >> (wheel.times[i] & 15) & 0x7fff;
			u32 level, shift;

			if (distance < 64) {
				level = 0;
				shift = 0;
			} else if (distance < 512) {
				level = 1;
				shift = 3;
			} else if (distance < 4096) {
				level = 2;
				shift = 6;
			} else {
				level = 3;
				shift = 9;
			}
			u32 slot = (now + distance) >> shift & 63;

			if (levels[level] >> slot & 1)
				result += level + 1;
			levels[level] |= 1ull << slot;
			result = result * 5 + slot;
			now += 7;
		}
		levels[0] = 0;
		levels[1] = 0;
	}
	return result ^ (u32)levels[2] ^ (u32)(levels[3] >> 32);
}

LICENSE("GPL");
