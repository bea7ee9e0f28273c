/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration: that of a 64-bit kernel with a BPF JIT, for the architecture that the command line defines. */
#ifndef _LINUX_KCONFIG_H
#define _LINUX_KCONFIG_H

/* A module is built once with -DCONFIG_X86_64=1 and once with -DCONFIG_ARM64=1; both run on the host. */
#if !defined(CONFIG_X86_64) && !defined(CONFIG_ARM64)
#if defined(__aarch64__)
#define CONFIG_ARM64 1
#else
#define CONFIG_X86_64 1
#endif
#endif

#ifdef CONFIG_X86_64
#define CONFIG_X86 1
#endif
#define CONFIG_64BIT 1
#define CONFIG_CPU_LITTLE_ENDIAN 1
#define CONFIG_MODULES 1
#define CONFIG_NET 1
#define CONFIG_SMP 1
#define CONFIG_MMU 1
#define CONFIG_BPF 1
#define CONFIG_BPF_JIT 1
#define CONFIG_BPF_SYSCALL 1
#define CONFIG_HAVE_EBPF_JIT 1
#define CONFIG_DEBUG_INFO_BTF 1
#define CONFIG_DEBUG_INFO_BTF_MODULES 1
#define CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS 1

#define __ARG_PLACEHOLDER_1 0,
#define __take_second_arg(__ignored, val, ...) val
#define __and(x, y) ___and(x, y)
#define ___and(x, y) ____and(__ARG_PLACEHOLDER_##x, y)
#define ____and(arg1_or_junk, y) __take_second_arg(arg1_or_junk y, 0)
#define __or(x, y) ___or(x, y)
#define ___or(x, y) ____or(__ARG_PLACEHOLDER_##x, y)
#define ____or(arg1_or_junk, y) __take_second_arg(arg1_or_junk 1, y)
#define __is_defined(x) ___is_defined(x)
#define ___is_defined(val) ____is_defined(__ARG_PLACEHOLDER_##val)
#define ____is_defined(arg1_or_junk) __take_second_arg(arg1_or_junk 1, 0)

#define IS_BUILTIN(option) __is_defined(option)
#define IS_MODULE(option) __is_defined(option##_MODULE)
#define IS_REACHABLE(option) __or(IS_BUILTIN(option), IS_MODULE(option))
#define IS_ENABLED(option) __or(IS_BUILTIN(option), IS_MODULE(option))

#endif /* _LINUX_KCONFIG_H */
