/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _LINUX_UNALIGNED_H
#define _LINUX_UNALIGNED_H

#include <asm/byteorder.h>

#define get_unaligned(ptr) ({ \
	const struct { typeof(*(ptr)) x; } __packed *__gup = (const void *)(ptr); \
	__gup->x; })
#define put_unaligned(val, ptr) do { \
	struct { typeof(*(ptr)) x; } __packed *__pup = (void *)(ptr); \
	__pup->x = (val); \
} while (0)

#define __kop_unaligned(bits) \
static inline u##bits get_unaligned_le##bits(const void *p) \
{ \
	return le##bits##_to_cpu(get_unaligned((const __le##bits *)p)); \
} \
static inline u##bits get_unaligned_be##bits(const void *p) \
{ \
	return be##bits##_to_cpu(get_unaligned((const __be##bits *)p)); \
} \
static inline void put_unaligned_le##bits(u##bits val, void *p) \
{ \
	put_unaligned(cpu_to_le##bits(val), (__le##bits *)p); \
} \
static inline void put_unaligned_be##bits(u##bits val, void *p) \
{ \
	put_unaligned(cpu_to_be##bits(val), (__be##bits *)p); \
}
__kop_unaligned(16)
__kop_unaligned(32)
__kop_unaligned(64)
#undef __kop_unaligned

#endif /* _LINUX_UNALIGNED_H */
