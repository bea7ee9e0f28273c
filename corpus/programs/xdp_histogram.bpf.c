/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counts packets by the logarithm of their length and by protocol in global data, and keeps the largest: atomic
 * additions with and without a result, and a compare-and-exchange loop.
 */
#include "net.h"

struct {
	u64 lengths[16];
	u64 protocols[256];
	u64 largest;
	u64 packets;
} seen;

INLINE u32 logarithm(u32 x)
{
	u32 result = 0;

	if (x >= 1 << 8) {
		result += 8;
		x >>= 8;
	}
	if (x >= 1 << 4) {
		result += 4;
		x >>= 4;
	}
	if (x >= 1 << 2) {
		result += 2;
		x >>= 2;
	}
	return result + (x >> 1);
}

SECTION("xdp") int xdp_histogram(struct xdp_md *ctx)
{
	u64 length = ctx->data_end - ctx->data;
	struct ipv4 *ip = find_ipv4(ctx, 0);
	u64 largest = seen.largest;
	u64 number = __sync_fetch_and_add(&seen.packets, 1);

	__sync_fetch_and_add(&seen.lengths[logarithm(length & 0xffff) & 15], 1);
	if (ip)
		__sync_fetch_and_add(&seen.protocols[ip->protocol], 1);
	ROLLED
	for (int tries = 0; tries < 4 && largest < length; tries++) {
		u64 before = __sync_val_compare_and_swap(&seen.largest, largest, length);

		if (before == largest)
			break;
		largest = before;
	}
	/* Each eighth packet is sent back, so that something tells that the program runs. */
	return number % 8 == 7 ? XDP_TX : XDP_PASS;
}

LICENSE("GPL");
