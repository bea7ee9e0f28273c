/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What keeps a module from harming more than the process that it runs in. */
#ifndef RUNNER_CONTAIN_H
#define RUNNER_CONTAIN_H

#include "calls.h"

#define EXIT_STOPPED 64	/* a callback was stopped; what stopped it is written down */

/* Who is told what stopped a callback. `calls` may still be NULL while the module is loaded. */
struct watch {
	struct shared *shared;
	const struct calls *calls;
};

/* Handlers for everything that can stop a callback, on a stack of their own. Returns 0 or -1. */
int contain_signals(const struct watch *watch);

/* Calls that take more processor time than `milliseconds` are stopped from here on; with 0 the clock stands still. */
int contain_time(unsigned int milliseconds);

/* Limits on memory and files. Returns 0 or -1. */
int contain_resources(void);

/* From here on no system calls but those for memory, for the pipe and for workers, and those of workers alone. */
int contain_loader(void);
int contain_worker(void);

#endif /* RUNNER_CONTAIN_H */
