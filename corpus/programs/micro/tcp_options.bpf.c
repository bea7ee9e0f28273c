/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options of 11 TCP headers, 40 bytes each: kinds, lengths, the values of maximum segment size, window scale and time
 * stamps. A byte at a time with what is expected next, as a cursor into a packet costs a check at every step.
 */
#include "compute.h"

SECTION("xdp") int tcp_options(struct xdp_md *ctx)
{
	u8 options[440];
	u32 result = 0;

	if (!input(ctx, options, sizeof(options)))
		return 0;
	ROLLED
	for (int pass = 0; pass < 3; pass++) {
		ROLLED
		for (u32 header = 0; header < 11; header++) {
			u32 kind = 0, left = 0, value = 0, seen = 0, ended = 0;

			ROLLED
			for (u32 i = 0; i < 40; i++) {
				u32 c = options[40 * header + i];

				if (ended)
					continue;
				if (left) {
					value = value << 8 | c;
					if (--left)
						continue;
					if (kind == 2)
						result += value & 0xffff;
					else if (kind == 3)
						result += (value & 15) << 8;
					else if (kind == 8)
						result ^= value;
					seen++;
					kind = 0;
				} else if (kind) {
					/* The length has kind and length in it. */
					if (c < 3)
						kind = 0;
					else
						left = c - 2;
					value = 0;
				} else if (c == 0) {
					ended = 1;
				} else if (c != 1) {
					kind = c;
				}
			}
			result = result * 31 + seen;
		}
	}
	return result;
}

LICENSE("GPL");
