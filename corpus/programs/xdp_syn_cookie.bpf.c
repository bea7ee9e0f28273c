/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers a SYN with a SYN-ACK whose sequence number is a cookie, a keyed hash of the four-tuple, without state:
 * swaps the addresses and computes both checksums from nothing. The key is global data that the loader sets.
 */
#include "net.h"
#include "siphash.h"

volatile const u64 key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
volatile u64 cookies;

/* SipHash-1-3 of 16 bytes. */
FUNCTION u32 cookie(u64 first, u64 second)
{
	u64 v0 = SIPHASH_V0 ^ key[0];
	u64 v1 = SIPHASH_V1 ^ key[1];
	u64 v2 = SIPHASH_V2 ^ key[0];
	u64 v3 = SIPHASH_V3 ^ key[1];

	v3 ^= first;
	SIPHASH_ROUND(v0, v1, v2, v3);
	v0 ^= first;
	v3 ^= second;
	SIPHASH_ROUND(v0, v1, v2, v3);
	v0 ^= second;
	v3 ^= 16ull << 56;
	SIPHASH_ROUND(v0, v1, v2, v3);
	v0 ^= 16ull << 56;
	v2 ^= 0xff;
	SIPHASH_ROUND(v0, v1, v2, v3);
	SIPHASH_ROUND(v0, v1, v2, v3);
	SIPHASH_ROUND(v0, v1, v2, v3);
	return v0 ^ v1 ^ v2 ^ v3;
}

SECTION("xdp") int xdp_syn_cookie(struct xdp_md *ctx)
{
	struct ethernet *ethernet = packet(ctx);
	struct ipv4 *ip = find_ipv4(ctx, sizeof(struct tcp));
	struct tcp *tcp;
	u8 mac[6];
	u32 address;
	u64 sum;
	u16 port;

	if (!ip || ip->protocol != PROTOCOL_TCP || ip->length != swap16(40))
		return XDP_PASS;
	tcp = (void *)(ip + 1);
	if (tcp->offset != 5 << 4 || (tcp->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN)
		return XDP_PASS;
	tcp->acknowledgment = swap32(swap32(tcp->sequence) + 1);
	tcp->sequence = swap32(cookie((u64)ip->destination << 32 | ip->source, *(u32 *)tcp));
	tcp->flags = TCP_SYN | TCP_ACK;
	tcp->window = swap16(0x7fff);
	port = tcp->source;
	tcp->source = tcp->destination;
	tcp->destination = port;
	address = ip->source;
	ip->source = ip->destination;
	ip->destination = address;
	ip->ttl = 64;
	ip->checksum = 0;
	ip->checksum = ~fold(sum_ipv4(ip));
	tcp->checksum = 0;
	sum = (u64)ip->source + ip->destination + swap16(PROTOCOL_TCP) + swap16(sizeof(struct tcp));
	UNROLLED
	for (u32 i = 0; i < sizeof(struct tcp) / 4; i++)
		sum += ((u32 *)tcp)[i];
	tcp->checksum = ~fold(sum);
	copy_mac(mac, ethernet->source);
	copy_mac(ethernet->source, ethernet->destination);
	copy_mac(ethernet->destination, mac);
	__sync_fetch_and_add(&cookies, 1);
	return XDP_TX;
}

LICENSE("GPL");
