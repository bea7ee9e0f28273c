/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _LINUX_ARRAY_SIZE_H
#define _LINUX_ARRAY_SIZE_H

#include <linux/compiler.h>

#define __must_be_array(a) ((int)(sizeof(struct { int : (-!!__same_type((a), &(a)[0])); })))
#define ARRAY_SIZE(arr) (sizeof(arr) / sizeof((arr)[0]) + __must_be_array(arr))

#endif /* _LINUX_ARRAY_SIZE_H */
