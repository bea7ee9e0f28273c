/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bit tricks without instructions for them: population count, leading zeros, bit reversal and parity of 176 words
 * of an xorshift sequence. Bitmaps of ports, histograms and allocators look like this.
 */
#include "compute.h"

INLINE u32 count_ones(u64 x)
{
	x -= x >> 1 & 0x5555555555555555;
	x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return x * 0x0101010101010101 >> 56;
}

INLINE u32 leading_zeros(u64 x)
{
	x |= x >> 1;
	x |= x >> 2;
	x |= x >> 4;
	x |= x >> 8;
	x |= x >> 16;
	x |= x >> 32;
	return 64 - count_ones(x);
}

INLINE u64 reverse(u64 x)
{
	x = (x >> 1 & 0x5555555555555555) | (x & 0x5555555555555555) << 1;
	x = (x >> 2 & 0x3333333333333333) | (x & 0x3333333333333333) << 2;
	x = (x >> 4 & 0x0f0f0f0f0f0f0f0f) | (x & 0x0f0f0f0f0f0f0f0f) << 4;
	return swap64(x);
}

SECTION("xdp") int bits(struct xdp_md *ctx)
{
	u64 x, total = 0;

	if (!input(ctx, &x, sizeof(x)))
		return 0;
	ROLLED
	for (int i = 0; i < 176; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		total += count_ones(x) + leading_zeros(x >> (i & 63)) * 64ull;
		total ^= reverse(x);
		total += count_ones(total) & 1;
	}
	return (u32)(total ^ total >> 32);
}

LICENSE("GPL");
