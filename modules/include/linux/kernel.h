/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _LINUX_KERNEL_H
#define _LINUX_KERNEL_H

#include <linux/align.h>
#include <linux/array_size.h>
#include <linux/bitops.h>
#include <linux/bug.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/container_of.h>
#include <linux/err.h>
#include <linux/kstrtox.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/printk.h>
#include <linux/stdarg.h>
#include <linux/stddef.h>
#include <linux/types.h>
#include <linux/unaligned.h>
#include <asm/byteorder.h>

#define upper_32_bits(n) ((u32)(((n) >> 16) >> 16))
#define lower_32_bits(n) ((u32)((n) & 0xffffffff))
#define upper_16_bits(n) ((u16)((n) >> 16))
#define lower_16_bits(n) ((u16)((n) & 0xffff))
#define REPEAT_BYTE(x) ((~0ul / 0xff) * (x))
#define typecheck(type, x) ({ type __tc_dummy; typeof(x) __tc_x; (void)(&__tc_dummy == &__tc_x); 1; })
#define might_sleep() do {} while (0)
#define might_fault() do {} while (0)
#define cond_resched() 0
#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))

int snprintf(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);
int sprintf(char *buf, const char *fmt, ...) __printf(2, 3);

#define scnprintf(buf, size, fmt...) ({ \
	size_t __scn_size = (size); \
	int __scn_len = snprintf(buf, __scn_size, fmt); \
	(int)(__scn_len < 0 || !__scn_size ? 0 : min_t(size_t, __scn_len, __scn_size - 1)); })

#endif /* _LINUX_KERNEL_H */
