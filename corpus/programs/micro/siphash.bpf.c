/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SipHash-2-4 (Aumasson and Bernstein) of the packet's first 64 bytes under a key from its next 16, sixteen times
 * with the last result in the key: SYN cookies and hash tables that an attacker must not fill.
 */
#include "compute.h"

#define ROUND(v0, v1, v2, v3)     \
	do {                          \
		v0 += v1;                 \
		v1 = rotate64(v1, 13);    \
		v1 ^= v0;                 \
		v0 = rotate64(v0, 32);    \
		v2 += v3;                 \
		v3 = rotate64(v3, 16);    \
		v3 ^= v2;                 \
		v0 += v3;                 \
		v3 = rotate64(v3, 21);    \
		v3 ^= v0;                 \
		v2 += v1;                 \
		v1 = rotate64(v1, 17);    \
		v1 ^= v2;                 \
		v2 = rotate64(v2, 32);    \
	} while (0)

INLINE u64 siphash24(const u64 *message, u64 k0, u64 k1)
{
	u64 v0 = 0x736f6d6570736575 ^ k0;
	u64 v1 = 0x646f72616e646f6d ^ k1;
	u64 v2 = 0x6c7967656e657261 ^ k0;
	u64 v3 = 0x7465646279746573 ^ k1;
	u64 last = 64ull << 56;

	UNROLLED
	for (int i = 0; i < 8; i++) {
		v3 ^= message[i];
		ROUND(v0, v1, v2, v3);
		ROUND(v0, v1, v2, v3);
		v0 ^= message[i];
	}
	v3 ^= last;
	ROUND(v0, v1, v2, v3);
	ROUND(v0, v1, v2, v3);
	v0 ^= last;
	v2 ^= 0xff;
	ROUND(v0, v1, v2, v3);
	ROUND(v0, v1, v2, v3);
	ROUND(v0, v1, v2, v3);
	ROUND(v0, v1, v2, v3);
	return v0 ^ v1 ^ v2 ^ v3;
}

SECTION("xdp") int siphash(struct xdp_md *ctx)
{
	u64 data[10];
	u64 hash = 0;

	if (!input(ctx, data, sizeof(data)))
		return 0;
	ROLLED
	for (int i = 0; i < 16; i++)
		hash = siphash24(data, data[8] ^ hash, data[9]);
	return (u32)(hash ^ hash >> 32);
}

LICENSE("GPL");
