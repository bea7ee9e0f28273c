/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _LINUX_MODULE_H
#define _LINUX_MODULE_H

#include <kop/module.h>
#include <linux/build_bug.h>
#include <linux/export.h>
#include <linux/init.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include <linux/stddef.h>
#include <linux/stringify.h>
#include <linux/types.h>

struct module {
	char name[56];
	const char *version;
};

static struct module __this_module __maybe_unused = { .name = "module" };
#define THIS_MODULE (&__this_module)
#define KBUILD_MODNAME_STRING __this_module.name
#ifndef KBUILD_MODNAME
#define KBUILD_MODNAME "module"
#endif

#define MODULE_INFO(tag, info) static_assert(1)
#define MODULE_LICENSE(license) static_assert(sizeof(license) > 1)
#define MODULE_AUTHOR(author) static_assert(sizeof(author) > 0)
#define MODULE_DESCRIPTION(description) static_assert(sizeof(description) > 0)
#define MODULE_VERSION(version) static_assert(sizeof(version) > 0)
#define MODULE_ALIAS(alias) static_assert(1)
#define MODULE_SOFTDEP(dependency) static_assert(1)
#define MODULE_WEAKDEP(dependency) static_assert(1)
#define MODULE_FIRMWARE(firmware) static_assert(1)
#define MODULE_IMPORT_NS(ns) static_assert(1)
#define MODULE_DEVICE_TABLE(type, name) static_assert(1)

static inline bool try_module_get(struct module *module)
{
	(void)module;
	return true;
}

static inline void module_put(struct module *module)
{
	(void)module;
}

static inline void __module_get(struct module *module)
{
	(void)module;
}

#endif /* _LINUX_MODULE_H */
