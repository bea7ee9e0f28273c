/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SHA-256 (FIPS 180-4) of the packet's first 192 bytes, which is four blocks with the padding: 64 rounds each of
 * rotations and additions with a schedule of 16 words on the stack. The result is the first word of the digest.
 * The longest program here.
 */
#include "compute.h"

static const u32 constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

INLINE u32 right(u32 x, u32 by)
{
	return rotate32(x, 32 - by);
}

INLINE u32 small_sigma(u32 x, u32 a, u32 b, u32 shift)
{
	return right(x, a) ^ right(x, b) ^ x >> shift;
}

INLINE u32 big_sigma(u32 x, u32 a, u32 b, u32 c)
{
	return right(x, a) ^ right(x, b) ^ right(x, c);
}

/* The compression function. It returns the first word: without a result, r0 could leave as a pointer to the stack. */
FUNCTION u32 compress(u32 *state, u32 *schedule)
{
	u32 a = state[0], b = state[1], c = state[2], d = state[3];
	u32 e = state[4], f = state[5], g = state[6], h = state[7];

	/* Unrolled, so that the constants become immediates: a table would be a map. */
	UNROLLED
	for (int i = 0; i < 64; i++) {
		u32 word, t1, t2;

		/* The schedule stays in memory: with the state it is more than there are registers. */
		asm volatile("" : : "r"(schedule) : "memory");
		word = schedule[i % 16];
		if (i >= 16) {
			word += small_sigma(schedule[(i + 1) % 16], 7, 18, 3) + schedule[(i + 9) % 16];
			word += small_sigma(schedule[(i + 14) % 16], 17, 19, 10);
			schedule[i % 16] = word;
		}
		t1 = h + big_sigma(e, 6, 11, 25) + ((e & f) ^ (~e & g)) + constants[i] + word;
		t2 = big_sigma(a, 2, 13, 22) + ((a & b) ^ (a & c) ^ (b & c));
		h = g;
		g = f;
		f = e;
		e = d + t1;
		d = c;
		c = b;
		b = a;
		a = t1 + t2;
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
	state[4] += e;
	state[5] += f;
	state[6] += g;
	state[7] += h;
	return state[0];
}

SECTION("xdp") int sha256(struct xdp_md *ctx)
{
	/* Not copied: with the frame of the function it would be more than the stack has. */
	const u32 *message = packet(ctx);
	u32 schedule[16];
	u32 state[8];

	if ((void *)(message + 48) > packet_end(ctx))
		return 0;
	state[0] = 0x6a09e667;
	state[1] = 0xbb67ae85;
	state[2] = 0x3c6ef372;
	state[3] = 0xa54ff53a;
	state[4] = 0x510e527f;
	state[5] = 0x9b05688c;
	state[6] = 0x1f83d9ab;
	state[7] = 0x5be0cd19;
	ROLLED
	for (u32 block = 0; block < 3; block++) {
		ROLLED
		for (u32 i = 0; i < 16; i++)
			schedule[i] = swap32(message[16 * block + i]);
		compress(state, schedule);
	}
	__builtin_memset(schedule, 0, sizeof(schedule));
	schedule[0] = 0x80000000;
	schedule[15] = 8 * 192;
	return compress(state, schedule);
}

LICENSE("GPL");
