/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers of variable length as in protocol buffers, seven bits in a byte, the lowest first: 480 bytes of them, from each of
 * the first three on.
 */
#include "compute.h"

SECTION("xdp") int varint(struct xdp_md *ctx)
{
	u8 bytes[480];
	u64 total = 0;

	if (!input(ctx, bytes, sizeof(bytes)))
		return 0;
	ROLLED
	for (u32 start = 0; start < 3; start++) {
		u64 value = 0;
		u32 shift = 0;

		ROLLED
		for (u32 i = start; i < sizeof(bytes); i++) {
			value |= (u64)(bytes[i] & 0x7f) << (shift & 63);
			shift += 7;
			if (bytes[i] & 0x80)
				continue;
			/* Signed numbers have their sign in the lowest bit. */
			total = rotate64(total, 3) + (value >> 1 ^ -(value & 1));
			value = 0;
			shift = 0;
		}
	}
	return (u32)(total ^ total >> 32);
}

LICENSE("GPL");
