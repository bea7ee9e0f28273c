/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parameters keep the values that they are initialised with. */
#ifndef _LINUX_MODULEPARAM_H
#define _LINUX_MODULEPARAM_H

#include <linux/build_bug.h>

#define MODULE_PARM_DESC(parm, desc) static_assert(1)
#define module_param(name, type, perm) static_assert(sizeof(name))
#define module_param_named(name, value, type, perm) static_assert(sizeof(value))
#define module_param_cb(name, ops, arg, perm) static_assert(1)
#define module_param_array(name, type, nump, perm) static_assert(sizeof(name))
#define core_param(name, var, type, perm) static_assert(sizeof(var))

#endif /* _LINUX_MODULEPARAM_H */
