/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exponential averages of 360 delays, three in a word, with products and quotients of fixed-point numbers (16 bits behind the
 * point) in functions of their own, as programs without floating point have them.
 */
#include "compute.h"

FUNCTION u64 multiply(u64 a, u64 b)
{
	return (a >> 8) * (b >> 8);
}

FUNCTION u64 divide(u64 a, u64 b)
{
	return (a << 16) / b;
}

SECTION("xdp") int call_fixed_point(struct xdp_md *ctx)
{
	u32 words[120];
	u64 mean = 1 << 20, total = 0;

	if (!input(ctx, words, sizeof(words)))
		return 0;
	ROLLED
	for (u32 shift = 0; shift <= 12; shift += 6) {
		ROLLED
		for (u32 i = 0; i < 120; i++) {
			u64 delay = words[i] >> shift & 0xfffff;

			/* 7/8 and 1/8. */
			mean = multiply(mean, 0xe000) + multiply(delay, 0x2000);
			total += divide(delay, mean | 1);
		}
	}
	return (u32)(total ^ mean);
}

LICENSE("GPL");
