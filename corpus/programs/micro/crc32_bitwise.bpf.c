/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CRC-32 (IEEE 802.3, reflected) of the packet's first 168 bytes, bit by bit: shifts and masks in a dependent chain. */
#include "compute.h"

SECTION("xdp") int crc32_bitwise(struct xdp_md *ctx)
{
	u8 data[168];
	u32 crc = ~0u;

	if (!input(ctx, data, sizeof(data)))
		return 0;
	ROLLED
	for (u32 i = 0; i < sizeof(data); i++) {
		crc ^= data[i];
		UNROLLED
		for (int bit = 0; bit < 8; bit++) {
			u32 low = crc & 1;

			/* Multiplied and not masked: the verifier follows both values of a mask. */
			opaque(low);
			crc = crc >> 1 ^ 0xedb88320 * low;
		}
	}
	return ~crc;
}

LICENSE("GPL");
