/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Searches a table of 64 ascending words (prefix sums of packet bytes) for 360 keys, without branches on what is
 * compared: port ranges and routing tables in arrays.
 */
#include "compute.h"

SECTION("xdp") int binary_search(struct xdp_md *ctx)
{
	u8 bytes[64];
	u32 table[64];
	u32 sum = 0, result = 0;

	if (!input(ctx, bytes, sizeof(bytes)))
		return 0;
	ROLLED
	for (u32 i = 0; i < 64; i++) {
		sum += bytes[i] + 1;
		table[i] = sum;
	}
	ROLLED
	for (u32 i = 0; i < 360; i++) {
		u32 key = bytes[i & 63] * 64 + i * 7;
		u32 base = 0;

		UNROLLED
		for (u32 half = 32; half; half /= 2) {
			/* All ones when the middle is at most the key. */
			u32 mask = ~(u32)((s64)((u64)key - table[(base + half - 1) & 63]) >> 63);

			base += half & mask;
		}
		result = result * 67 + base;
	}
	return result;
}

LICENSE("GPL");
