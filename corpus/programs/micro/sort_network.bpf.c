/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Batcher's odd-even merge sort of 16 words in registers and spills, a network of 63 comparators, on 24 variations
 * of the input: medians for rate estimates are found like this.
 */
#include "compute.h"

#define N 16

INLINE void order(u64 *a, u64 *b)
{
	u64 low = *a < *b ? *a : *b;
	u64 high = *a < *b ? *b : *a;

	*a = low;
	*b = high;
}

SECTION("xdp") int sort_network(struct xdp_md *ctx)
{
	u32 words[N];
	u64 v[N];
	u64 result = 0;

	if (!input(ctx, words, sizeof(words)))
		return 0;
	ROLLED
	for (int round = 0; round < 24; round++) {
		UNROLLED
		for (int i = 0; i < N; i++)
			v[i] = rotate32(words[i], 5) ^ (u32)(i * 0x9e3779b9 * round);
		UNROLLED
		for (int p = 1; p < N; p *= 2)
			UNROLLED
			for (int k = p; k >= 1; k /= 2)
				UNROLLED
				for (int j = k % p; j + k < N; j += 2 * k)
					UNROLLED
					for (int i = 0; i < k; i++)
						if (i + j + k < N && (i + j) / (2 * p) == (i + j + k) / (2 * p))
							order(&v[i + j], &v[i + j + k]);
		UNROLLED
		for (int i = 0; i < N; i++)
			words[i] = v[i];
		result = result * 1000003 + (v[7] + v[8]) / 2;
	}
	return (u32)(result ^ result >> 32);
}

LICENSE("GPL");
