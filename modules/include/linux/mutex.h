/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Callbacks are called one at a time: there is nothing to lock. */
#ifndef _LINUX_MUTEX_H
#define _LINUX_MUTEX_H

#include <linux/types.h>

struct mutex {
	int held;
};

#define __MUTEX_INITIALIZER(name) { 0 }
#define DEFINE_MUTEX(name) struct mutex name = __MUTEX_INITIALIZER(name)
#define mutex_init(lock) ((void)((lock)->held = 0))
#define mutex_lock(lock) ((void)((lock)->held = 1))
#define mutex_lock_interruptible(lock) ((lock)->held = 1, 0)
#define mutex_trylock(lock) ((lock)->held ? 0 : ((lock)->held = 1))
#define mutex_unlock(lock) ((void)((lock)->held = 0))
#define mutex_is_locked(lock) ((lock)->held != 0)
#define mutex_destroy(lock) mutex_init(lock)

#endif /* _LINUX_MUTEX_H */
