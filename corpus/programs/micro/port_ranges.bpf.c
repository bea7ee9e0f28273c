/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Classes of 240 ports and of the three beside each, by ranges, first match first: the rules of an access list compiled into
 * comparisons.
 */
#include "compute.h"

INLINE u32 class_of(u32 port)
{
	if (port < 20)
		return 1;
	if (port >= 5060 && port <= 5061)
		return 2;
	if (port >= 16384 && port < 32768)
		return 3;
	if (port < 1024)
		return 4;
	if (port >= 49152)
		return port & 1 ? 5 : 6;
	if (port >= 6000 && port < 6064)
		return 7;
	if (port >= 8000 && port < 9000)
		return 8;
	if (port >= 33434 && port <= 33534)
		return 9;
	return port < 32768 ? 10 : 11;
}

SECTION("xdp") int port_ranges(struct xdp_md *ctx)
{
	u16 ports[240];
	u32 result = 0;

	if (!input(ctx, ports, sizeof(ports)))
		return 0;
	ROLLED
	for (u32 other = 0; other < 4; other++) {
		ROLLED
		for (u32 i = 0; i < 240; i++)
			result = result * 12 + class_of(swap16(ports[i]) ^ other);
	}
	return result;
}

LICENSE("GPL");
