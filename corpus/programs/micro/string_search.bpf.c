/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looks for every place where one of six needles, the packet's first six words, occurs in its first 256 bytes,
 * and mixes the places: what a content filter does, a byte at a time with a branch that is seldom taken.
 */
#include "compute.h"

SECTION("xdp") int string_search(struct xdp_md *ctx)
{
	u8 text[256];
	u32 result = 0;

	if (!input(ctx, text, sizeof(text)))
		return 0;
	ROLLED
	for (u32 n = 0; n < 6; n++) {
		u32 needle = ((u32 *)text)[n];
		/* The first three bytes: a needle of zeros is not there before it was seen. */
		u32 seen = ((u32 *)text)[0] << 8;

		ROLLED
		for (u32 i = 3; i < sizeof(text); i++) {
			seen = seen >> 8 | (u32)text[i] << 24;
			opaque(seen);
			if (seen == needle)
				result = result * 257 + i;
		}
	}
	return result;
}

LICENSE("GPL");
