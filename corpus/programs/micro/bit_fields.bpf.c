/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fields of 60 headers of 64 bits, as GTP, MPLS, IPv6 and RTP have them: 4, 8, 20, 1, 7, 11 and 13 bits from the top, in
 * network order, collected in a sum with one weight for each. Eight times, each with another first byte.
 */
#include "compute.h"

SECTION("xdp") int bit_fields(struct xdp_md *ctx)
{
	u64 headers[60];
	u32 total = 0;

	if (!input(ctx, headers, sizeof(headers)))
		return 0;
	ROLLED
	for (u32 pass = 0; pass < 8; pass++) {
		ROLLED
		for (u32 i = 0; i < 60; i++) {
			u64 header = swap64(headers[i] ^ pass);
			u32 version = header >> 60;
			u32 class = header >> 52 & 0xff;
			u32 label = header >> 32 & 0xfffff;
			u32 marker = header >> 31 & 1;
			u32 type = header >> 24 & 0x7f;
			u32 code = header >> 13 & 0x7ff;
			u32 offset = header & 0x1fff;

			total = total * 31 + version + 3 * class + 5 * label + 7 * marker + 11 * type + 13 * code + 17 * offset;
		}
	}
	return total;
}

LICENSE("GPL");
