/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _LINUX_BITFIELD_H
#define _LINUX_BITFIELD_H

#include <linux/bits.h>

#define __bf_shf(x) (__builtin_ffsll(x) - 1)
#define FIELD_MAX(mask) ((typeof(mask))((mask) >> __bf_shf(mask)))
#define FIELD_FIT(mask, val) (!((((typeof(mask))(val)) << __bf_shf(mask)) & ~(mask)))
#define FIELD_PREP(mask, val) (((typeof(mask))(val) << __bf_shf(mask)) & (mask))
#define FIELD_PREP_CONST(mask, val) FIELD_PREP(mask, val)
#define FIELD_GET(mask, reg) ((typeof(mask))(((reg) & (mask)) >> __bf_shf(mask)))
#define FIELD_MODIFY(mask, reg_p, val) (*(reg_p) = (*(reg_p) & ~(mask)) | FIELD_PREP(mask, val))

#define __kop_bitfield(bits) \
static __always_inline u##bits u##bits##_get_bits(u##bits v, u##bits field) \
{ \
	return (v & field) >> __bf_shf(field); \
} \
static __always_inline u##bits u##bits##_encode_bits(u##bits v, u##bits field) \
{ \
	return (u##bits)(v << __bf_shf(field)) & field; \
} \
static __always_inline u##bits u##bits##_replace_bits(u##bits old, u##bits v, u##bits field) \
{ \
	return (old & ~field) | u##bits##_encode_bits(v, field); \
} \
static __always_inline void u##bits##p_replace_bits(u##bits *p, u##bits v, u##bits field) \
{ \
	*p = u##bits##_replace_bits(*p, v, field); \
}
__kop_bitfield(8)
__kop_bitfield(16)
__kop_bitfield(32)
__kop_bitfield(64)
#undef __kop_bitfield

#endif /* _LINUX_BITFIELD_H */
