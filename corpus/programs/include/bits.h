/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The place of a bit, by halves, as there is no instruction for it. */
#ifndef BITS_H
#define BITS_H

#include "bpf.h"

/* The index of the lowest bit that is set; 63 for 0. */
INLINE u32 lowest_bit(u64 x)
{
	u32 index = 0;

	if (!(x & 0xffffffff)) {
		index += 32;
		x >>= 32;
	}
	if (!(x & 0xffff)) {
		index += 16;
		x >>= 16;
	}
	if (!(x & 0xff)) {
		index += 8;
		x >>= 8;
	}
	if (!(x & 0xf)) {
		index += 4;
		x >>= 4;
	}
	if (!(x & 3)) {
		index += 2;
		x >>= 2;
	}
	return index + !(x & 1);
}

#endif
