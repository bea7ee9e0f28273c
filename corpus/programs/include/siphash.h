/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SipHash (Aumasson and Bernstein, 2012): what the variants have in common, whatever their rounds and messages. */
#ifndef SIPHASH_H
#define SIPHASH_H

#include "compute.h"

/* What the state starts as, before the key: the first and the third take its first half, the others its second. */
#define SIPHASH_V0 0x736f6d6570736575
#define SIPHASH_V1 0x646f72616e646f6d
#define SIPHASH_V2 0x6c7967656e657261
#define SIPHASH_V3 0x7465646279746573

/* A macro, so that the state's four words stay variables of their own. */
#define SIPHASH_ROUND(v0, v1, v2, v3) \
	do {                              \
		v0 += v1;                     \
		v1 = rotate64(v1, 13);        \
		v1 ^= v0;                     \
		v0 = rotate64(v0, 32);        \
		v2 += v3;                     \
		v3 = rotate64(v3, 16);        \
		v3 ^= v2;                     \
		v0 += v3;                     \
		v3 = rotate64(v3, 21);        \
		v3 ^= v0;                     \
		v2 += v1;                     \
		v1 = rotate64(v1, 17);        \
		v1 ^= v2;                     \
		v2 = rotate64(v2, 32);        \
	} while (0)

#endif
