/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names as DNS messages have them: labels with their length before them, ended by an empty one. Each name's hash is that of
 * its labels in lower case with a dot before each; the result is the sum. 448 bytes, whatever they hold, three times with what
 * came before in the hashes.
 */
#include "compute.h"

#define BASIS 0x811c9dc5
#define PRIME 0x01000193

SECTION("xdp") int dns_names(struct xdp_md *ctx)
{
	u8 bytes[448];
	u32 result = 0;

	if (!input(ctx, bytes, sizeof(bytes)))
		return 0;
	ROLLED
	for (int pass = 0; pass < 3; pass++) {
		u32 basis = BASIS ^ result, hash = basis, left = 0;

		ROLLED
		for (u32 i = 0; i < sizeof(bytes); i++) {
			u32 c = bytes[i];

			if (left) {
				if (c >= 'A' && c <= 'Z')
					c += 'a' - 'A';
				hash = (hash ^ c) * PRIME;
				left--;
				continue;
			}
			left = c & 63;
			if (left) {
				hash = (hash ^ '.') * PRIME;
			} else {
				result += hash;
				hash = basis;
			}
		}
		result += hash;
	}
	return result;
}

LICENSE("GPL");
