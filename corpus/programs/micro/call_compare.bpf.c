/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rank of each of 26 words among all of them, with the comparison in a function of its own, as programs do that share one
 * between orders: a call for each comparison.
 */
#include "compute.h"

/* By the low half first, then by the whole. */
FUNCTION u32 comes_before(u32 a, u32 b)
{
	if ((a & 0xffff) != (b & 0xffff))
		return (a & 0xffff) < (b & 0xffff);
	return a < b;
}

SECTION("xdp") int call_compare(struct xdp_md *ctx)
{
	u32 values[26];
	u32 result = 0;

	if (!input(ctx, values, sizeof(values)))
		return 0;
	ROLLED
	for (u32 i = 0; i < 26; i++) {
		u32 rank = 0;

		ROLLED
		for (u32 j = 0; j < 26; j++)
			rank += comes_before(values[j], values[i]);
		result = result * 27 + rank;
	}
	return result;
}

LICENSE("GPL");
