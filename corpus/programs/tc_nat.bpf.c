/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Source NAT on egress: a hash maps inner to outer endpoints, and the kernel's helper functions rewrite address,
 * port and both checksums.
 */
#include "net.h"

#define IP_OFFSET sizeof(struct ethernet)
#define L4_OFFSET (IP_OFFSET + sizeof(struct ipv4))
#define AT(type, field, base) ((base) + __builtin_offsetof(type, field))

struct endpoint {
	u32 address;
	u16 port;
	u16 protocol;
};

MAP(translations, MAP_HASH, struct endpoint, struct endpoint, 256, 0);

SECTION("tc") int tc_nat(struct __sk_buff *skb)
{
	struct ethernet *ethernet = packet(skb);
	struct ipv4 *ip = (void *)(ethernet + 1);
	struct udp *udp = (void *)(ip + 1);
	struct endpoint key = {}, *to;
	struct endpoint new;
	u32 checksum;
	u64 flags = 0;

	if ((void *)(udp + 1) > packet_end(skb))
		return TC_ACT_OK;
	if (ethernet->type != swap16(ETHERTYPE_IPV4) || ip->version_length != 0x45)
		return TC_ACT_OK;
	key.address = ip->source;
	key.port = udp->source;
	key.protocol = ip->protocol;
	if (key.protocol == PROTOCOL_TCP)
		checksum = AT(struct tcp, checksum, L4_OFFSET);
	else if (key.protocol == PROTOCOL_UDP)
		checksum = AT(struct udp, checksum, L4_OFFSET);
	else
		return TC_ACT_OK;
	to = map_lookup(&translations, &key);
	if (!to)
		return TC_ACT_SHOT;
	new = *to;
	if (key.protocol == PROTOCOL_UDP)
		flags = 0x20; /* BPF_F_MARK_MANGLED_0: a checksum of 0 stays 0 */
	l4_csum_replace(skb, checksum, key.address, new.address, PSEUDO_HEADER | flags | 4);
	l4_csum_replace(skb, checksum, key.port, new.port, flags | 2);
	l3_csum_replace(skb, AT(struct ipv4, checksum, IP_OFFSET), key.address, new.address, 4);
	skb_store_bytes(skb, AT(struct ipv4, source, IP_OFFSET), &new.address, 4, 0);
	skb_store_bytes(skb, L4_OFFSET, &new.port, 2, 0);
	skb->mark = 1;
	return TC_ACT_OK;
}

LICENSE("GPL");
