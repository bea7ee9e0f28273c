/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _LINUX_BTF_H
#define _LINUX_BTF_H

#include <kop/module.h>
#include <linux/bpf.h>
#include <linux/btf_ids.h>
#include <linux/types.h>

#define KF_ACQUIRE (1 << 0)
#define KF_RELEASE (1 << 1)
#define KF_RET_NULL (1 << 2)
#define KF_TRUSTED_ARGS (1 << 4)
#define KF_SLEEPABLE (1 << 5)
#define KF_DESTRUCTIVE (1 << 6)
#define KF_RCU (1 << 7)
#define KF_ITER_NEW (1 << 8)
#define KF_ITER_NEXT (1 << 9)
#define KF_ITER_DESTROY (1 << 10)
#define KF_RCU_PROTECTED (1 << 11)
#define KF_FASTCALL (1 << 12)
#define KF_ARENA_RET (1 << 13)
#define KF_ARENA_ARG1 (1 << 14)
#define KF_ARENA_ARG2 (1 << 15)

#define __bpf_kfunc __attribute__((__used__, __noinline__))
#define __bpf_kfunc_start_defs() static_assert(1)
#define __bpf_kfunc_end_defs() static_assert(1)
#define __bpf_hook_start() static_assert(1)
#define __bpf_hook_end() static_assert(1)

typedef int (*btf_kfunc_filter_t)(const struct bpf_prog *prog, u32 kfunc_id);

struct btf_kfunc_id_set {
	struct module *owner;
	struct btf_id_set8 *set;
	btf_kfunc_filter_t filter;
	const struct bpf_kinsn * const *kinsn_descs;	/* one for each name of the set, in its order */
};

static inline __maybe_unused int register_btf_kfunc_id_set(enum bpf_prog_type type,
							    const struct btf_kfunc_id_set *set)
{
	(void)type;
	return kop_register(set);
}

#endif /* _LINUX_BTF_H */
