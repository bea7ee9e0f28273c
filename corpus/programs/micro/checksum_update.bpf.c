/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Incremental checksums (RFC 1624) of 24 IPv4 headers, each through 16 routers: the time to live goes down, and the
 * source address is another one at every second.
 */
#include "compute.h"

INLINE u32 fold32(u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

SECTION("xdp") int checksum_update(struct xdp_md *ctx)
{
	u16 headers[24 * 10];
	u32 result = 0;

	if (!input(ctx, headers, sizeof(headers)))
		return 0;
	ROLLED
	for (u32 i = 0; i < 24; i++) {
		u16 *header = headers + 10 * i;
		u32 sum = 0;

		/* The checksum is the word behind time to live and protocol. */
		header[5] = 0;
		UNROLLED
		for (int word = 0; word < 10; word++)
			sum += header[word];
		u16 checksum = ~fold32(sum);

		ROLLED
		for (int hop = 0; hop < 16; hop++) {
			u16 old = header[4], new = (old & 0xff00) | ((old - 1) & 0xff);

			header[4] = new;
			checksum = ~fold32((u16)~checksum + (u16)~old + new);
			if (hop & 1) {
				u32 from = header[6] | (u32)header[7] << 16, to = from * 5 + hop;

				header[6] = to;
				header[7] = to >> 16;
				checksum = ~fold32((u16)~checksum + (u16)~from + (u16)~(from >> 16) + (u16)to + (to >> 16));
			}
			result = result * 31 + checksum;
		}
	}
	return result;
}

LICENSE("GPL");
