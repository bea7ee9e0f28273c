/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Greatest common divisors by remainders, and modular powers, of numbers from the packet: division and remainder
 * of 32 and 64 bits, the instructions that x86-64 has only in fixed registers. Hash tables whose size is prime
 * divide like this.
 */
#include "compute.h"

SECTION("xdp") int division(struct xdp_md *ctx)
{
	u64 words[2];
	u64 power = 1, base, modulus;
	u32 result = 0;

	if (!input(ctx, words, sizeof(words)))
		return 0;
	ROLLED
	for (u32 i = 0; i < 36; i++) {
		u64 a = words[0] + i, b = words[1] ^ i;

		ROLLED
		for (int step = 0; step < 8; step++) {
			u64 rest = a % (b | 1);

			a = b;
			b = rest;
		}
		result += (u32)a / ((u32)b | 1) + (u32)b % 1009;
	}
	modulus = (words[1] & 0x7fffffff) | 1;
	base = words[0] % modulus;
	ROLLED
	for (int bit = 0; bit < 31; bit++) {
		power = power * power % modulus;
		power = power * base % modulus;
	}
	return result ^ (u32)power;
}

LICENSE("GPL");
