/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Marks traffic by port range: a table in read-only data gives each range a DSCP (RFC 2474), which is written into
 * IPv4 with its checksum, or into IPv6. The table is searched in a bounded loop; the header's checksum comes from
 * csum_diff.
 */
#include "net.h"

struct range {
	u16 low;
	u16 high;
	u32 dscp;
};

static volatile const struct range ranges[] = {
	{ 22, 22, 16 },     { 53, 53, 46 },    { 80, 80, 10 },        { 443, 443, 18 },
	{ 5060, 5061, 40 }, { 8000, 8999, 8 }, { 10000, 20000, 46 },
};

INLINE u32 classify(u16 port)
{
	ROLLED
	for (u32 i = 0; i < LENGTH(ranges); i++) {
		if (port >= ranges[i].low && port <= ranges[i].high)
			return ranges[i].dscp;
	}
	return 0;
}

SECTION("tc") int tc_dscp(struct __sk_buff *skb)
{
	struct ethernet *ethernet = packet(skb);
	void *end = packet_end(skb);
	u32 dscp;

	if ((void *)(ethernet + 1) > end)
		return TC_ACT_OK;
	if (ethernet->type == swap16(ETHERTYPE_IPV4)) {
		struct ipv4 *ip = (void *)(ethernet + 1);
		struct udp *udp = (void *)(ip + 1);
		u32 from, to;

		if ((void *)(udp + 1) > end || ip->version_length != 0x45)
			return TC_ACT_OK;
		dscp = classify(swap16(udp->destination));
		from = *(u32 *)ip;
		ip->service = dscp << 2 | (ip->service & 3);
		to = *(u32 *)ip;
		ip->checksum = ~fold(csum_diff(&from, 4, &to, 4, (u16)~ip->checksum));
	} else if (ethernet->type == swap16(ETHERTYPE_IPV6)) {
		struct ipv6 *ip = (void *)(ethernet + 1);
		struct udp *udp = (void *)(ip + 1);

		if ((void *)(udp + 1) > end)
			return TC_ACT_OK;
		dscp = classify(swap16(udp->destination));
		ip->version_class_flow &= ~swap32(0x0fc00000);
		ip->version_class_flow |= swap32(dscp << 22);
	} else {
		return TC_ACT_OK;
	}
	skb->priority = dscp >> 3;
	return TC_ACT_OK;
}

LICENSE("GPL");
