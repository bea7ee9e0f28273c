/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Toeplitz hash of receive-side scaling (RSS) of 32 five-tuples of 12 bytes with a key of 40 bytes: a 64-bit shift
 * register against each bit of the input.
 */
#include "compute.h"

SECTION("xdp") int toeplitz(struct xdp_md *ctx)
{
	u8 data[424];
	u32 result = 0;

	if (!input(ctx, data, sizeof(data)))
		return 0;
	ROLLED
	for (u32 tuple = 0; tuple < 32; tuple++) {
		u64 window = 0;
		u32 hash = 0;

		UNROLLED
		for (u32 i = 0; i < 8; i++)
			window = window << 8 | data[384 + i];
		ROLLED
		for (u32 i = 0; i < 12; i++) {
			u8 byte = data[tuple * 12 + i];

			UNROLLED
			for (int bit = 7; bit >= 0; bit--) {
				hash ^= (u32)(window >> 32) & -(byte >> bit & 1);
				window <<= 1;
			}
			window |= data[392 + i];
		}
		result = result * 31 + hash;
	}
	return result;
}

LICENSE("GPL");
