/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-1 of 256 bytes: four blocks of data and one of padding, in a loop, the schedule in 16 words; the digest's first word. */
#include "compute.h"

SECTION("xdp") int sha1(struct xdp_md *ctx)
{
	u32 message[80], w[16];
	u32 h0 = 0x67452301, h1 = 0xefcdab89, h2 = 0x98badcfe, h3 = 0x10325476, h4 = 0xc3d2e1f0;

	if (!input(ctx, message, 256))
		return 0;
	/* The padding: a bit, zeros and the length in bits. */
	__builtin_memset(message + 64, 0, 64);
	message[64] = 0x80;
	message[79] = swap32(256 * 8);
	ROLLED
	for (u32 block = 0; block < 5; block++) {
		u32 a = h0, b = h1, c = h2, d = h3, e = h4;

		ROLLED
		for (u32 i = 0; i < 80; i++) {
			u32 f, next;

			if (i < 16)
				w[i] = swap32(message[16 * block + i]);
			else
				w[i & 15] = rotate32(w[(i + 13) & 15] ^ w[(i + 8) & 15] ^ w[(i + 2) & 15] ^ w[i & 15], 1);
			if (i < 20)
				f = ((b & c) | (~b & d)) + 0x5a827999;
			else if (i < 40)
				f = (b ^ c ^ d) + 0x6ed9eba1;
			else if (i < 60)
				f = ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
			else
				f = (b ^ c ^ d) + 0xca62c1d6;
			next = rotate32(a, 5) + f + e + w[i & 15];
			e = d;
			d = c;
			c = rotate32(b, 30);
			b = a;
			a = next;
		}
		h0 += a;
		h1 += b;
		h2 += c;
		h3 += d;
		h4 += e;
	}
	return h0;
}

LICENSE("GPL");
