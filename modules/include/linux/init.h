/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _LINUX_INIT_H
#define _LINUX_INIT_H

#include <linux/compiler.h>

#define __init
#define __exit __attribute__((__unused__))
#define __initdata
#define __initconst
#define __exitdata
#define __refdata
#define __ref
#define __init_or_module

typedef int (*initcall_t)(void);
typedef void (*exitcall_t)(void);

/* The loader looks for these two names. */
#define module_init(initfn) \
	__attribute__((__visibility__("default"))) int init_module(void); \
	int init_module(void) { return initfn(); }
#define module_exit(exitfn) \
	__attribute__((__visibility__("default"))) void cleanup_module(void); \
	void cleanup_module(void) { exitfn(); }

#define early_initcall(fn) module_init(fn)
#define core_initcall(fn) module_init(fn)
#define arch_initcall(fn) module_init(fn)
#define subsys_initcall(fn) module_init(fn)
#define fs_initcall(fn) module_init(fn)
#define device_initcall(fn) module_init(fn)
#define late_initcall(fn) module_init(fn)

#endif /* _LINUX_INIT_H */
