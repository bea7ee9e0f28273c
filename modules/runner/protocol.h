/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory that the runner shares with the process that started it. `src/contained/protocol.rs` has the other half;
 * a test there holds the two together.
 */
#ifndef RUNNER_PROTOCOL_H
#define RUNNER_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#define SHARED_CONTROL (128 << 10)	/* struct shared */
#define SHARED_PAYLOADS 8192		/* the most of one batch */
#define SHARED_ANSWERS (8 << 20)	/* bytes of answers */
#define SHARED_SIZE (SHARED_CONTROL + SHARED_PAYLOADS * 8 + SHARED_ANSWERS)

#define MAX_OPERATIONS 256
#define MAX_NAME 128
#define MAX_TEXT 512
#define MAX_FAULTS 32

enum callback {
	CALLBACK_PROOF,
	CALLBACK_X86,
	CALLBACK_ARM64,
	NR_CALLBACKS,
};

/* What a call of a callback is for. */
enum stage {
	STAGE_SIZE,		/* an emit with emit == false */
	STAGE_WRITE,		/* the first call that writes */
	STAGE_AGAIN,		/* a second one, over other contents */
	STAGE_ELSEWHERE,	/* one for another image and offset */
};

enum asked {
	ASKED_ACCEPTANCE,
	ASKED_CONTENTS,
	ASKED_EVERYTHING,
};

enum status {
	STATUS_ABSENT,
	STATUS_ACCEPTED,
	STATUS_REJECTED,
	STATUS_FAILED,
};

/* The comment names the numbers a, b, c, d. */
enum fault_code {
	FAULT_NONE,
	FAULT_CRASH,		/* signal, si_code, address, 0 read 1 written 2 executed 3 unknown */
	FAULT_HANG,		/* milliseconds of processor time */
	FAULT_GIVEN_UP,		/* how often it had hung, how often it had crashed */
	FAULT_OVERRUN,		/* bytes from the buffer's end, its size, 0 read 1 written */
	FAULT_UNDERRUN,		/* bytes before the buffer, 0, 0 read 1 written */
	FAULT_SYSCALL,		/* number */
	FAULT_STACK,		/* none: the stack protector found it */
	FAULT_DIED,		/* signal, or 0 with the exit code in b */
	FAULT_RETURN_ZERO,
	FAULT_RETURN_ERRNO,	/* returned */
	FAULT_RETURN_LENGTH,	/* returned, most allowed: of the proof */
	FAULT_BEFORE,		/* bytes before the buffer where it wrote first */
	FAULT_AFTER,		/* bytes returned, offset of the first byte written beyond them */
	FAULT_UNWRITTEN,	/* offset of the first byte that was left out, how many, bytes returned */
	FAULT_PROOF_DIFFERS,	/* offset of the first byte */
	FAULT_RETURN_DIFFERS,	/* first returned, then returned */
	FAULT_LIMIT,		/* bytes returned, most allowed: of an emit */
	FAULT_OFFSET,		/* offset before, after, returned; in units of the offset */
	FAULT_SIZING_WROTE,	/* offset of the first byte written */
	FAULT_SIZE_VERDICT,	/* sizing returned, writing returned */
};

struct fault {
	uint8_t callback;
	uint8_t code;
	uint8_t stage;
	uint8_t pad[5];
	int64_t a, b, c, d;
};

struct emitted {
	uint32_t sized;		/* bytes, as are all */
	uint32_t size;
	uint32_t bytes;
	uint32_t second;	/* zero: the same */
	uint32_t elsewhere;	/* zero: the same */
};

/* Followed by the proof, for each emit its bytes, second and elsewhere, and the faults; padded to eight bytes. */
struct answer {
	uint32_t size;
	uint8_t status[NR_CALLBACKS];
	uint8_t nr_faults;
	int32_t returned[NR_CALLBACKS];
	uint32_t proof;
	struct emitted emits[2];
	uint64_t looked_at;
};

struct operation {
	char name[MAX_NAME];
	uint16_t max_insn_cnt;
	uint16_t max_emit_bytes;
	uint8_t callbacks;	/* bit by enum callback */
	uint8_t pad[3];
};

enum ready {
	READY_LOADED = 1,
	READY_REFUSED,		/* `text` says why */
	READY_NOTHING,		/* nothing is registered, and `text` says what is missing */
};

struct shared {
	/* Written once, at the start. */
	uint32_t ready;		/* enum ready */
	uint32_t nr_operations;
	char text[MAX_TEXT];
	/* The batch, written by the one who asks. */
	uint32_t operation;
	uint32_t asked;
	uint64_t features;
	uint32_t count;
	uint32_t give_up_hangs;
	uint32_t give_up_crashes;
	uint32_t quick_hangs;	/* from this many hangs on the time is short */
	uint32_t mask;		/* the callbacks that are called, a bit by enum callback */
	/* Written by the workers. */
	uint32_t done;		/* payloads answered */
	uint32_t used;		/* bytes of answers */
	uint32_t hangs[NR_CALLBACKS];
	uint32_t crashes[NR_CALLBACKS];
	uint32_t busy;		/* a batch is under way */
	uint32_t calling;	/* 1 + enum callback while a payload is answered */
	uint32_t stage;
	uint32_t broken;	/* workers that died outside of any callback, in a row */
	struct fault failed[NR_CALLBACKS];	/* what stopped the callbacks for the payload in work */
	struct operation operations[MAX_OPERATIONS];
};

_Static_assert(sizeof(struct fault) == 40, "as protocol.rs");
_Static_assert(sizeof(struct answer) == 72, "as protocol.rs");
_Static_assert(sizeof(struct operation) == 136, "as protocol.rs");
_Static_assert(offsetof(struct shared, operation) == 520, "as protocol.rs");
_Static_assert(offsetof(struct shared, features) == 528, "as protocol.rs");
_Static_assert(offsetof(struct shared, count) == 536, "as protocol.rs");
_Static_assert(offsetof(struct shared, done) == 556, "as protocol.rs");
_Static_assert(offsetof(struct shared, hangs) == 564, "as protocol.rs");
_Static_assert(offsetof(struct shared, calling) == 592, "as protocol.rs");
_Static_assert(offsetof(struct shared, failed) == 608, "as protocol.rs");
_Static_assert(offsetof(struct shared, operations) == 728, "as protocol.rs");
_Static_assert(sizeof(struct shared) <= SHARED_CONTROL, "it fits");

#endif /* RUNNER_PROTOCOL_H */
