// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Calling an operation's callbacks with buffers that tell what they wrote.
 *
 * A buffer ends where memory ends, so that a write beyond it is a fault of the processor. Before a call it is filled with
 * a pattern; what still holds the pattern afterwards was not written. Two calls over two patterns tell bytes that were
 * left out from bytes that happen to equal the pattern.
 */
#define _GNU_SOURCE
#include "calls.h"

#include <string.h>
#include <sys/mman.h>

#define PAGE 4096
#define INSN_BYTES 8
#define PATTERN_A 0xcc
#define PATTERN_B 0x35
/* Bytes before a buffer that are looked at; the rest of what lies before it is not. */
#define BEFORE 512
#define MAX_ERRNO 4095

/* Where code goes, in units of the offset: not zero, and different from call to call. */
static const uint32_t x86_offsets[2] = { 64, 467 };
static const uint32_t arm64_offsets[2] = { 16, 121 };

static struct fault faults[MAX_FAULTS];
static unsigned int nr_faults;

static void fault(struct calls *calls, enum callback callback, enum fault_code code, int64_t a, int64_t b, int64_t c)
{
	if (nr_faults == MAX_FAULTS)
		return;
	faults[nr_faults++] = (struct fault) {
		.callback = callback, .code = code, .stage = *calls->stage, .a = a, .b = b, .c = c,
	};
}

static int map_buffer(struct buffer *buffer, size_t size)
{
	size_t inside = (size + BEFORE + PAGE - 1) / PAGE * PAGE;
	uint8_t *memory = mmap(NULL, inside + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return -1;
	buffer->start = memory + PAGE;
	buffer->end = buffer->start + inside;
	return mprotect(buffer->start, inside, PROT_READ | PROT_WRITE);
}

/* A program of zeroes, but for `aux`, which points to zeroes as well; nobody may write to either. */
static const struct bpf_prog *map_prog(void)
{
	uint8_t *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *aux = memory + PAGE;

	if (memory == MAP_FAILED)
		return NULL;
	/* offsetof(struct bpf_prog, aux) in <linux/bpf.h> */
	memcpy(memory + 40, &aux, sizeof(aux));
	return mprotect(memory, 2 * PAGE, PROT_READ) ? NULL : (const struct bpf_prog *)memory;
}

int calls_setup(struct calls *calls, struct module *module, volatile uint32_t *calling, volatile uint32_t *stage)
{
	calls->module = module;
	calls->calling = calling;
	calls->stage = stage;
	calls->prog = map_prog();
	if (!calls->prog)
		return -1;
	for (int i = 0; i < 2; i++)
		if (map_buffer(&calls->insns[i], UINT16_MAX * INSN_BYTES) || map_buffer(&calls->images[i], UINT16_MAX))
			return -1;
	return 0;
}

/* The index of the first byte that is not `pattern`, or `size`. */
static size_t first_written(const uint8_t *bytes, uint8_t pattern, size_t size)
{
	const uint64_t word = 0x0101010101010101ULL * pattern;
	uint64_t value;
	size_t i = 0;

	for (; i + sizeof(word) <= size; i += sizeof(word)) {
		memcpy(&value, bytes + i, sizeof(value));
		if (value != word)
			break;
	}
	while (i < size && bytes[i] == pattern)
		i++;
	return i;
}

static void enter(struct calls *calls, enum callback callback, enum stage stage)
{
	*calls->stage = stage;
	*calls->calling = 1 + callback;
}

/* Whether what a callback returned for a refusal is an errno. */
static void check_refusal(struct calls *calls, enum callback callback, int64_t returned)
{
	if (returned == 0)
		fault(calls, callback, FAULT_RETURN_ZERO, 0, 0, 0);
	else if (returned < -MAX_ERRNO)
		fault(calls, callback, FAULT_RETURN_ERRNO, returned, 0, 0);
}

/*
 * Compares two results of `size` bytes, the first over PATTERN_A, the second over PATTERN_B. Reports bytes that neither
 * wrote; returns the index of the first that both wrote, and differently, or `size`.
 */
static size_t compare(struct calls *calls, enum callback callback, const uint8_t *first, const uint8_t *second,
		      size_t size)
{
	size_t unwritten = 0, at = 0, differs = size;

	if (memcmp(first, second, size) == 0)
		return size;
	for (size_t i = 0; i < size; i++) {
		if (first[i] == second[i])
			continue;
		if (first[i] == PATTERN_A && second[i] == PATTERN_B) {
			if (!unwritten++)
				at = i;
		} else if (differs == size) {
			differs = i;
		}
	}
	if (unwritten)
		fault(calls, callback, FAULT_UNWRITTEN, at, unwritten, size);
	return differs;
}

static bool wrote_before(struct calls *calls, enum callback callback, const uint8_t *window, uint8_t pattern)
{
	size_t at = first_written(window - BEFORE, pattern, BEFORE);

	if (at < BEFORE)
		fault(calls, callback, FAULT_BEFORE, BEFORE - at, 0, 0);
	return at < BEFORE;
}

static int call_proof(struct calls *calls, enum stage stage, int which, uint8_t pattern, uint64_t payload)
{
	size_t capacity = calls->descriptor->max_insn_cnt * INSN_BYTES;
	uint8_t *window = calls->insns[which].end - capacity;
	int returned;

	memset(window - BEFORE, pattern, BEFORE + capacity);
	enter(calls, CALLBACK_PROOF, stage);
	returned = calls->descriptor->instantiate_insn(payload, (struct bpf_insn *)window);
	wrote_before(calls, CALLBACK_PROOF, window, pattern);
	return returned;
}

static void accept_proof(struct calls *calls, struct answer *out, int returned)
{
	out->returned[CALLBACK_PROOF] = returned;
	if (returned < 0) {
		out->status[CALLBACK_PROOF] = STATUS_REJECTED;
	} else if (returned == 0) {
		out->status[CALLBACK_PROOF] = STATUS_FAILED;
	} else if (returned > calls->descriptor->max_insn_cnt) {
		fault(calls, CALLBACK_PROOF, FAULT_RETURN_LENGTH, returned, calls->descriptor->max_insn_cnt, 0);
		out->status[CALLBACK_PROOF] = STATUS_FAILED;
	} else {
		out->status[CALLBACK_PROOF] = STATUS_ACCEPTED;
	}
}

/* Whether the proof accepts, and nothing else: the buffer is not even cleared. */
static void answer_acceptance(struct calls *calls, uint64_t payload, struct answer *out)
{
	uint8_t *window = calls->insns[0].end - calls->descriptor->max_insn_cnt * INSN_BYTES;
	int returned;

	enter(calls, CALLBACK_PROOF, STAGE_WRITE);
	returned = calls->descriptor->instantiate_insn(payload, (struct bpf_insn *)window);
	if (returned <= 0)
		check_refusal(calls, CALLBACK_PROOF, returned);
	accept_proof(calls, out, returned);
}

static uint8_t *answer_proof(struct calls *calls, enum asked asked, uint64_t payload, struct answer *out, uint8_t *to)
{
	size_t capacity = calls->descriptor->max_insn_cnt * INSN_BYTES;
	const uint8_t *first = calls->insns[0].end - capacity;
	const uint8_t *second = calls->insns[1].end - capacity;
	int returned = call_proof(calls, STAGE_WRITE, 0, PATTERN_A, payload);
	int again = returned;
	size_t size, at;

	if (returned <= 0)
		check_refusal(calls, CALLBACK_PROOF, returned);
	if (asked == ASKED_EVERYTHING)
		again = call_proof(calls, STAGE_AGAIN, 1, PATTERN_B, payload);
	if (again != returned)
		fault(calls, CALLBACK_PROOF, FAULT_RETURN_DIFFERS, returned, again, 0);
	accept_proof(calls, out, returned);
	if (out->status[CALLBACK_PROOF] != STATUS_ACCEPTED)
		return to;
	size = (size_t)returned * INSN_BYTES;
	if (asked == ASKED_EVERYTHING && again == returned) {
		at = compare(calls, CALLBACK_PROOF, first, second, size);
		if (at < size)
			fault(calls, CALLBACK_PROOF, FAULT_PROOF_DIFFERS, at, 0, 0);
	}
	out->proof = size;
	memcpy(to, first, size);
	return to + size;
}

/* An emit, whichever of the two: what it is called with, and how it counts. */
struct emit {
	enum callback callback;
	size_t unit;		/* bytes of one step of the offset */
	size_t limit;		/* bytes that fit */
	const uint32_t *offsets;
};

static uint8_t *window_of(const struct calls *calls, const struct emit *emit, int which)
{
	return calls->images[which].end - emit->limit;
}

/* Calls an emit for the image in buffer `which`; the offset has to be advanced by what is returned. */
static int call_emit(struct calls *calls, const struct emit *emit, enum stage stage, int which, uint8_t pattern,
		     uint64_t payload)
{
	uint8_t *window = window_of(calls, emit, which);
	uint32_t start = emit->offsets[which], offset = start;
	uint8_t *image = window - start * emit->unit;
	bool writes = stage != STAGE_SIZE;
	int returned;

	memset(window - BEFORE, pattern, BEFORE + emit->limit);
	enter(calls, emit->callback, stage);
	if (emit->callback == CALLBACK_X86) {
		returned = calls->descriptor->emit_x86(image, &offset, writes, payload, calls->prog);
	} else {
		int idx = (int)start;

		returned = calls->descriptor->emit_arm64((uint32_t *)image, &idx, writes, payload, calls->prog);
		offset = (uint32_t)idx;
	}
	if (returned > 0 && offset - start != (uint32_t)returned)
		fault(calls, emit->callback, FAULT_OFFSET, start, (int32_t)offset, returned);
	if (returned > 0 && (size_t)returned * emit->unit > emit->limit)
		fault(calls, emit->callback, FAULT_LIMIT, (int64_t)returned * (int64_t)emit->unit,
		      calls->descriptor->max_emit_bytes, 0);
	return returned;
}

static void check_sizing(struct calls *calls, const struct emit *emit)
{
	const uint8_t *window = window_of(calls, emit, 0);
	size_t at = first_written(window - BEFORE, PATTERN_A, BEFORE + emit->limit);

	if (at < BEFORE + emit->limit)
		fault(calls, emit->callback, FAULT_SIZING_WROTE, (int64_t)at - BEFORE, 0, 0);
}

/* Whether a call that wrote `size` bytes into buffer `which` stayed within them. */
static void check_extent(struct calls *calls, const struct emit *emit, int which, uint8_t pattern, size_t size)
{
	const uint8_t *window = window_of(calls, emit, which);
	size_t at;

	if (wrote_before(calls, emit->callback, window, pattern) || size > emit->limit)
		return;
	at = size + first_written(window + size, pattern, emit->limit - size);
	if (at < emit->limit)
		fault(calls, emit->callback, FAULT_AFTER, size, at, 0);
}

static uint8_t *put(uint8_t *to, uint32_t *length, const uint8_t *from, size_t size)
{
	*length = size;
	memcpy(to, from, size);
	return to + size;
}

/* The same call over another pattern, and for another image. */
static uint8_t *repeat_emit(struct calls *calls, const struct emit *emit, uint64_t payload, int returned,
			    const uint8_t *first, struct emitted *out, uint8_t *to)
{
	size_t size = (size_t)returned * emit->unit;
	int again = call_emit(calls, emit, STAGE_AGAIN, 0, PATTERN_B, payload);

	if (again != returned)
		fault(calls, emit->callback, FAULT_RETURN_DIFFERS, returned, again, 0);
	else if (compare(calls, emit->callback, first, window_of(calls, emit, 0), size) < size)
		to = put(to, &out->second, window_of(calls, emit, 0), size);

	again = call_emit(calls, emit, STAGE_ELSEWHERE, 1, PATTERN_A, payload);
	if (again != returned)
		fault(calls, emit->callback, FAULT_RETURN_DIFFERS, returned, again, 0);
	else if (memcmp(first, window_of(calls, emit, 1), size))
		to = put(to, &out->elsewhere, window_of(calls, emit, 1), size);
	return to;
}

static uint8_t *answer_emit(struct calls *calls, const struct emit *emit, enum asked asked, uint64_t payload,
			    struct answer *answer, uint8_t *to)
{
	struct emitted *out = &answer->emits[emit->callback - CALLBACK_X86];
	uint8_t *status = &answer->status[emit->callback];
	const uint8_t *first = to;
	int sized = 0, returned;
	size_t size;

	if (asked == ASKED_EVERYTHING) {
		sized = call_emit(calls, emit, STAGE_SIZE, 0, PATTERN_A, payload);
		check_sizing(calls, emit);
		if (sized <= 0)
			check_refusal(calls, emit->callback, sized);
	}
	returned = call_emit(calls, emit, STAGE_WRITE, 0, PATTERN_A, payload);
	answer->returned[emit->callback] = returned;
	if (asked == ASKED_CONTENTS)
		sized = returned;
	if ((sized > 0) != (returned > 0))
		fault(calls, emit->callback, FAULT_SIZE_VERDICT, sized, returned, 0);
	if (returned <= 0) {
		if (sized > 0 || asked == ASKED_CONTENTS)
			check_refusal(calls, emit->callback, returned);
		*status = returned < 0 ? STATUS_REJECTED : STATUS_FAILED;
		return to;
	}
	if (sized < 0) {
		/* The kernel sizes first, and stops there. */
		answer->returned[emit->callback] = sized;
		*status = STATUS_REJECTED;
		return to;
	}
	size = (size_t)returned * emit->unit;
	check_extent(calls, emit, 0, PATTERN_A, size);
	if (size > emit->limit || sized == 0) {
		*status = STATUS_FAILED;
		return to;
	}
	*status = STATUS_ACCEPTED;
	out->sized = (uint32_t)sized * emit->unit;
	out->size = size;
	to = put(to, &out->bytes, window_of(calls, emit, 0), size);
	if (asked == ASKED_EVERYTHING)
		to = repeat_emit(calls, emit, payload, returned, first, out, to);
	return to;
}

static bool is_there(const struct descriptor *descriptor, enum callback callback)
{
	switch (callback) {
	case CALLBACK_PROOF:
		return descriptor->instantiate_insn;
	case CALLBACK_X86:
		return descriptor->emit_x86;
	default:
		return descriptor->emit_arm64;
	}
}

static uint8_t *answer_callback(struct calls *calls, enum callback callback, enum asked asked, uint64_t payload,
				struct answer *out, uint8_t *to)
{
	uint16_t limit = calls->descriptor->max_emit_bytes;
	struct emit x86 = { CALLBACK_X86, 1, limit, x86_offsets };
	struct emit arm64 = { CALLBACK_ARM64, 4, limit & ~3u, arm64_offsets };

	if (asked == ASKED_ACCEPTANCE) {
		if (callback == CALLBACK_PROOF)
			answer_acceptance(calls, payload, out);
		return to;
	}
	if (callback == CALLBACK_PROOF)
		return answer_proof(calls, asked, payload, out, to);
	return answer_emit(calls, callback == CALLBACK_X86 ? &x86 : &arm64, asked, payload, out, to);
}

size_t calls_answer(struct calls *calls, enum asked asked, uint64_t payload, const struct fault *failed,
		    struct answer *out)
{
	uint8_t *start = (uint8_t *)out;
	uint8_t *to = (uint8_t *)(out + 1);

	memset(out, 0, sizeof(*out));
	nr_faults = 0;
	calls->module->asked = 0;
	for (unsigned int callback = 0; callback < NR_CALLBACKS; callback++) {
		if (asked == ASKED_ACCEPTANCE && callback != CALLBACK_PROOF)
			break;
		if (!(calls->mask >> callback & 1) || !is_there(calls->descriptor, callback))
			continue;
		if (failed && failed[callback].code) {
			if (nr_faults < MAX_FAULTS)
				faults[nr_faults++] = failed[callback];
			out->status[callback] = STATUS_FAILED;
			continue;
		}
		to = answer_callback(calls, callback, asked, payload, out, to);
	}
	out->looked_at = calls->module->asked;
	out->nr_faults = nr_faults;
	while ((to - start) % 8)
		*to++ = 0;
	memcpy(to, faults, nr_faults * sizeof(*faults));
	to += nr_faults * sizeof(*faults);
	out->size = to - start;
	return out->size;
}
