/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The five-tuples of seven frames of 64 bytes, hashed with 20 seeds: Ethernet with up to two VLAN tags, IPv4 or IPv6, TCP or
 * UDP; what is neither is counted. Frames lie behind one another; headers are found at offsets that depend on those before
 * them.
 */
#include "net.h"
#include "compute.h"

INLINE u32 hash_words(u32 hash, u32 word)
{
	return (rotate32(hash, 5) ^ word) * 0x9e3779b1;
}

/* Two bytes of the frame at `at` in network order; masks keep the verifier from asking. */
INLINE u32 word16(const u8 *frame, u32 at)
{
	return frame[at & 63] << 8 | frame[(at + 1) & 63];
}

INLINE u32 word32(const u8 *frame, u32 at)
{
	return word16(frame, at) << 16 | word16(frame, at + 2);
}

SECTION("xdp") int five_tuples(struct xdp_md *ctx)
{
	u8 frames[448];
	u32 result = 0, others = 0;

	if (!input(ctx, frames, sizeof(frames)))
		return 0;
	ROLLED
	for (u32 seed = 0; seed < 20; seed++) {
		ROLLED
		for (u32 i = 0; i < 7; i++) {
			const u8 *frame = frames + 64 * i;
			u32 at = 12, type = word16(frame, at), protocol, hash = seed;

			UNROLLED
			for (int tag = 0; tag < 2; tag++) {
				if (type == ETHERTYPE_VLAN || type == ETHERTYPE_QINQ) {
					hash = hash_words(hash, word16(frame, at + 2) & 0xfff);
					at += 4;
					type = word16(frame, at);
				}
			}
			at += 2;
			if (type == ETHERTYPE_IPV4) {
				u32 length = (frame[at & 63] & 15) * 4;

				protocol = frame[(at + 9) & 63];
				hash = hash_words(hash_words(hash, word32(frame, at + 12)), word32(frame, at + 16));
				at += length;
			} else if (type == ETHERTYPE_IPV6) {
				protocol = frame[(at + 6) & 63];
				UNROLLED
				for (u32 word = 8; word < 40; word += 4)
					hash = hash_words(hash, word32(frame, at + word));
				at += 40;
			} else {
				others++;
				continue;
			}
			if (protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP)
				hash = hash_words(hash, word32(frame, at));
			result += hash_words(hash, protocol);
		}
	}
	return result * 8 + others;
}

LICENSE("GPL");
