/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In front of a name server: queries are parsed and looked up by a hash of the name and of each of its parents in a list of
 * blocked names, which are answered with REFUSED in place; queries for ANY are answered truncated, so that the sender comes
 * back over TCP; what is malformed is dropped; a counter for each type and each length of name.
 */
#include "flow.h"

#define MAX_NAME 64
#define MAX_LABELS 6
#define PORT 53

struct dns {
	u16 id;
	u16 flags;
	u16 questions;
	u16 answers;
	u16 authorities;
	u16 additionals;
};

enum { TYPE_A = 1, TYPE_NS = 2, TYPE_TXT = 16, TYPE_AAAA = 28, TYPE_ANY = 255 };
enum { ACTION_REFUSE = 1, ACTION_DROP = 2, ACTION_ALLOW = 3 };
enum { RESPONSE = 0x8000, OPCODE = 0x7800, TRUNCATED = 0x0200, REFUSED = 5 };

/* What became of packets. */
enum { ALLOWED, MALFORMED, BLOCKED, ANY_TRUNCATED, OTHER, OUTCOMES };

volatile struct {
	u64 outcomes[OUTCOMES];
	u32 types[8];
} totals;

/* By the hash of a name, with a dot before each label. */
MAP(names, MAP_HASH, u64, u32, 1024, 0);
MAP(lengths, MAP_PERCPU_ARRAY, u32, u64, 16, 0);

#define BASIS 0xcbf29ce484222325
#define PRIME 0x100000001b3

struct question {
	/* The hashes of the name from each of its labels on, the whole name's first. */
	u64 hashes[MAX_LABELS];
	u32 labels;
	u32 length;
	u16 type;
};

/*
 * Reads the name behind `at` and hashes all of its endings at once: a byte goes into each of the hashes that have started.
 * Returns 0 for what is no name, has too many labels or is too long.
 */
INLINE int read_question(u8 *at, void *end, struct question *question)
{
	/* In memory, as the verifier would follow each value of a register on its own. */
	volatile u8 left = 0, labels = 0;
	u32 length = 0;
	int done = 0;

	ROLLED
	for (u32 i = 0; i < MAX_NAME; i++) {
		u32 c;

		if ((void *)(at + 1) > end)
			return 0;
		c = *at++;
		if (!left) {
			if (!c) {
				done = 1;
				break;
			}
			/* Pointers have no place in a question. */
			if (c & 0xc0 || labels >= MAX_LABELS)
				return 0;
			left = c;
			labels++;
			c = '.';
		} else {
			left--;
			if (c >= 'A' && c <= 'Z')
				c |= 0x20;
		}
		length++;
		UNROLLED
		for (u32 label = 0; label < MAX_LABELS; label++) {
			if (label < labels)
				question->hashes[label] = (question->hashes[label] ^ c) * PRIME;
		}
	}
	if (!done || (void *)(at + 4) > end)
		return 0;
	question->labels = labels;
	question->length = length;
	question->type = at[0] << 8 | at[1];
	/* Of the Internet's class alone. */
	return at[2] == 0 && at[3] == 1;
}

INLINE u32 type_index(u32 type)
{
	switch (type) {
	case TYPE_A:
		return 0;
	case TYPE_AAAA:
		return 1;
	case 5:
		return 2;
	case 15:
		return 3;
	case TYPE_TXT:
		return 4;
	case TYPE_NS:
		return 5;
	case 33:
		return 6;
	default:
		return 7;
	}
}

/* Sends the query back as its own answer with these flags. */
INLINE int answer(struct headers *headers, struct udp *udp, struct dns *dns, u16 flags)
{
	struct ipv4 *ip = headers->ip;
	u32 address = ip->source;
	u16 port = udp->source, before = dns->flags;
	u8 mac[6];

	dns->flags = swap16((swap16(before) & 0x0110) | RESPONSE | flags);
	/* Addresses and ports that change places leave the sum as it is. */
	if (udp->checksum)
		udp->checksum = checksum_replace16(udp->checksum, before, dns->flags);
	ip->source = ip->destination;
	ip->destination = address;
	udp->source = udp->destination;
	udp->destination = port;
	copy_mac(mac, headers->ethernet->source);
	copy_mac(headers->ethernet->source, headers->ethernet->destination);
	copy_mac(headers->ethernet->destination, mac);
	return XDP_TX;
}

/* The action of the longest ending of the name that is listed. */
INLINE u32 action_for(struct question *question)
{
	UNROLLED
	for (u32 label = 0; label < MAX_LABELS; label++) {
		u64 hash = question->hashes[label];
		u32 *action;

		if (label >= question->labels)
			break;
		action = map_lookup(&names, &hash);
		if (action)
			return *action;
	}
	return ACTION_ALLOW;
}

SECTION("xdp") int dns_guard(struct xdp_md *ctx)
{
	void *end = packet_end(ctx);
	struct headers headers = {};
	struct question question = {};
	struct udp *udp;
	struct dns *dns;
	u32 index;
	u64 *count;

	if (find_headers(packet(ctx), end, &headers) != FOUND || headers.ip->protocol != PROTOCOL_UDP) {
		totals.outcomes[OTHER]++;
		return XDP_PASS;
	}
	udp = headers.transport;
	dns = (void *)(udp + 1);
	if (udp->destination != swap16(PORT)) {
		totals.outcomes[OTHER]++;
		return XDP_PASS;
	}
	if ((void *)(dns + 1) > end || dns->flags & swap16(RESPONSE | OPCODE) || dns->questions != swap16(1)) {
		totals.outcomes[MALFORMED]++;
		return XDP_DROP;
	}
	UNROLLED
	for (u32 label = 0; label < MAX_LABELS; label++)
		question.hashes[label] = BASIS;
	if (!read_question((u8 *)(dns + 1), end, &question)) {
		totals.outcomes[MALFORMED]++;
		return XDP_DROP;
	}
	totals.types[type_index(question.type) & 7]++;
	index = question.length / 8 & 15;
	count = map_lookup(&lengths, &index);
	if (count)
		++*count;
	if (question.type == TYPE_ANY) {
		totals.outcomes[ANY_TRUNCATED]++;
		return answer(&headers, udp, dns, TRUNCATED);
	}
	switch (action_for(&question)) {
	case ACTION_REFUSE:
		totals.outcomes[BLOCKED]++;
		return answer(&headers, udp, dns, REFUSED);
	case ACTION_DROP:
		totals.outcomes[BLOCKED]++;
		return XDP_DROP;
	}
	totals.outcomes[ALLOWED]++;
	return XDP_PASS;
}

LICENSE("GPL");
