/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bob Jenkins' hash (lookup3, as the kernel's jhash) of 192 five-tuples: what flow tables and load balancers spend
 * their time on. The result is the XOR of the hashes.
 */
#include "compute.h"

#define MIX(a, b, c)              \
	do {                          \
		a -= c;                   \
		a ^= rotate32(c, 4);      \
		c += b;                   \
		b -= a;                   \
		b ^= rotate32(a, 6);      \
		a += c;                   \
		c -= b;                   \
		c ^= rotate32(b, 8);      \
		b += a;                   \
		a -= c;                   \
		a ^= rotate32(c, 16);     \
		c += b;                   \
		b -= a;                   \
		b ^= rotate32(a, 19);     \
		a += c;                   \
		c -= b;                   \
		c ^= rotate32(b, 4);      \
		b += a;                   \
	} while (0)

#define FINAL(a, b, c)            \
	do {                          \
		c ^= b;                   \
		c -= rotate32(b, 14);     \
		a ^= c;                   \
		a -= rotate32(c, 11);     \
		b ^= a;                   \
		b -= rotate32(a, 25);     \
		c ^= b;                   \
		c -= rotate32(b, 16);     \
		a ^= c;                   \
		a -= rotate32(c, 4);      \
		b ^= a;                   \
		b -= rotate32(a, 14);     \
		c ^= b;                   \
		c -= rotate32(b, 24);     \
	} while (0)

/* Hashes four words; the length is part of the initial value. */
INLINE u32 jhash4(const u32 *key, u32 seed)
{
	u32 a, b, c;

	a = b = c = 0xdeadbeef + (4 << 2) + seed;
	a += key[0];
	b += key[1];
	c += key[2];
	MIX(a, b, c);
	a += key[3];
	FINAL(a, b, c);
	return c;
}

SECTION("xdp") int jhash(struct xdp_md *ctx)
{
	u32 key[4];
	u32 result = 0;

	if (!input(ctx, key, sizeof(key)))
		return 0;
	ROLLED
	for (u32 i = 0; i < 192; i++) {
		result ^= jhash4(key, i);
		key[3] += 0x10001;
	}
	return result;
}

LICENSE("GPL");
