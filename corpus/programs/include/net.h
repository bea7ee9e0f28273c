/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Protocol headers as they are on the wire, and the Internet checksum (RFC 1071, RFC 1624). */
#ifndef NET_H
#define NET_H

#include "bpf.h"

enum { ETHERTYPE_IPV4 = 0x0800, ETHERTYPE_VLAN = 0x8100, ETHERTYPE_IPV6 = 0x86dd, ETHERTYPE_QINQ = 0x88a8 };
enum { PROTOCOL_ICMP = 1, PROTOCOL_TCP = 6, PROTOCOL_UDP = 17, PROTOCOL_ICMPV6 = 58 };

struct ethernet {
	u8 destination[6];
	u8 source[6];
	u16 type;
};

struct vlan {
	u16 tag;
	u16 type;
};

struct ipv4 {
	u8 version_length;
	u8 service;
	u16 length;
	u16 id;
	u16 fragment;
	u8 ttl;
	u8 protocol;
	u16 checksum;
	u32 source;
	u32 destination;
};

struct ipv6 {
	u32 version_class_flow;
	u16 length;
	u8 next;
	u8 hop_limit;
	u32 source[4];
	u32 destination[4];
};

struct tcp {
	u16 source;
	u16 destination;
	u32 sequence;
	u32 acknowledgment;
	u8 offset;
	u8 flags;
	u16 window;
	u16 checksum;
	u16 urgent;
};

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

struct udp {
	u16 source;
	u16 destination;
	u16 length;
	u16 checksum;
};

struct icmp {
	u8 type;
	u8 code;
	u16 checksum;
	u16 id;
	u16 sequence;
};

/* Folds a sum of 16-bit words to 16 bits. */
INLINE u16 fold(u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The checksum after a 16-bit word in what it covers changed. */
INLINE u16 checksum_replace16(u16 checksum, u16 from, u16 to)
{
	return ~fold((u64)(u16)~checksum + (u16)~from + to);
}

/* The checksum after a 32-bit word in what it covers changed. */
INLINE u16 checksum_replace32(u16 checksum, u32 from, u32 to)
{
	return ~fold((u64)(u16)~checksum + (u32)~from + to);
}

/* The sum of the 20 bytes of an IPv4 header without options. */
INLINE u64 sum_ipv4(const struct ipv4 *ip)
{
	const u16 *words = (const u16 *)ip;
	u64 sum = 0;

	UNROLLED
	for (int i = 0; i < 10; i++)
		sum += words[i];
	return sum;
}

INLINE void copy_mac(u8 *to, const u8 *from)
{
	((u16 *)to)[0] = ((const u16 *)from)[0];
	((u16 *)to)[1] = ((const u16 *)from)[1];
	((u16 *)to)[2] = ((const u16 *)from)[2];
}

/* The IPv4 header of a frame, if it has one without options and with `extra` bytes behind it. */
INLINE struct ipv4 *find_ipv4(struct xdp_md *ctx, u32 extra)
{
	struct ethernet *ethernet = packet(ctx);
	struct ipv4 *ip = (void *)(ethernet + 1);

	if ((void *)(ip + 1) + extra > packet_end(ctx))
		return NULL;
	if (ethernet->type != swap16(ETHERTYPE_IPV4) || ip->version_length != 0x45)
		return NULL;
	return ip;
}

#endif
