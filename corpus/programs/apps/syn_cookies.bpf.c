/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SYN cookies in front of a server: a SYN is answered with a SYN-ACK whose sequence number holds a keyed hash of the four-tuple, a
 * slow counter and the maximum segment size from the options; the ACK that brings it back is checked, and its sender's address
 * is let through from then on.
 */
#include "flow.h"
#include "siphash.h"

#define OPTION_BYTES 40

/* What the loader sets: the key, and a counter that moves every minute. */
volatile const u64 key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
volatile const u32 minute = 1000;
volatile const u16 protected_port = 443;

enum { COOKIE_SENT, COOKIE_VALID, COOKIE_WRONG, COOKIE_OLD, KNOWN, OTHER, OUTCOMES };

volatile u64 outcomes[OUTCOMES];

struct client {
	u64 packets;
	u32 segment_size;
	u32 confirmed_at;
};

MAP(clients, MAP_HASH, struct flow, struct client, 4096, 0);

/* SipHash-2-4 of 16 bytes. */
INLINE u64 siphash(u64 first, u64 second)
{
	u64 words[3] = { first, second, 16ull << 56 };
	u64 v0 = SIPHASH_V0 ^ key[0];
	u64 v1 = SIPHASH_V1 ^ key[1];
	u64 v2 = SIPHASH_V2 ^ key[0];
	u64 v3 = SIPHASH_V3 ^ key[1];

	UNROLLED
	for (int i = 0; i < 3; i++) {
		v3 ^= words[i];
		SIPHASH_ROUND(v0, v1, v2, v3);
		SIPHASH_ROUND(v0, v1, v2, v3);
		v0 ^= words[i];
	}
	v2 ^= 0xff;
	SIPHASH_ROUND(v0, v1, v2, v3);
	SIPHASH_ROUND(v0, v1, v2, v3);
	SIPHASH_ROUND(v0, v1, v2, v3);
	SIPHASH_ROUND(v0, v1, v2, v3);
	return v0 ^ v1 ^ v2 ^ v3;
}

/* 24 bits for the four-tuple in a minute; the sequence number of the SYN goes on top. */
INLINE u32 hash_of(const struct flow *flow, u32 at)
{
	u64 addresses = (u64)flow->destination << 32 | flow->source;
	u64 rest = (u64)at << 32 | (u32)flow->destination_port << 16 | flow->source_port;

	return siphash(addresses, rest) & 0xffffff;
}

/* The sizes that eight values stand for, the greatest that the client can take. */
INLINE u32 size_index(u32 size)
{
	if (size >= 8960)
		return 7;
	if (size >= 4312)
		return 6;
	if (size >= 1460)
		return 5;
	if (size >= 1440)
		return 4;
	if (size >= 1400)
		return 3;
	if (size >= 1220)
		return 2;
	return size >= 536;
}

INLINE u32 size_of_index(u32 index)
{
	switch (index) {
	case 7:
		return 8960;
	case 6:
		return 4312;
	case 5:
		return 1460;
	case 4:
		return 1440;
	case 3:
		return 1400;
	case 2:
		return 1220;
	case 1:
		return 536;
	default:
		return 216;
	}
}

/* The maximum segment size among the options, 536 without one (RFC 9293, section 3.7.1). */
INLINE u32 segment_size(struct tcp *tcp, void *end)
{
	u8 *at = (void *)(tcp + 1), *stop = (u8 *)tcp + (tcp->offset >> 4) * 4;
	u32 kind = 0, left = 0, value = 0;

	ROLLED
	for (int i = 0; i < OPTION_BYTES; i++) {
		u32 c;

		if (at >= stop || (void *)(at + 1) > end)
			break;
		c = *at++;
		if (left) {
			value = (value << 8 | c) & 0xffff;
			if (--left == 0) {
				if (kind == 2)
					return value;
				kind = 0;
			}
		} else if (kind) {
			if (c < 2)
				break;
			left = c - 2;
			if (!left)
				kind = 0;
			value = 0;
		} else if (c == 0) {
			break;
		} else if (c != 1) {
			kind = c;
		}
	}
	return 536;
}

/* Makes a SYN-ACK of the SYN, in place; options are left as they are and not counted. */
INLINE int answer(struct headers *headers, struct tcp *tcp, u32 cookie)
{
	struct ipv4 *ip = headers->ip;
	u32 address = ip->source, sequence = tcp->sequence, before;
	u16 port = tcp->source, old, window = tcp->window;
	u16 sum = tcp->checksum;
	u8 mac[6];

	tcp->acknowledgment = swap32(swap32(sequence) + 1);
	tcp->sequence = swap32(cookie);
	sum = checksum_replace32(sum, sequence, tcp->sequence);
	sum = checksum_replace32(sum, 0, tcp->acknowledgment);
	before = *(u16 *)&tcp->offset;
	tcp->flags = TCP_SYN | TCP_ACK;
	sum = checksum_replace16(sum, before, *(u16 *)&tcp->offset);
	tcp->window = swap16(0x7fff);
	tcp->checksum = checksum_replace16(sum, window, tcp->window);
	tcp->source = tcp->destination;
	tcp->destination = port;
	ip->source = ip->destination;
	ip->destination = address;
	old = *(u16 *)&ip->ttl;
	ip->ttl = 64;
	ip->checksum = checksum_replace16(ip->checksum, old, *(u16 *)&ip->ttl);
	copy_mac(mac, headers->ethernet->source);
	copy_mac(headers->ethernet->source, headers->ethernet->destination);
	copy_mac(headers->ethernet->destination, mac);
	outcomes[COOKIE_SENT]++;
	return XDP_TX;
}

/* Whether the ACK brings back a cookie of this minute or the one before. */
INLINE int check(struct flow *flow, struct tcp *tcp)
{
	u32 cookie = swap32(tcp->acknowledgment) - 1, start = swap32(tcp->sequence) - 1;
	u32 value = cookie - start;
	struct client client = { .packets = 1, .confirmed_at = minute };
	u32 age = (minute - (value >> 27)) & 31;

	if (age > 1) {
		outcomes[COOKIE_OLD]++;
		return XDP_DROP;
	}
	if ((value & 0xffffff) != hash_of(flow, minute - age)) {
		outcomes[COOKIE_WRONG]++;
		return XDP_DROP;
	}
	client.segment_size = size_of_index(value >> 24 & 7);
	map_update(&clients, flow, &client, MAP_ANY);
	outcomes[COOKIE_VALID]++;
	return XDP_PASS;
}

SECTION("xdp") int syn_cookies(struct xdp_md *ctx)
{
	void *end = packet_end(ctx);
	struct headers headers = {};
	struct flow flow = {};
	struct client *client;
	struct tcp *tcp;
	u32 cookie;

	if (find_headers(packet(ctx), end, &headers) != FOUND || headers.ip->protocol != PROTOCOL_TCP)
		goto other;
	tcp = headers.transport;
	if ((void *)(tcp + 1) > end)
		return XDP_DROP;
	if (tcp->destination != swap16(protected_port))
		goto other;
	flow.source = headers.ip->source;
	flow.destination = headers.ip->destination;
	flow.source_port = tcp->source;
	flow.destination_port = tcp->destination;
	flow.protocol = PROTOCOL_TCP;
	client = map_lookup(&clients, &flow);
	if (client) {
		client->packets++;
		outcomes[KNOWN]++;
		if (tcp->flags & (TCP_FIN | TCP_RST))
			map_delete(&clients, &flow);
		return XDP_PASS;
	}
	if ((tcp->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN) {
		/* Five bits of the minute, three of the size, 24 of the hash. */
		cookie = (minute & 31) << 27 | size_index(segment_size(tcp, end)) << 24 | hash_of(&flow, minute);
		return answer(&headers, tcp, cookie + swap32(tcp->sequence));
	}
	if ((tcp->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_ACK)
		return check(&flow, tcp);
	return XDP_DROP;
other:
	outcomes[OTHER]++;
	return XDP_PASS;
}

LICENSE("GPL");
