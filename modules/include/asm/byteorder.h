/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The byte order of both architectures, and of the host: little endian. */
#ifndef _ASM_BYTEORDER_H
#define _ASM_BYTEORDER_H

#include <linux/swab.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "modules are run on little-endian hosts alone"
#endif

#define __LITTLE_ENDIAN 1234
#define __LITTLE_ENDIAN_BITFIELD

#define cpu_to_le16(x) ((__force __le16)(u16)(x))
#define cpu_to_le32(x) ((__force __le32)(u32)(x))
#define cpu_to_le64(x) ((__force __le64)(u64)(x))
#define le16_to_cpu(x) ((__force u16)(__le16)(x))
#define le32_to_cpu(x) ((__force u32)(__le32)(x))
#define le64_to_cpu(x) ((__force u64)(__le64)(x))
#define cpu_to_be16(x) ((__force __be16)swab16(x))
#define cpu_to_be32(x) ((__force __be32)swab32(x))
#define cpu_to_be64(x) ((__force __be64)swab64(x))
#define be16_to_cpu(x) swab16((__force u16)(x))
#define be32_to_cpu(x) swab32((__force u32)(x))
#define be64_to_cpu(x) swab64((__force u64)(x))
#define __cpu_to_le16(x) cpu_to_le16(x)
#define __cpu_to_le32(x) cpu_to_le32(x)
#define __cpu_to_le64(x) cpu_to_le64(x)
#define __le16_to_cpu(x) le16_to_cpu(x)
#define __le32_to_cpu(x) le32_to_cpu(x)
#define __le64_to_cpu(x) le64_to_cpu(x)
#define __cpu_to_be16(x) cpu_to_be16(x)
#define __cpu_to_be32(x) cpu_to_be32(x)
#define __cpu_to_be64(x) cpu_to_be64(x)
#define __be16_to_cpu(x) be16_to_cpu(x)
#define __be32_to_cpu(x) be32_to_cpu(x)
#define __be64_to_cpu(x) be64_to_cpu(x)
#define __constant_cpu_to_le16(x) cpu_to_le16(x)
#define __constant_cpu_to_le32(x) cpu_to_le32(x)
#define __constant_cpu_to_le64(x) cpu_to_le64(x)
#define htons(x) cpu_to_be16(x)
#define htonl(x) cpu_to_be32(x)
#define ntohs(x) be16_to_cpu(x)
#define ntohl(x) be32_to_cpu(x)

#define __kop_byteorder(bits) \
static inline u##bits le##bits##_to_cpup(const __le##bits *p) \
{ \
	return le##bits##_to_cpu(*p); \
} \
static inline u##bits be##bits##_to_cpup(const __be##bits *p) \
{ \
	return be##bits##_to_cpu(*p); \
} \
static inline void cpu_to_le##bits##s(u##bits *p) \
{ \
	*p = (__force u##bits)cpu_to_le##bits(*p); \
} \
static inline void le##bits##_to_cpus(u##bits *p) \
{ \
	*p = le##bits##_to_cpu((__force __le##bits)*p); \
} \
static inline void le##bits##_add_cpu(__le##bits *p, u##bits val) \
{ \
	*p = cpu_to_le##bits(le##bits##_to_cpu(*p) + val); \
}
__kop_byteorder(16)
__kop_byteorder(32)
__kop_byteorder(64)
#undef __kop_byteorder

#endif /* _ASM_BYTEORDER_H */
