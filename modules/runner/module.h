/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a loaded module consists of, as its own headers (modules/include) lay it out; here in the types of the C library.
 */
#ifndef RUNNER_MODULE_H
#define RUNNER_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODULE_MAGIC 0x646f6d706f6bULL
#define MODULE_VERSION 1
#define MODULE_SETS 64

struct bpf_insn;
struct bpf_prog;

typedef int proof_fn(uint64_t payload, struct bpf_insn *insn_buf);
typedef int emit_x86_fn(uint8_t *image, uint32_t *off, bool emit, uint64_t payload, const struct bpf_prog *prog);
typedef int emit_arm64_fn(uint32_t *image, int *idx, bool emit, uint64_t payload, const struct bpf_prog *prog);

/* struct bpf_kinsn */
struct descriptor {
	void *owner;
	uint16_t max_insn_cnt;
	uint16_t max_emit_bytes;
	proof_fn *instantiate_insn;
	emit_x86_fn *emit_x86;
	emit_arm64_fn *emit_arm64;
};

/* struct btf_id_set8 */
struct name_set {
	uint32_t cnt;
	uint32_t flags;
	const char *const *names;
};

/* struct btf_kfunc_id_set */
struct registration {
	void *owner;
	const struct name_set *set;
	void *filter;
	const struct descriptor *const *kinsn_descs;
};

/* struct kop_module */
struct module {
	uint64_t magic;
	uint32_t version;
	uint32_t nr_sets;
	uint64_t features;
	uint64_t asked;
	const struct registration *sets[MODULE_SETS];
};

_Static_assert(offsetof(struct descriptor, max_insn_cnt) == 8, "section 3");
_Static_assert(offsetof(struct descriptor, max_emit_bytes) == 10, "section 3");
_Static_assert(offsetof(struct descriptor, instantiate_insn) == 16, "section 3");
_Static_assert(offsetof(struct descriptor, emit_x86) == 24, "section 3");
_Static_assert(offsetof(struct descriptor, emit_arm64) == 32, "section 3");
_Static_assert(offsetof(struct registration, kinsn_descs) == 24, "as <linux/btf.h>");
_Static_assert(offsetof(struct name_set, names) == 8, "as <linux/btf_ids.h>");
_Static_assert(offsetof(struct module, sets) == 32, "as <kop/module.h>");

#endif /* RUNNER_MODULE_H */
