/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MurmurHash3 (32 bits) of 48 blocks, twelve times, with its steps in functions that are not inlined: local calls, arguments in
 * registers, callee-saved registers, and a frame of their own.
 */
#include "compute.h"

FUNCTION u32 scramble(u32 block)
{
	block *= 0xcc9e2d51;
	block = rotate32(block, 15);
	return block * 0x1b873593;
}

FUNCTION u32 absorb(u32 hash, u32 block)
{
	hash ^= scramble(block);
	hash = rotate32(hash, 13);
	return hash * 5 + 0xe6546b64;
}

FUNCTION u32 finish(u32 hash, u32 length)
{
	hash ^= length;
	hash ^= hash >> 16;
	hash *= 0x85ebca6b;
	hash ^= hash >> 13;
	hash *= 0xc2b2ae35;
	return hash ^ hash >> 16;
}

SECTION("xdp") int subprograms(struct xdp_md *ctx)
{
	u32 data[48];
	u32 hash = 0;

	if (!input(ctx, data, sizeof(data)))
		return 0;
	ROLLED
	for (int round = 0; round < 12; round++) {
		ROLLED
		for (u32 i = 0; i < 48; i++)
			hash = absorb(hash, data[i]);
	}
	return finish(hash, 12 * sizeof(data));
}

LICENSE("GPL");
