/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A histogram of latencies by powers of two, the exponent from a ladder of comparisons and shifts, as tracing tools
 * compute it: 24 in each of nine intervals, behind which the counters go into a polynomial.
 */
#include "compute.h"

INLINE u32 log2_32(u32 v)
{
	u32 shift, r;

	r = (v > 0xffff) << 4;
	v >>= r;
	shift = (v > 0xff) << 3;
	v >>= shift;
	r |= shift;
	shift = (v > 0xf) << 2;
	v >>= shift;
	r |= shift;
	shift = (v > 3) << 1;
	v >>= shift;
	r |= shift;
	return r | v >> 1;
}

INLINE u32 log2_64(u64 v)
{
	u32 high = v >> 32;

	return high ? log2_32(high) + 33 : log2_32(v) + 1;
}

SECTION("xdp") int log_histogram(struct xdp_md *ctx)
{
	u64 words[24];
	u16 counts[64];
	u32 result = 0;

	if (!input(ctx, words, sizeof(words)))
		return 0;
	__builtin_memset(counts, 0, sizeof(counts));
	ROLLED
	for (u32 interval = 0; interval < 9; interval++) {
		ROLLED
		for (u32 i = 0; i < 24; i++) {
			u64 latency = words[i] >> ((words[i] >> 58) + 3 * interval & 63);

			counts[log2_64(latency) & 63]++;
		}
		ROLLED
		for (u32 i = 0; i < 64; i++)
			result = result * 7 + counts[i];
	}
	return result;
}

LICENSE("GPL");
