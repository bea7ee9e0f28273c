/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 384 hexadecimal digits of either case to numbers: the sum of 32-bit numbers in them, and what is no digit is counted, from
 * the first digit on and again from the second. Trace identifiers in headers are read so.
 */
#include "compute.h"

SECTION("xdp") int hex_decode(struct xdp_md *ctx)
{
	u8 text[384];
	u32 value = 0, total = 0, wrong = 0;

	if (!input(ctx, text, sizeof(text)))
		return 0;
	ROLLED
	for (u32 start = 0; start < 2; start++) {
		ROLLED
		for (u32 i = start; i < sizeof(text); i++) {
			u32 c = text[i], digit;

			if (c >= '0' && c <= '9')
				digit = c - '0';
			else if (c >= 'a' && c <= 'f')
				digit = c - 'a' + 10;
			else if (c >= 'A' && c <= 'F')
				digit = c - 'A' + 10;
			else {
				wrong++;
				continue;
			}
			value = value << 4 | digit;
			if (((i - start) & 7) == 7)
				total += value;
		}
	}
	return total * 31 + wrong;
}

LICENSE("GPL");
