/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The number of primes below 2048 by the sieve of Eratosthenes, a bit for each odd number: stores to computed bits. */
#include "compute.h"

#define LIMIT 2048

SECTION("xdp") int sieve(struct xdp_md *ctx)
{
	u64 composite[LIMIT / 128];
	u32 primes = 1;

	__builtin_memset(composite, 0, sizeof(composite));
	ROLLED
	for (u32 n = 3; n < 46; n += 2) {
		ROLLED
		for (u32 multiple = n * n; multiple < LIMIT; multiple += 2 * n)
			composite[multiple / 128] |= 1ull << (multiple / 2 & 63);
	}
	ROLLED
	for (u32 n = 1; n < LIMIT / 2; n++)
		primes += ~composite[n / 64] >> (n & 63) & 1;
	return primes;
}

LICENSE("GPL");
