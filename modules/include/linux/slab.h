/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _LINUX_SLAB_H
#define _LINUX_SLAB_H

#include <linux/gfp.h>
#include <linux/overflow.h>
#include <linux/string.h>

void *malloc(size_t size);
void *calloc(size_t n, size_t size);
void *realloc(void *ptr, size_t size);
void free(void *ptr);

#define kmalloc(size, flags) ((void)(flags), malloc(size))
#define kzalloc(size, flags) ((void)(flags), calloc(1, size))
#define kcalloc(n, size, flags) ((void)(flags), calloc(n, size))
#define kmalloc_array(n, size, flags) ((void)(flags), malloc(size_mul(n, size)))
#define krealloc(ptr, size, flags) ((void)(flags), realloc(ptr, size))
#define kfree(ptr) free((void *)(ptr))
#define kfree_sensitive(ptr) kfree(ptr)
#define kvmalloc(size, flags) kmalloc(size, flags)
#define kvzalloc(size, flags) kzalloc(size, flags)
#define kvcalloc(n, size, flags) kcalloc(n, size, flags)
#define kvfree(ptr) kfree(ptr)
#define vmalloc(size) malloc(size)
#define vzalloc(size) calloc(1, size)
#define vfree(ptr) kfree(ptr)

static inline void *kmemdup(const void *src, size_t len, gfp_t gfp)
{
	void *copy = kmalloc(len, gfp);

	return copy ? memcpy(copy, src, len) : NULL;
}

static inline char *kstrdup(const char *s, gfp_t gfp)
{
	return s ? kmemdup(s, strlen(s) + 1, gfp) : NULL;
}

#endif /* _LINUX_SLAB_H */
