/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attributes and hints for the compiler. */
#ifndef _LINUX_COMPILER_H
#define _LINUX_COMPILER_H

#include <linux/kconfig.h>

#define __KERNEL__ 1

#undef __always_inline
#define __always_inline inline __attribute__((__always_inline__))
#undef __noinline
#define noinline __attribute__((__noinline__))
#define noinline_for_stack noinline
#define __noinline noinline
#define __maybe_unused __attribute__((__unused__))
#define __always_unused __attribute__((__unused__))
#define __used __attribute__((__used__))
#define __must_check __attribute__((__warn_unused_result__))
#define __packed __attribute__((__packed__))
#define __aligned(x) __attribute__((__aligned__(x)))
#define __aligned_largest __attribute__((__aligned__))
#define __pure __attribute__((__pure__))
#define __attribute_const__ __attribute__((__const__))
#define __cold __attribute__((__cold__))
#define __hot __attribute__((__hot__))
#define __weak __attribute__((__weak__))
#define __noreturn __attribute__((__noreturn__))
#define __malloc __attribute__((__malloc__))
#define __printf(a, b) __attribute__((__format__(printf, a, b)))
#define __scanf(a, b) __attribute__((__format__(scanf, a, b)))
#define __section(name) __attribute__((__section__(name)))
#define __alias(symbol) __attribute__((__alias__(#symbol)))
#define __visible __attribute__((__externally_visible__))
#define __cleanup(func) __attribute__((__cleanup__(func)))
#define __designated_init
#define __nonstring
#define __counted_by(member)
#define __no_sanitize_address
#define __no_kcsan
#define __nocfi
#define noinstr noinline
#define notrace
#define nokprobe_inline inline
#define __no_profile
#define __naked __attribute__((__naked__))
#define asmlinkage
#define __bpf_fastcall

#define __user
#define __kernel
#define __iomem
#define __percpu
#define __rcu
#define __force
#define __bitwise
#define __safe
#define __private
#define __nocast
#define __acquires(x)
#define __releases(x)
#define __must_hold(x)
#define __acquire(x) (void)0
#define __release(x) (void)0
#define __read_mostly
#define __ro_after_init
#define ____cacheline_aligned
#define ____cacheline_aligned_in_smp
#define __cacheline_aligned

#if defined(__has_attribute)
#if __has_attribute(__fallthrough__)
#define fallthrough __attribute__((__fallthrough__))
#endif
#endif
#ifndef fallthrough
#define fallthrough do {} while (0)
#endif

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define barrier() __asm__ __volatile__("" : : : "memory")
#define barrier_data(ptr) __asm__ __volatile__("" : : "r"(ptr) : "memory")
#define unreachable() __builtin_unreachable()
#define data_race(expr) (expr)
#define OPTIMIZER_HIDE_VAR(var) __asm__("" : "=r"(var) : "0"(var))

#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, val) do { *(volatile __typeof__(x) *)&(x) = (val); } while (0)

#ifndef typeof
#define typeof __typeof__
#endif
#ifndef asm
#define asm __asm__
#endif
#define __typecheck_eq(a, b) __builtin_types_compatible_p(typeof(a), typeof(b))
#define __same_type(a, b) __typecheck_eq(a, b)
#define __unqual_scalar_typeof(x) typeof(x)
#define __PASTE_(a, b) a##b
#define __PASTE(a, b) __PASTE_(a, b)
#define __UNIQUE_ID(prefix) __PASTE(__PASTE(__UNIQUE_ID_, prefix), __COUNTER__)
#define __stringify_1(x...) #x
#define __stringify(x...) __stringify_1(x)
#define __is_constexpr(x) (sizeof(int) == sizeof(*(8 ? ((void *)((long)(x) * 0l)) : (int *)8)))
#define __diag_push()
#define __diag_pop()
#define __diag_ignore_all(option, comment)

#endif /* _LINUX_COMPILER_H */
