/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The states of 16 connections (RFC 9293) by the flags of 472 segments, then of as many that belong to other connections, a
 * switch over the state in which each case looks at the flags: what a connection tracker does for each packet.
 */
#include "compute.h"

enum { CLOSED, SYN_SENT, SYN_RECEIVED, ESTABLISHED, FIN_WAIT, CLOSING, TIME_WAIT };
enum { FIN = 1, SYN = 2, RST = 4, ACK = 8 };

INLINE u32 next(u32 state, u32 flags)
{
	if (flags & RST && flags & ACK)
		return CLOSED;
	switch (state) {
	case CLOSED:
		if (flags & SYN)
			return flags & ACK ? CLOSED : SYN_SENT;
		return CLOSED;
	case SYN_SENT:
		if (flags & SYN)
			return flags & ACK ? SYN_RECEIVED : SYN_SENT;
		return flags & FIN ? CLOSED : SYN_SENT;
	case SYN_RECEIVED:
		if (flags & FIN)
			return FIN_WAIT;
		return flags & ACK ? ESTABLISHED : SYN_RECEIVED;
	case ESTABLISHED:
		return flags & FIN ? FIN_WAIT : ESTABLISHED;
	case FIN_WAIT:
		if (flags & FIN)
			return flags & ACK ? TIME_WAIT : CLOSING;
		return FIN_WAIT;
	case CLOSING:
		return flags & ACK ? TIME_WAIT : CLOSING;
	default:
		return flags & SYN ? SYN_SENT : TIME_WAIT;
	}
}

SECTION("xdp") int tcp_states(struct xdp_md *ctx)
{
	u8 segments[472], states[16];
	u32 result = 0;

	if (!input(ctx, segments, sizeof(segments)))
		return 0;
	__builtin_memset(states, CLOSED, sizeof(states));
	ROLLED
	for (u32 other = 0; other < 2; other++) {
		ROLLED
		for (u32 i = 0; i < sizeof(segments); i++) {
			u32 connection = segments[i] >> 4 ^ other;
			u32 state = next(states[connection], segments[i] & 15);

			states[connection] = state;
			result = result * 7 + state;
		}
	}
	return result;
}

LICENSE("GPL");
