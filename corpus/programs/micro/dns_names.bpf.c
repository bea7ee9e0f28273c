/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names as DNS messages have them: labels with their length before them, ended by an empty one. Each name's hash is that of
 * its labels in lower case with a dot before each; the result is the sum. 320 bytes, whatever they hold.
 */
#include "compute.h"

#define BASIS 0x811c9dc5
#define PRIME 0x01000193

SECTION("xdp") int dns_names(struct xdp_md *ctx)
{
	u8 bytes[320];
	u32 hash = BASIS, left = 0, result = 0;

	if (!input(ctx, bytes, sizeof(bytes)))
		return 0;
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
			hash = BASIS;
		}
	}
	return result + hash;
}

LICENSE("GPL");
