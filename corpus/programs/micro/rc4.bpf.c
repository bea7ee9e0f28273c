/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RC4 with a key of 16 bytes: bytes of a table on the stack change places at indices that depend on data. */
#include "compute.h"

SECTION("xdp") int rc4(struct xdp_md *ctx)
{
	u8 key[16], table[256];
	u32 j = 0, result = 0;

	if (!input(ctx, key, sizeof(key)))
		return 0;
	ROLLED
	for (u32 i = 0; i < 256; i++)
		table[i] = i;
	ROLLED
	for (u32 i = 0; i < 256; i++) {
		u8 own = table[i];

		j = (j + own + key[i & 15]) & 255;
		table[i] = table[j];
		table[j] = own;
	}
	j = 0;
	ROLLED
	for (u32 i = 1; i <= 128; i++) {
		u8 own = table[i & 255], other;

		j = (j + own) & 255;
		other = table[j];
		table[i & 255] = other;
		table[j] = own;
		result = result * 31 + table[(own + other) & 255];
	}
	return result;
}

LICENSE("GPL");
