/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ten ChaCha20 blocks (RFC 8439): key, counter and nonce are the packet's first 48 bytes, the result is the XOR
 * of the words of key stream. More live words than registers, all rotations by immediates.
 */
#include "compute.h"

#define QUARTER(a, b, c, d)       \
	do {                          \
		a += b;                   \
		d = rotate32(d ^ a, 16);  \
		c += d;                   \
		b = rotate32(b ^ c, 12);  \
		a += b;                   \
		d = rotate32(d ^ a, 8);   \
		c += d;                   \
		b = rotate32(b ^ c, 7);   \
	} while (0)

SECTION("xdp") int chacha20(struct xdp_md *ctx)
{
	u32 start[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };
	u32 x[16];
	u32 result = 0;

	if (!input(ctx, start + 4, 48))
		return 0;
	ROLLED
	for (int block = 0; block < 10; block++) {
		UNROLLED
		for (int i = 0; i < 16; i++)
			x[i] = start[i];
		ROLLED
		for (int i = 0; i < 10; i++) {
			QUARTER(x[0], x[4], x[8], x[12]);
			QUARTER(x[1], x[5], x[9], x[13]);
			QUARTER(x[2], x[6], x[10], x[14]);
			QUARTER(x[3], x[7], x[11], x[15]);
			QUARTER(x[0], x[5], x[10], x[15]);
			QUARTER(x[1], x[6], x[11], x[12]);
			QUARTER(x[2], x[7], x[8], x[13]);
			QUARTER(x[3], x[4], x[9], x[14]);
		}
		UNROLLED
		for (int i = 0; i < 16; i++)
			result ^= x[i] + start[i];
		start[12]++;
	}
	return result;
}

LICENSE("GPL");
