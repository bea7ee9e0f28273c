/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sorts 46 words of the packet on the stack by bubble sort, and hashes the result: compare, branch and swap in
 * memory, with branches that depend on data.
 */
#include "compute.h"

#define N 46

SECTION("xdp") int bubble_sort(struct xdp_md *ctx)
{
	u32 values[N];
	u32 result = 0;

	if (!input(ctx, values, sizeof(values)))
		return 0;
	ROLLED
	for (u32 end = N - 1; end > 0; end--) {
		ROLLED
		for (u32 i = 0; i < end; i++) {
			u32 a = values[i], b = values[i + 1];
			/* Without a branch: the verifier would follow both ways of each. */
			u32 mask = -(u32)(((u64)b - a) >> 63);

			values[i] = (a & ~mask) | (b & mask);
			values[i + 1] = (b & ~mask) | (a & mask);
		}
	}
	ROLLED
	for (u32 i = 0; i < N; i++)
		result = result * 31 + values[i];
	return result;
}

LICENSE("GPL");
