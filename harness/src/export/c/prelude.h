/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * @TITLE@
 *
 * Payloads and proof sequences, the same on every architecture. Written by `kop export` from
 * @SOURCE@.
 */
#ifndef @GUARD@
#define @GUARD@

#include <linux/bitops.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/filter.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/string.h>

/* The low bits of a number. */
#define BITS(value, width) ((u32)(value) & (u32)((1ULL << (width)) - 1))

/* A proof sequence while it is written; one that is too long is counted, not written. */
struct proof {
	struct bpf_insn *insns;
	int len;
	int room;
};

static void proof_add(struct proof *proof, const struct bpf_insn *insns, int count)
{
	if (proof->len + count <= proof->room)
		memcpy(proof->insns + proof->len, insns, count * sizeof(*insns));
	proof->len += count;
}

#define PROOF(proof, ...)									\
	do {											\
		const struct bpf_insn insns_[] = { __VA_ARGS__ };				\
												\
		proof_add(proof, insns_, ARRAY_SIZE(insns_));					\
	} while (0)
@FORMS@
#endif
