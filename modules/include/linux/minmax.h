/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _LINUX_MINMAX_H
#define _LINUX_MINMAX_H

#include <linux/compiler.h>
#include <linux/types.h>

/* Constant expressions stay constant; outside of functions it takes MIN and MAX, as in the kernel. */
#define __kop_cmp_once(x, y, op, ux, uy) ({ \
	__auto_type ux = (x); \
	__auto_type uy = (y); \
	ux op uy ? ux : uy; })
#define __kop_cmp(x, y, op) \
	__builtin_choose_expr(__is_constexpr((x) - (y)), ((x) op (y) ? (x) : (y)), \
		__kop_cmp_once(x, y, op, __UNIQUE_ID(x_), __UNIQUE_ID(y_)))

#define min(x, y) __kop_cmp(x, y, <)
#define max(x, y) __kop_cmp(x, y, >)
#define min_t(type, x, y) __kop_cmp((type)(x), (type)(y), <)
#define max_t(type, x, y) __kop_cmp((type)(x), (type)(y), >)
#define umin(x, y) min_t(u64, x, y)
#define umax(x, y) max_t(u64, x, y)
#define min3(x, y, z) min((typeof(x))min(x, y), z)
#define max3(x, y, z) max((typeof(x))max(x, y), z)
#define min_not_zero(x, y) ({ \
	typeof(x) __nz_x = (x); \
	typeof(y) __nz_y = (y); \
	__nz_x == 0 ? __nz_y : (__nz_y == 0 ? __nz_x : min(__nz_x, __nz_y)); })
#define clamp(val, lo, hi) min((typeof(val))max(val, lo), hi)
#define clamp_t(type, val, lo, hi) min_t(type, max_t(type, val, lo), hi)
#define clamp_val(val, lo, hi) clamp_t(typeof(val), val, lo, hi)
#define in_range(val, start, len) ((u64)(val) - (u64)(start) < (u64)(len))
#define swap(a, b) do { typeof(a) __swap_tmp = (a); (a) = (b); (b) = __swap_tmp; } while (0)

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define MIN_T(type, a, b) MIN((type)(a), (type)(b))
#define MAX_T(type, a, b) MAX((type)(a), (type)(b))

#endif /* _LINUX_MINMAX_H */
