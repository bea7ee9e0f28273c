/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Adler-32 (RFC 1950) of 448 bytes, four times; the sums are reduced at every sixteenth byte. */
#include "compute.h"

#define MODULUS 65521

SECTION("xdp") int adler32(struct xdp_md *ctx)
{
	u8 data[448];
	u32 a = 1, b = 0;

	if (!input(ctx, data, sizeof(data)))
		return 0;
	ROLLED
	for (int pass = 0; pass < 4; pass++) {
		ROLLED
		for (u32 i = 0; i < sizeof(data); i++) {
			a += data[i];
			b += a;
			if ((i & 15) == 15) {
				a %= MODULUS;
				b %= MODULUS;
			}
		}
	}
	return b << 16 | a;
}

LICENSE("GPL");
