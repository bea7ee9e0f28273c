/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The queue of 320 packets by their DSCP (RFC 4594) and again by another one, a switch over small constants, with a weight for
 * each queue. Clang makes comparisons of it, as eBPF has no jump through a table.
 */
#include "compute.h"

INLINE u32 queue_of(u32 dscp)
{
	switch (dscp) {
	case 48:
	case 56:
		return 7;
	case 46:
	case 44:
		return 6;
	case 40:
		return 5;
	case 34:
	case 36:
	case 38:
		return 4;
	case 32:
		return 12;
	case 26:
	case 28:
	case 30:
		return 3;
	case 24:
		return 11;
	case 18:
	case 20:
	case 22:
		return 2;
	case 16:
		return 10;
	case 10:
	case 12:
	case 14:
		return 1;
	case 8:
		return 9;
	default:
		return 0;
	}
}

SECTION("xdp") int service_class(struct xdp_md *ctx)
{
	u8 services[320];
	u32 result = 0;

	if (!input(ctx, services, sizeof(services)))
		return 0;
	ROLLED
	for (u32 other = 0; other < 64; other += 46) {
		ROLLED
		for (u32 i = 0; i < sizeof(services); i++)
			result = result * 13 + queue_of(services[i] >> 2 ^ other);
	}
	return result;
}

LICENSE("GPL");
