// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Answers for the callbacks of a module that this very process has loaded: a fuzzer's, which is to crash when they do.
 * Linked into the library with calls.c; src/in_process.rs calls it.
 */
#include "calls.h"

#include <stdlib.h>
#include <string.h>

/* One loaded module. */
struct in_process {
	struct calls calls;
	uint32_t calling;
	uint32_t stage;
};

/* What a loaded module left behind, ready for calls; NULL without memory. */
struct in_process *in_process_new(struct module *module)
{
	struct in_process *in_process = calloc(1, sizeof(*in_process));

	if (!in_process)
		return NULL;
	if (calls_setup(&in_process->calls, module, &in_process->calling, &in_process->stage)) {
		free(in_process);
		return NULL;
	}
	return in_process;
}

/* The descriptor that was registered as `name`, or NULL. */
const struct descriptor *in_process_find(const struct in_process *in_process, const char *name)
{
	const struct module *module = in_process->calls.module;

	for (uint32_t i = 0; i < module->nr_sets && i < MODULE_SETS; i++) {
		const struct registration *registration = module->sets[i];

		if (!registration->set || !registration->kinsn_descs)
			continue;
		for (uint32_t j = 0; j < registration->set->cnt; j++)
			if (!strcmp(registration->set->names[j], name))
				return registration->kinsn_descs[j];
	}
	return NULL;
}

/* The most bytes of one answer. */
size_t in_process_answer_max(void)
{
	return ANSWER_MAX;
}

/*
 * Answers one payload on a CPU with `features` into `out`, of in_process_answer_max() bytes, by the callbacks in `mask`;
 * returns the bytes written.
 */
size_t in_process_answer(struct in_process *in_process, const struct descriptor *descriptor, uint32_t mask,
			 uint32_t asked, uint64_t features, uint64_t payload, struct answer *out)
{
	size_t size;

	in_process->calls.module->features = features;
	in_process->calls.descriptor = descriptor;
	in_process->calls.mask = mask;
	size = calls_answer(&in_process->calls, asked, payload, NULL, out);
	in_process->calling = 0;
	return size;
}

/* Which callback is under way: 0 for none, otherwise 1 + enum callback. */
const uint32_t *in_process_calling(const struct in_process *in_process)
{
	return &in_process->calling;
}
