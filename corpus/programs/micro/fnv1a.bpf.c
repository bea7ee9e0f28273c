/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FNV-1a, 64 bits, over the packet's first 256 bytes, five times in a row: the simplest hash of names and strings,
 * a byte load and a multiplication per byte.
 */
#include "compute.h"

SECTION("xdp") int fnv1a(struct xdp_md *ctx)
{
	u8 data[256];
	u64 hash = 0xcbf29ce484222325;

	if (!input(ctx, data, sizeof(data)))
		return 0;
	ROLLED
	for (int round = 0; round < 5; round++) {
		ROLLED
		for (u32 i = 0; i < sizeof(data); i++) {
			hash ^= data[i];
			hash *= 0x100000001b3;
		}
	}
	return (u32)(hash ^ hash >> 32);
}

LICENSE("GPL");
