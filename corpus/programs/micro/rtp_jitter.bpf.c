/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The jitter of 110 packets (RFC 3550, appendix A.8) of six streams, whose clocks count 80 to 480 from one packet to the
 * next: the difference of transit times, its absolute value, an average in sixteenths; and of all streams the least, the
 * greatest, and how often one was late by more than the average.
 */
#include "compute.h"

SECTION("xdp") int rtp_jitter(struct xdp_md *ctx)
{
	u16 delays[220];
	u32 result = 0, least = 0xffffffff, greatest = 0, late = 0;

	if (!input(ctx, delays, sizeof(delays)))
		return 0;
	ROLLED
	for (u32 ticks = 80; ticks <= 480; ticks += 80) {
		s32 transit = 0;
		u32 jitter = 0;

		ROLLED
		for (u32 i = 0; i < 110; i++) {
			s32 now = (s32)(delays[2 * i] + i * ticks) - (s32)(delays[2 * i + 1] >> 4);
			s32 difference = now - transit;

			transit = now;
			if (difference < 0)
				difference = -difference;
			jitter += difference - ((jitter + 8) >> 4);
			if (jitter < least)
				least = jitter;
			if (jitter > greatest)
				greatest = jitter;
			if ((u32)difference > jitter >> 4)
				late++;
		}
		result = result * 31 + jitter;
	}
	return result + least * 17 + greatest * 13 + late;
}

LICENSE("GPL");
