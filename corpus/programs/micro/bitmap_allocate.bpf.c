/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ports of a NAT from a bitmap of 256: for each of 448 requests the first free one of the word that a hash names, or one
 * given back; the index of the lowest clear bit comes from a ladder, as there is no instruction for it.
 */
#include "bits.h"
#include "compute.h"

SECTION("xdp") int bitmap_allocate(struct xdp_md *ctx)
{
	u8 requests[448];
	u64 used[4];
	u32 result = 0;

	if (!input(ctx, requests, sizeof(requests)))
		return 0;
	/* The first of each word are taken: one, two, three and four. */
	ROLLED
	for (u32 word = 0; word < 4; word++)
		used[word] = (2ull << word) - 1;
	ROLLED
	for (u32 i = 0; i < sizeof(requests); i++) {
		u32 word = requests[i] & 3;
		u64 free = ~used[word];

		if (requests[i] & 0x80 || !free) {
			/* One is given back, whether it was taken or not. */
			used[word] &= ~(1ull << (requests[i] >> 2 & 31));
			continue;
		}
		u32 bit = lowest_bit(free);

		used[word] |= 1ull << bit;
		result = result * 33 + word * 64 + bit;
	}
	return result;
}

LICENSE("GPL");
