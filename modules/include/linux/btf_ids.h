/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets of BTF ids. Where the kernel's build resolves ids, these keep the names: a set is an initialiser that collects
 * them in the order in which they are written.
 */
#ifndef _LINUX_BTF_IDS_H
#define _LINUX_BTF_IDS_H

#include <linux/array_size.h>
#include <linux/types.h>

struct btf_id_set {
	u32 cnt;
	const char * const *names;
};

struct btf_id_set8 {
	u32 cnt;
	u32 flags;
	const char * const *names;
};

#define BTF_SET8_KFUNCS (1 << 0)

#define BTF_ID(prefix, name) #name,
#define BTF_ID_FLAGS(prefix, name, ...) #name,
#define __kop_btf_start(set) static const char * const __kop_btf_names_##set[] __maybe_unused = {
#define __kop_btf_count(set) (ARRAY_SIZE(__kop_btf_names_##set) - 1)

#define BTF_SET_START(set) __kop_btf_start(set)
#define BTF_SET_START_GLOBAL(set) __kop_btf_start(set)
#define BTF_SET_END(set) (const char *)0 }; \
	static struct btf_id_set set __maybe_unused = { \
		.cnt = __kop_btf_count(set), .names = __kop_btf_names_##set };
#define BTF_SET8_START(set) __kop_btf_start(set)
#define BTF_SET8_END(set) (const char *)0 }; \
	static struct btf_id_set8 set __maybe_unused = { \
		.cnt = __kop_btf_count(set), .flags = 0, .names = __kop_btf_names_##set };
#define BTF_KFUNCS_START(set) __kop_btf_start(set)
#define BTF_KFUNCS_END(set) (const char *)0 }; \
	static struct btf_id_set8 set __maybe_unused = { \
		.cnt = __kop_btf_count(set), .flags = BTF_SET8_KFUNCS, .names = __kop_btf_names_##set };
#define BTF_ID_LIST_SINGLE(list, prefix, typename) static u32 list[1] __maybe_unused;
#define BTF_ID_LIST_GLOBAL_SINGLE(list, prefix, typename) u32 list[1];

#endif /* _LINUX_BTF_IDS_H */
