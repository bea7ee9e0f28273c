/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UTF-8 in 448 bytes: characters are decoded and summed, and what is wrong is counted (too short, too long, stray). Then once
 * more from the eighth byte on, which may be in the middle of a character.
 */
#include "compute.h"

SECTION("xdp") int utf8_check(struct xdp_md *ctx)
{
	u8 text[448];
	u32 left = 0, value = 0, wrong = 0, sum = 0, least = 0;

	if (!input(ctx, text, sizeof(text)))
		return 0;
	ROLLED
	for (u32 start = 0; start <= 7; start += 7) {
		left = 0;
		ROLLED
		for (u32 i = start; i < sizeof(text); i++) {
			u32 c = text[i];

			if (left && (c & 0xc0) == 0x80) {
				value = value << 6 | (c & 0x3f);
				if (--left)
					continue;
				if (value < least)
					wrong++;
				else
					sum = sum * 31 + value;
				continue;
			}
			if (left) {
				wrong++;
				left = 0;
			}
			if (c < 0x80) {
				sum = sum * 31 + c;
			} else if ((c & 0xe0) == 0xc0) {
				value = c & 0x1f;
				left = 1;
				least = 0x80;
			} else if ((c & 0xf0) == 0xe0) {
				value = c & 0x0f;
				left = 2;
				least = 0x800;
			} else if ((c & 0xf8) == 0xf0) {
				value = c & 0x07;
				left = 3;
				least = 0x10000;
			} else {
				wrong++;
			}
		}
	}
	return sum ^ wrong << 24;
}

LICENSE("GPL");
