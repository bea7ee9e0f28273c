/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SipHash-2-4 (Aumasson and Bernstein) of the packet's first 64 bytes under a key from its next 16, 24 times
 * with the last result in the key: SYN cookies and hash tables that an attacker must not fill.
 */
#include "siphash.h"

INLINE u64 siphash24(const u64 *message, u64 k0, u64 k1)
{
	u64 v0 = SIPHASH_V0 ^ k0;
	u64 v1 = SIPHASH_V1 ^ k1;
	u64 v2 = SIPHASH_V2 ^ k0;
	u64 v3 = SIPHASH_V3 ^ k1;
	u64 last = 64ull << 56;

	UNROLLED
	for (int i = 0; i < 8; i++) {
		v3 ^= message[i];
		SIPHASH_ROUND(v0, v1, v2, v3);
		SIPHASH_ROUND(v0, v1, v2, v3);
		v0 ^= message[i];
	}
	v3 ^= last;
	SIPHASH_ROUND(v0, v1, v2, v3);
	SIPHASH_ROUND(v0, v1, v2, v3);
	v0 ^= last;
	v2 ^= 0xff;
	SIPHASH_ROUND(v0, v1, v2, v3);
	SIPHASH_ROUND(v0, v1, v2, v3);
	SIPHASH_ROUND(v0, v1, v2, v3);
	SIPHASH_ROUND(v0, v1, v2, v3);
	return v0 ^ v1 ^ v2 ^ v3;
}

SECTION("xdp") int siphash(struct xdp_md *ctx)
{
	u64 data[10];
	u64 hash = 0;

	if (!input(ctx, data, sizeof(data)))
		return 0;
	ROLLED
	for (int i = 0; i < 24; i++)
		hash = siphash24(data, data[8] ^ hash, data[9]);
	return (u32)(hash ^ hash >> 32);
}

LICENSE("GPL");
