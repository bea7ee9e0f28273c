/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calling an operation's callbacks with buffers that tell what they wrote. */
#ifndef RUNNER_CALLS_H
#define RUNNER_CALLS_H

#include "module.h"
#include "protocol.h"

/* Memory between two pages that nobody may touch. Callbacks get what ends at its end. */
struct buffer {
	uint8_t *start;
	uint8_t *end;
};

/* Everything that the calls of one process need. */
struct calls {
	struct module *module;
	const struct bpf_prog *prog;
	struct buffer insns[2];
	struct buffer images[2];
	/* The operation under way. */
	const struct descriptor *descriptor;
	unsigned int mask;	/* the callbacks that are called */
	/* What is written down before each call, for whoever finds the process dead. */
	volatile uint32_t *calling;
	volatile uint32_t *stage;
};

/* The most bytes that one answer takes. */
#define ANSWER_MAX (sizeof(struct answer) + 65536 * 8 + 6 * 65536 + MAX_FAULTS * sizeof(struct fault) + 64)

/* Maps the buffers. Returns 0, or -1 with errno set. */
int calls_setup(struct calls *calls, struct module *module, volatile uint32_t *calling, volatile uint32_t *stage);

/*
 * Answers one payload into `out`, which has room for ANSWER_MAX bytes, and returns the bytes written. Callbacks that
 * `failed` has a fault for are not called.
 */
size_t calls_answer(struct calls *calls, enum asked asked, uint64_t payload, const struct fault *failed,
		    struct answer *out);

#endif /* RUNNER_CALLS_H */
