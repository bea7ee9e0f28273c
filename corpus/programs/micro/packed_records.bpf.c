/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 36 records of 13 bytes without alignment, as protocols on top of TCP have them, from each of the first 16 bytes on: a
 * 32-bit and a 16-bit number in network order, a 32-bit and a 16-bit one in little-endian order, and a flag. A packed
 * structure is read byte by byte.
 */
#include "compute.h"

struct record {
	u32 sequence;
	u16 length;
	u32 session;
	u16 port;
	u8 flag;
} __attribute__((packed));

SECTION("xdp") int packed_records(struct xdp_md *ctx)
{
	u8 bytes[488];
	u32 total = 0;

	if (!input(ctx, bytes, sizeof(bytes)))
		return 0;
	ROLLED
	for (u32 start = 0; start < 16; start++) {
		ROLLED
		for (u32 i = 0; i < 36; i++) {
			const struct record *record = (void *)(bytes + start + sizeof(*record) * i);

			total += swap32(record->sequence) ^ record->session;
			total = rotate32(total, 5) + swap16(record->length) * 3 + record->port;
			if (record->flag & 1)
				total ^= 0x5bd1e995;
		}
	}
	return total;
}

LICENSE("GPL");
