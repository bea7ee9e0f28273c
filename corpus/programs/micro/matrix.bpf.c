/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A 6 by 6 matrix of 32-bit integers from packet bytes, squared eight times, row by column, on the stack: three
 * nested loops with multiply and add, the shape of small models that score flows. The result is the trace.
 */
#include "compute.h"

#define N 6

SECTION("xdp") int matrix(struct xdp_md *ctx)
{
	u8 bytes[40];
	u32 a[N][N], b[N][N];
	u32 trace = 0;

	if (!input(ctx, bytes, sizeof(bytes)))
		return 0;
	ROLLED
	for (u32 i = 0; i < N * N; i++)
		(&a[0][0])[i] = bytes[i];
	ROLLED
	for (int square = 0; square < 8; square++) {
		ROLLED
		for (u32 i = 0; i < N; i++) {
			ROLLED
			for (u32 j = 0; j < N; j++) {
				u32 sum = 0;

				ROLLED
				for (u32 k = 0; k < N; k++)
					sum += a[i][k] * a[k][j];
				b[i][j] = sum;
			}
		}
		ROLLED
		for (u32 i = 0; i < N * N; i++)
			(&a[0][0])[i] = (&b[0][0])[i];
	}
	ROLLED
	for (u32 i = 0; i < N; i++)
		trace += a[i][i];
	return trace;
}

LICENSE("GPL");
