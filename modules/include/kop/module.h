/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a module and the process that loads it tell each other. A module is a shared object without undefined symbols of
 * its own: whatever the kernel would do for it is in these headers, and all that it leaves behind is in `kop_module`.
 */
#ifndef _KOP_MODULE_H
#define _KOP_MODULE_H

#include <linux/build_bug.h>
#include <linux/errno.h>
#include <linux/stddef.h>
#include <linux/types.h>

#define KOP_MODULE_MAGIC 0x646f6d706f6bULL /* "kopmod" */
#define KOP_MODULE_VERSION 1
#define KOP_MODULE_SETS 64

struct btf_kfunc_id_set;

/* The CPU features that the loader can grant, by bit; the rest of the kernel's list is never there. */
enum kop_cpu_feature {
	KOP_CPU_POPCNT,
	KOP_CPU_LZCNT,
	KOP_CPU_BMI1,
	KOP_CPU_BMI2,
	KOP_CPU_MOVBE,
	KOP_CPU_PCLMULQDQ,
	KOP_CPU_SSE4_2,
	KOP_CPU_AVX512VL,
	KOP_CPU_AVX512_VPOPCNTDQ,
	KOP_CPU_ASIMD,
	KOP_CPU_PMULL,
	KOP_CPU_ATOMICS,
	KOP_CPU_SB,
	KOP_CPU_CRC32,
	KOP_CPU_SVEBITPERM,
	KOP_CPU_OTHER = 63,
};

struct kop_module {
	u64 magic;
	u32 version;
	u32 nr_sets;				/* sets that were registered, kept or not */
	u64 features;				/* set by the loader: what the CPU has */
	u64 asked;				/* what the module asked for; cleared by the loader */
	const struct btf_kfunc_id_set *sets[KOP_MODULE_SETS];
};

static_assert(offsetof(struct kop_module, nr_sets) == 12);
static_assert(offsetof(struct kop_module, features) == 16);
static_assert(offsetof(struct kop_module, asked) == 24);
static_assert(offsetof(struct kop_module, sets) == 32);

/* One for the whole shared object, whatever includes this. */
__attribute__((__weak__, __visibility__("default")))
struct kop_module kop_module = {
	.magic = KOP_MODULE_MAGIC,
	.version = KOP_MODULE_VERSION,
};

#ifdef KOP_COVERAGE
/*
 * The counters of clang's coverage instrumentation: a byte for each edge, which running through it increments. The linker
 * defines where they start and stop. clang declares these symbols itself and renames its own when C does so too, hence the
 * assembly of
 *
 *	struct kop_coverage { u8 *start, *stop; };
 */
__asm__(".pushsection .data.rel.kop_coverage, \"aw\"\n"
	".balign 8\n"
	".weak kop_coverage\n"
	".hidden __start___sancov_cntrs\n"
	".hidden __stop___sancov_cntrs\n"
	"kop_coverage:\n"
	".quad __start___sancov_cntrs\n"
	".quad __stop___sancov_cntrs\n"
	".type kop_coverage, %object\n"
	".size kop_coverage, 16\n"
	".popsection\n");
#endif

static __always_inline __maybe_unused bool kop_cpu_has(enum kop_cpu_feature feature)
{
	kop_module.asked |= 1ULL << feature;
	return (kop_module.features >> feature) & 1;
}

static inline __maybe_unused int kop_register(const struct btf_kfunc_id_set *set)
{
	if (!set)
		return -EINVAL;
	if (kop_module.nr_sets++ >= KOP_MODULE_SETS)
		return -ENOSPC;
	kop_module.sets[kop_module.nr_sets - 1] = set;
	return 0;
}

#endif /* _KOP_MODULE_H */
