/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The distances of 16 fingerprints of 64 bits from the seven that follow: the bits that differ are counted one by one, with
 * x &= x - 1.
 */
#include "compute.h"

INLINE u32 count_bits(u64 x)
{
	u32 count;

	ROLLED
	for (count = 0; x && count < 64; count++)
		x &= x - 1;
	return count;
}

SECTION("xdp") int hamming(struct xdp_md *ctx)
{
	u64 prints[16];
	u32 result = 0;

	if (!input(ctx, prints, sizeof(prints)))
		return 0;
	ROLLED
	for (u32 i = 0; i < 16; i++) {
		ROLLED
		for (u32 step = 1; step < 8; step++)
			result = result * 65 + count_bits(prints[i] ^ prints[(i + step) & 15]);
	}
	return result;
}

LICENSE("GPL");
