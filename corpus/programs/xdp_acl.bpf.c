/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An access list: the source address is looked up in an LPM trie of prefixes, whose value says pass or drop, and
 * every rule counts its packets and bytes per CPU. What is not IPv4 passes.
 */
#include "net.h"

struct prefix {
	u32 length;
	u32 address;
};

struct rule {
	u32 id;
	u32 action;
};

struct counter {
	u64 packets;
	u64 bytes;
};

MAP(rules, MAP_LPM_TRIE, struct prefix, struct rule, 64, MAP_NO_PREALLOC);
MAP(counters, MAP_PERCPU_ARRAY, u32, struct counter, 16, 0);

SECTION("xdp") int xdp_acl(struct xdp_md *ctx)
{
	struct ipv4 *ip = find_ipv4(ctx, 0);
	struct prefix key = { .length = 32 };
	struct counter *counter;
	struct rule *rule;
	u32 id = 0, action = XDP_DROP;

	if (!ip)
		return XDP_PASS;
	key.address = ip->source;
	rule = map_lookup(&rules, &key);
	if (rule) {
		id = rule->id;
		action = rule->action;
	}
	counter = map_lookup(&counters, &id);
	if (counter) {
		counter->packets++;
		counter->bytes += ctx->data_end - ctx->data;
	}
	return action;
}

LICENSE("GPL");
