/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _LINUX_BPF_H
#define _LINUX_BPF_H

#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/types.h>
#include <asm/cpufeature.h>
#include <uapi/linux/bpf.h>

struct bpf_prog;

/* The descriptor of an operation. */
struct bpf_kinsn {
	struct module *owner;
	u16 max_insn_cnt;
	u16 max_emit_bytes;
	int (*instantiate_insn)(u64 payload, struct bpf_insn *insn_buf);
	int (*emit_x86)(u8 *image, u32 *off, bool emit, u64 payload, const struct bpf_prog *prog);
	int (*emit_arm64)(u32 *image, int *idx, bool emit, u64 payload, const struct bpf_prog *prog);
};

static_assert(offsetof(struct bpf_kinsn, owner) == 0);
static_assert(offsetof(struct bpf_kinsn, max_insn_cnt) == 8);
static_assert(offsetof(struct bpf_kinsn, max_emit_bytes) == 10);
static_assert(offsetof(struct bpf_kinsn, instantiate_insn) == 16);
static_assert(offsetof(struct bpf_kinsn, emit_x86) == 24);
static_assert(offsetof(struct bpf_kinsn, emit_arm64) == 32);
static_assert(sizeof(struct bpf_kinsn) == 40);

struct bpf_prog_aux {
	u32 used_map_cnt;
	u32 used_btf_cnt;
	u32 max_ctx_offset;
	u32 max_pkt_offset;
	u32 max_tp_access;
	u32 stack_depth;
	u32 id;
	u32 func_cnt;
	u32 real_func_cnt;
	u32 func_idx;
	bool tail_call_reachable;
	bool exception_cb;
	bool priv_stack_requested;
	bool use_bpf_prog_pack;
	struct bpf_prog *prog;
	struct bpf_prog **func;
	bool jits_use_priv_stack;
	bool changes_pkt_data;
	bool might_sleep;
	void *jit_data;
	void *priv_stack_ptr;			/* per CPU in a kernel */
	char name[16];
};

/* What an emit is handed is zero but for `aux`. */
struct bpf_prog {
	u16 pages;
	u16 jited:1, jit_requested:1, gpl_compatible:1, cb_access:1, dst_needed:1, blinding_requested:1,
		blinded:1, is_func:1, kprobe_override:1, has_callchain_buf:1, enforce_expected_attach_type:1,
		call_get_stack:1, call_get_func_ip:1, tstamp_type_access:1, sleepable:1;
	enum bpf_prog_type type;
	enum bpf_attach_type expected_attach_type;
	u32 len;
	u32 jited_len;
	u8 tag[8];
	unsigned int (*bpf_func)(const void *ctx, const struct bpf_insn *insn);
	struct bpf_prog_aux *aux;
	union {
		struct bpf_insn insnsi[0];
	};
};

/* The loader fills it in. */
static_assert(offsetof(struct bpf_prog, aux) == 40);

#endif /* _LINUX_BPF_H */
