/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The heads of HTTP requests that follow one another, a stream of 448 bytes twice: lines, the spaces of each head's first one,
 * and two hashes, of the names of headers in lower case and of their values without blanks.
 */
#include "compute.h"

enum { LINE = 1, NAME, VALUE };

INLINE u32 put(u32 hash, u32 c)
{
	return (hash ^ c) * 0x01000193;
}

SECTION("xdp") int http_request(struct xdp_md *ctx)
{
	u8 text[448];
	/* In memory, as the verifier would follow each value of a register on its own. */
	volatile u8 state = LINE, last = '\n';
	u32 names = 0x811c9dc5, values = 0x811c9dc5, lines = 0, spaces = 0;

	if (!input(ctx, text, sizeof(text)))
		return 0;
	ROLLED
	for (int time = 0; time < 2; time++) {
		ROLLED
		for (u32 i = 0; i < sizeof(text); i++) {
			u32 c = text[i], now = state;

			if (c == '\r')
				continue;
			if (c == '\n') {
				lines++;
				/* An empty line ends the head. */
				state = last == '\n' ? LINE : NAME;
			} else if (now == LINE) {
				spaces += c == ' ';
			} else if (now == VALUE) {
				if (c != ' ')
					values = put(values, c);
			} else if (c == ':') {
				state = VALUE;
			} else {
				names = put(names, c >= 'A' && c <= 'Z' ? c + 32 : c);
			}
			last = c;
		}
	}
	return names + values * 3 + lines * 1000 + spaces;
}

LICENSE("GPL");
