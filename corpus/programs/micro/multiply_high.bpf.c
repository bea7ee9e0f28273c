/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cycles to nanoseconds and numbers to ranges: the upper half of products of 64 bits, from four products of 32 bits, as
 * eBPF has no wider ones. 60 time stamps, what has passed since each of the first eight, put into one of
 * 1000 slots.
 */
#include "compute.h"

INLINE u64 multiply_high_64(u64 a, u64 b)
{
	u64 a0 = (u32)a, a1 = a >> 32, b0 = (u32)b, b1 = b >> 32;
	u64 low = a0 * b0, middle = a1 * b0 + (low >> 32);
	u64 other = a0 * b1 + (u32)middle;

	return a1 * b1 + (middle >> 32) + (other >> 32);
}

SECTION("xdp") int multiply_high(struct xdp_md *ctx)
{
	u64 stamps[60];
	u64 total = 0;

	if (!input(ctx, stamps, sizeof(stamps)))
		return 0;
	ROLLED
	for (u32 start = 0; start < 8; start++) {
		ROLLED
		for (u32 i = 0; i < 60; i++) {
			u64 nanoseconds = multiply_high_64(stamps[i] - stamps[start], 0x5555555555555556);
			u64 slot = multiply_high_64(nanoseconds * 0x9e3779b97f4a7c15, 1000);

			total = rotate64(total, 9) + nanoseconds + slot;
		}
	}
	return (u32)(total ^ total >> 32);
}

LICENSE("GPL");
