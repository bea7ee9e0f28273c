/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For programs that only compute: they read the first bytes of the packet, call no helper function and have no
 * map, so that anything that runs eBPF can run them, and each run does the same again.
 */
#ifndef COMPUTE_H
#define COMPUTE_H

#include "bpf.h"

/* Copies the first `size` bytes of the packet, a constant multiple of 8, to the stack; 0 when there are fewer. */
INLINE int input(const struct xdp_md *ctx, void *to, u32 size)
{
	const u64 *from = packet(ctx);
	u64 *words = to;

	if ((void *)from + size > packet_end(ctx))
		return 0;
	UNROLLED
	for (u32 i = 0; i < size / 8; i++)
		words[i] = from[i];
	return 1;
}

INLINE u32 rotate32(u32 x, u32 by)
{
	return x << by | x >> (32 - by);
}

INLINE u64 rotate64(u64 x, u32 by)
{
	return x << by | x >> (64 - by);
}

/* Keeps the compiler from knowing a value, and from folding loops over it. */
#define opaque(x) asm volatile("" : "+r"(x))

#endif
