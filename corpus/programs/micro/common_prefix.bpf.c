/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The common prefixes of the network half of 28 IPv6 addresses with ten routes each, from the bits that differ: leading
 * zeros, counted by halves, as no instruction does.
 */
#include "compute.h"

INLINE u32 leading_zeros(u64 x)
{
	u32 zeros = 0;

	if (!x)
		return 64;
	if (!(x >> 32)) {
		zeros += 32;
		x <<= 32;
	}
	if (!(x >> 48)) {
		zeros += 16;
		x <<= 16;
	}
	if (!(x >> 56)) {
		zeros += 8;
		x <<= 8;
	}
	if (!(x >> 60)) {
		zeros += 4;
		x <<= 4;
	}
	if (!(x >> 62)) {
		zeros += 2;
		x <<= 2;
	}
	return zeros + !(x >> 63);
}

SECTION("xdp") int common_prefix(struct xdp_md *ctx)
{
	u64 words[56];
	u32 result = 0;

	if (!input(ctx, words, sizeof(words)))
		return 0;
	ROLLED
	for (u32 i = 0; i < 28; i++) {
		u64 high = swap64(words[2 * i]), low = words[2 * i + 1];

		ROLLED
		for (u32 route = 0; route < 10; route++)
			result = result * 65 + leading_zeros(high >> (low >> 6 * route & 63));
	}
	return result;
}

LICENSE("GPL");
