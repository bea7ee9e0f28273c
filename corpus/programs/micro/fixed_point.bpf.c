/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exponentially weighted mean and variance of 80 samples in 32.32 fixed point, with an integer square root by bits
 * for the deviation: congestion control and rate estimates without floating point.
 */
#include "compute.h"

INLINE u32 square_root(u64 x)
{
	u64 root = 0;

	ROLLED
	for (u64 bit = 1ull << 30; bit; bit >>= 2) {
		u64 trial = root + bit;
		u64 fits = -(u64)(x >= trial);

		opaque(fits);
		x -= trial & fits;
		root = (root >> 1) + (bit & fits);
	}
	return root;
}

SECTION("xdp") int fixed_point(struct xdp_md *ctx)
{
	u8 samples[80];
	s64 mean = 0;
	u64 variance = 0;
	u32 result = 0;

	if (!input(ctx, samples, sizeof(samples)))
		return 0;
	ROLLED
	for (u32 i = 0; i < sizeof(samples); i++) {
		s64 error = ((s64)samples[i] << 32) - mean;
		u64 square = (u64)((error >> 20) * (error >> 20));

		mean += error >> 3;
		variance += (square >> 3) - (variance >> 3);
		result = result * 31 + square_root(variance >> 16) + (u32)(mean >> 24);
	}
	return result;
}

LICENSE("GPL");
