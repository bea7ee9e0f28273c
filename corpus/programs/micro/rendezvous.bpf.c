/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rendezvous hashing: each of 60 flows goes to that of 12 backends whose hash with the flow is the greatest. Load balancers
 * without a table choose so.
 */
#include "compute.h"

SECTION("xdp") int rendezvous(struct xdp_md *ctx)
{
	u64 flows[60];
	u32 result = 0;

	if (!input(ctx, flows, sizeof(flows)))
		return 0;
	ROLLED
	for (u32 seed = 0; seed < 2; seed++) {
		ROLLED
		for (u32 i = 0; i < 60; i++) {
			u32 best = 0, chosen = 0;

			ROLLED
			for (u32 backend = 0; backend < 12; backend++) {
				u64 hash = (flows[i] ^ seed ^ backend * 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
				u32 weight = hash >> 32;

				if (weight > best) {
					best = weight;
					chosen = backend;
				}
			}
			result = result * 13 + chosen;
		}
	}
	return result;
}

LICENSE("GPL");
