/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pops up to two VLAN tags (802.1Q in 802.1ad) and counts what each VLAN sends: moves the MAC addresses forward
 * and the packet's start behind the old ones. A bounded loop over headers of unknown number.
 */
#include "net.h"

MAP(packets_of_vlan, MAP_ARRAY, u32, u64, 4096, 0);

SECTION("xdp") int xdp_vlan(struct xdp_md *ctx)
{
	struct ethernet *ethernet = packet(ctx);
	void *end = packet_end(ctx);
	struct vlan *tag = (void *)(ethernet + 1);
	u8 addresses[12];
	u16 type;
	u32 id = 0, tags = 0;
	u64 *count;

	if ((void *)(ethernet + 1) > end)
		return XDP_DROP;
	type = ethernet->type;
	UNROLLED
	for (int i = 0; i < 2; i++) {
		if (type != swap16(ETHERTYPE_VLAN) && type != swap16(ETHERTYPE_QINQ))
			break;
		if ((void *)(tag + 1) > end)
			return XDP_DROP;
		id = swap16(tag->tag) & 0xfff;
		type = tag->type;
		tag++;
		tags++;
	}
	if (!tags)
		return XDP_PASS;
	copy_mac(addresses, ethernet->destination);
	copy_mac(addresses + 6, ethernet->source);
	if (xdp_adjust_head(ctx, tags * sizeof(struct vlan)))
		return XDP_ABORTED;
	ethernet = packet(ctx);
	if ((void *)(ethernet + 1) > packet_end(ctx))
		return XDP_ABORTED;
	copy_mac(ethernet->destination, addresses);
	copy_mac(ethernet->source, addresses + 6);
	count = map_lookup(&packets_of_vlan, &id);
	if (count)
		__sync_fetch_and_add(count, 1);
	return XDP_PASS;
}

LICENSE("GPL");
