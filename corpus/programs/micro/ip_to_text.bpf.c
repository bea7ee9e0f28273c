/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The FNV-1a hash of 60 IPv4 addresses as text, each with a blank behind it: numbers printed in decimal, as in log
 * lines and in keys made of text.
 */
#include "compute.h"

INLINE u32 put(u32 hash, u32 c)
{
	return (hash ^ c) * 0x01000193;
}

INLINE u32 put_number(u32 hash, u32 number)
{
	if (number >= 100)
		hash = put(hash, '0' + number / 100);
	if (number >= 10)
		hash = put(hash, '0' + number / 10 % 10);
	return put(hash, '0' + number % 10);
}

SECTION("xdp") int ip_to_text(struct xdp_md *ctx)
{
	u8 addresses[240];
	u32 hash = 0x811c9dc5;

	if (!input(ctx, addresses, sizeof(addresses)))
		return 0;
	ROLLED
	for (u32 i = 0; i < sizeof(addresses); i++) {
		hash = put_number(hash, addresses[i]);
		hash = put(hash, (i & 3) == 3 ? ' ' : '.');
	}
	return hash;
}

LICENSE("GPL");
