/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CRC-32 (IEEE 802.3) of the packet's first 256 bytes, four bits at a time through a table of 16 entries that the
 * program builds on its stack: loads whose address depends on data.
 */
#include "compute.h"

SECTION("xdp") int crc32_table(struct xdp_md *ctx)
{
	u32 table[16];
	u8 data[256];
	u32 crc = ~0u;

	if (!input(ctx, data, sizeof(data)))
		return 0;
	ROLLED
	for (u32 i = 0; i < 16; i++) {
		u32 entry = i;

		UNROLLED
		for (int bit = 0; bit < 4; bit++)
			entry = entry >> 1 ^ (0xedb88320 & -(entry & 1));
		table[i] = entry;
	}
	ROLLED
	for (u32 i = 0; i < sizeof(data); i++) {
		crc ^= data[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

LICENSE("GPL");
