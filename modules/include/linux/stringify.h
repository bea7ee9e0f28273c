/* SPDX-License-Identifier: GPL-2.0-or-later */
/* __stringify comes with the compiler's macros. */
#include <linux/compiler.h>
