/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Puts 96 inner frames into VXLAN: outer Ethernet, IPv4 with its checksum, UDP with a source port from a hash of the inner
 * addresses, VXLAN, then the inner frame's first 64 bytes. The result is a sum over what would be sent.
 */
#include "net.h"
#include "compute.h"

struct vxlan_header {
	u32 flags;
	u32 network;
};

/* Two bytes in front let everything behind the Ethernet header lie at multiples of four, here and in the inner frame. */
struct outer {
	u16 front;
	struct ethernet ethernet;
	struct ipv4 ip;
	struct udp udp;
	struct vxlan_header vxlan;
	u16 inner[32];
};

SECTION("xdp") int encapsulate(struct xdp_md *ctx)
{
	u8 frame[64] __attribute__((aligned(8)));
	struct outer outer;
	u32 result = 0;

	if (!input(ctx, frame, sizeof(frame)))
		return 0;
	__builtin_memset(&outer, 0, sizeof(outer));
	ROLLED
	for (u32 i = 0; i < 96; i++) {
		u32 source = *(u32 *)(frame + 28) + i, destination = *(u32 *)(frame + 32);
		u32 hash = (source ^ rotate32(destination, 16)) * 0x9e3779b1;

		copy_mac(outer.ethernet.destination, frame + 8);
		copy_mac(outer.ethernet.source, frame + 2);
		outer.ethernet.type = swap16(ETHERTYPE_IPV4);
		outer.ip.version_length = 0x45;
		outer.ip.length = swap16(20 + 8 + 8 + 64);
		outer.ip.id = i;
		outer.ip.ttl = 64;
		outer.ip.protocol = PROTOCOL_UDP;
		outer.ip.source = source ^ 0x0a;
		outer.ip.destination = destination ^ 0xac;
		outer.ip.checksum = 0;
		outer.ip.checksum = ~fold(sum_ipv4(&outer.ip));
		outer.udp.source = swap16(0xc000 | hash >> 18);
		outer.udp.destination = swap16(4789);
		outer.udp.length = swap16(8 + 8 + 64);
		outer.vxlan.flags = swap32(0x08000000);
		outer.vxlan.network = swap32((i + 1) << 8);
		UNROLLED
		for (u32 word = 0; word < 32; word++)
			outer.inner[word] = *(u16 *)(frame + 2 * word);
		*(u32 *)(frame + 28) = source;
		UNROLLED
		for (u32 word = 0; word < sizeof(outer) / 2; word++)
			result += ((u16 *)&outer)[word] * ((word & 7) | 1);
	}
	return result;
}

LICENSE("GPL");
