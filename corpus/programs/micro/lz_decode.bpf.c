/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unpacks a small LZ77 stream from the packet into 128 bytes of stack, six times. A control bit for each group of
 * four bytes says literal or match; both have four bytes in the stream, which keeps the verifier's states few, of
 * which a match reads one, the distance less one. Matches overlap what they write; loads depend on stores just
 * before. The result is a hash of the output.
 */
#include "compute.h"

#define SIZE 128

SECTION("xdp") int lz_decode(struct xdp_md *ctx)
{
	u8 stream[136];
	u8 output[SIZE];
	u32 hash = 0;

	if (!input(ctx, stream, sizeof(stream)))
		return 0;
	__builtin_memset(output, 0, sizeof(output));
	ROLLED
	for (u32 round = 0; round < 6; round++) {
		u32 control = *(u32 *)stream;
		u32 next = 4;

		ROLLED
		for (u32 at = 0; at < SIZE; at += 4) {
			if (control >> (at / 4) & 1) {
				u32 from = at - 1 - stream[next];

				ROLLED
				for (u32 i = 0; i < 4; i++)
					output[at + i] = output[(from + i) & (SIZE - 1)];
			} else {
				UNROLLED
				for (u32 i = 0; i < 4; i++)
					output[at + i] = stream[next + i];
			}
			next += 4;
		}
		ROLLED
		for (u32 at = 0; at < SIZE; at++)
			hash = hash * 31 + output[at];
	}
	return hash;
}

LICENSE("GPL");
