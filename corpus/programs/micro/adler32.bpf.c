/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Adler-32 (RFC 1950) of 256 bytes; both sums are kept below the modulus by a comparison at every byte. */
#include "compute.h"

#define MODULUS 65521

SECTION("xdp") int adler32(struct xdp_md *ctx)
{
	u8 data[256];
	u32 a = 1, b = 0;

	if (!input(ctx, data, sizeof(data)))
		return 0;
	ROLLED
	for (u32 i = 0; i < sizeof(data); i++) {
		a += data[i];
		if (a >= MODULUS)
			a -= MODULUS;
		b += a;
		if (b >= MODULUS)
			b -= MODULUS;
	}
	return b << 16 | a;
}

LICENSE("GPL");
