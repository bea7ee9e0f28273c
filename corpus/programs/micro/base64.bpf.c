/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Encodes the packet's first 96 bytes in base64 (RFC 4648) five times, without a table, and hashes the text with
 * FNV-1a: tokens and cookies in headers.
 */
#include "compute.h"

/* The digit of a value below 64, chosen without branches: the verifier would follow both ways of each. */
INLINE u8 digit(u32 value)
{
	u32 text = value + 'A';

	text += ('a' - 'Z' - 1) & -((25 - value) >> 31);
	text -= ('z' - '0' + 1) & -((51 - value) >> 31);
	text -= ('9' + 1 - '+') & -((61 - value) >> 31);
	text += ('/' - '+' - 1) & -((62 - value) >> 31);
	return text;
}

SECTION("xdp") int base64(struct xdp_md *ctx)
{
	u8 data[96];
	u32 hash = 0x811c9dc5;

	if (!input(ctx, data, sizeof(data)))
		return 0;
	ROLLED
	for (int round = 0; round < 5; round++) {
		ROLLED
		for (u32 i = 0; i < sizeof(data); i += 3) {
			u32 group = data[i] << 16 | data[i + 1] << 8 | data[i + 2];

			ROLLED
			for (int shift = 18; shift >= 0; shift -= 6) {
				hash ^= digit(group >> shift & 63);
				hash *= 0x01000193;
			}
		}
	}
	return hash;
}

LICENSE("GPL");
