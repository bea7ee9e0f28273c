// SPDX-License-Identifier: GPL-2.0-or-later
@COMMENT@

#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* Part of memory that is not zero; one with length 0 ends a list. */
struct row {
	uint64_t address;
	unsigned char length, bytes[16];
};

/* One emit: the CPU features it was asked for and those it needs, and the SIMD registers it may change, by bits. */
struct variant {
	const char *features, *needs;
	unsigned size;
	uint32_t may_change;
	void (*run)(void);
};

enum fault { NO_FAULT, BAD_ACCESS, ILLEGAL, TRAP, DIVIDE, RAN_AWAY, ANY_FAULT };

/*
 * A function that loads every register from `initial`, falls through the emit, and stores every register to `final`.
 * The emit is part of this program's text: it is never writable, and `objdump -d` and `gdb` show it.
 */
#if defined(__x86_64__)
#define REGISTERS 16
#define STACK_POINTER_NUMBER 4
#define VECTORS 16
#define GENERAL(OP)                                                                                          \
	OP(0, rax) OP(8, rcx) OP(16, rdx) OP(24, rbx) OP(40, rbp) OP(48, rsi) OP(56, rdi) OP(64, r8)          \
	OP(72, r9) OP(80, r10) OP(88, r11) OP(96, r12) OP(104, r13) OP(112, r14) OP(120, r15) OP(32, rsp)
#define XMM(OP)                                                                                              \
	OP(144, xmm0) OP(160, xmm1) OP(176, xmm2) OP(192, xmm3) OP(208, xmm4) OP(224, xmm5) OP(240, xmm6)     \
	OP(256, xmm7) OP(272, xmm8) OP(288, xmm9) OP(304, xmm10) OP(320, xmm11) OP(336, xmm12)                \
	OP(352, xmm13) OP(368, xmm14) OP(384, xmm15)
#define LOAD(at, name) "mov initial+" #at "(%rip), %" #name "\n"
#define STORE(at, name) "mov %" #name ", final+" #at "(%rip)\n"
#define LOAD_VECTOR(at, name) "movdqu initial+" #at "(%rip), %" #name "\n"
#define STORE_VECTOR(at, name) "movdqu %" #name ", final+" #at "(%rip)\n"
#define ENTER                                                                                                \
	"push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"                             \
	"mov %rsp, saved_stack_pointer(%rip)\n" XMM(LOAD_VECTOR) "pushq initial+128(%rip)\n popfq\n" GENERAL(LOAD)
#define LEAVE                                                                                                \
	GENERAL(STORE) "mov saved_stack_pointer(%rip), %rsp\n pushfq\n popq final+128(%rip)\n cld\n"          \
	XMM(STORE_VECTOR) "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n"
#elif defined(__aarch64__)
#define REGISTERS 32
#define STACK_POINTER_NUMBER 31
#define VECTORS 32
/* x28 and x9 address the blocks: x28 is loaded last, and x9 is scratch, so that nobody asks what the emit left in it. */
#define GENERAL(OP)                                                                                          \
	OP(0, x0) OP(8, x1) OP(16, x2) OP(24, x3) OP(32, x4) OP(40, x5) OP(48, x6) OP(56, x7) OP(64, x8)      \
	OP(80, x10) OP(88, x11) OP(96, x12) OP(104, x13) OP(112, x14) OP(120, x15) OP(128, x16) OP(136, x17)  \
	OP(144, x18) OP(152, x19) OP(160, x20) OP(168, x21) OP(176, x22) OP(184, x23) OP(192, x24)            \
	OP(200, x25) OP(208, x26) OP(216, x27) OP(232, x29) OP(240, x30)
#define Q(OP)                                                                                                \
	OP(272, q0) OP(288, q1) OP(304, q2) OP(320, q3) OP(336, q4) OP(352, q5) OP(368, q6) OP(384, q7)       \
	OP(400, q8) OP(416, q9) OP(432, q10) OP(448, q11) OP(464, q12) OP(480, q13) OP(496, q14)              \
	OP(512, q15) OP(528, q16) OP(544, q17) OP(560, q18) OP(576, q19) OP(592, q20) OP(608, q21)            \
	OP(624, q22) OP(640, q23) OP(656, q24) OP(672, q25) OP(688, q26) OP(704, q27) OP(720, q28)            \
	OP(736, q29) OP(752, q30) OP(768, q31)
#define LOAD(at, name) "ldr " #name ", [x28, #" #at "]\n"
#define STORE(at, name) "str " #name ", [x9, #" #at "]\n"
#define ADDRESS(name, symbol) "adrp " #name ", " #symbol "\n add " #name ", " #name ", :lo12:" #symbol "\n"
#define ENTER                                                                                                \
	"stp x29, x30, [sp, #-160]!\n stp x19, x20, [sp, #16]\n stp x21, x22, [sp, #32]\n"                    \
	"stp x23, x24, [sp, #48]\n stp x25, x26, [sp, #64]\n stp x27, x28, [sp, #80]\n"                       \
	"stp d8, d9, [sp, #96]\n stp d10, d11, [sp, #112]\n stp d12, d13, [sp, #128]\n stp d14, d15, [sp, #144]\n" \
	ADDRESS(x9, saved_stack_pointer) "mov x10, sp\n str x10, [x9]\n" ADDRESS(x28, initial)                \
	"ldr x9, [x28, #248]\n mov sp, x9\n ldr x9, [x28, #256]\n msr nzcv, x9\n" Q(LOAD) GENERAL(LOAD)       \
	LOAD(72, x9) LOAD(224, x28)
#define LEAVE                                                                                                \
	ADDRESS(x9, final) GENERAL(STORE) STORE(224, x28) "mov x10, sp\n str x10, [x9, #248]\n"               \
	"mrs x10, nzcv\n str x10, [x9, #256]\n" Q(STORE)                                                      \
	ADDRESS(x9, saved_stack_pointer) "ldr x10, [x9]\n mov sp, x10\n"                                      \
	"ldp x19, x20, [sp, #16]\n ldp x21, x22, [sp, #32]\n ldp x23, x24, [sp, #48]\n"                       \
	"ldp x25, x26, [sp, #64]\n ldp x27, x28, [sp, #80]\n ldp d8, d9, [sp, #96]\n"                         \
	"ldp d10, d11, [sp, #112]\n ldp d12, d13, [sp, #128]\n ldp d14, d15, [sp, #144]\n"                    \
	"ldp x29, x30, [sp], #160\n ret\n"
#endif

#define EMIT(name, code)                                                                                     \
	void name(void);                                                                                      \
	__asm__(".text\n.balign 16\n.globl " #name "\n.type " #name ", %function\n" #name ":\n" ENTER         \
		".globl " #name "_begin\n" #name "_begin:\n" code "\n" LEAVE                                     \
		".size " #name ", . - " #name "\n")

/* General registers by number (the stack pointer among them), flags, padding, SIMD registers. */
#define WORDS (REGISTERS + 2 + 2 * VECTORS)
#define FLAGS REGISTERS
#define VECTOR(number) (REGISTERS + 2 + 2 * (number))
#define SHARED __attribute__((used, visibility("hidden"), aligned(16)))
SHARED uint64_t final[WORDS], saved_stack_pointer;

@CASE@

static unsigned char expected_window[WINDOW_SIZE], expected_stack[STACK_SIZE];
static unsigned char alternate_stack[1 << 16];
static sigjmp_buf before_the_emit;
static volatile sig_atomic_t caught;
static void *volatile fault_address;

static void give_up(const char *what)
{
	perror(what);
	exit(3);
}

static void map(uint64_t address, size_t size)
{
	void *wanted = (void *)address;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;

	if (mmap(wanted, size, PROT_READ | PROT_WRITE, flags, -1, 0) != wanted)
		give_up("cannot map memory at the address that the case needs");
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	(void)context;
	caught = number;
	fault_address = info->si_addr;
	siglongjmp(before_the_emit, 1);
}

static void catch_faults(void)
{
	const int numbers[] = { SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGALRM };
	stack_t stack = { .ss_sp = alternate_stack, .ss_size = sizeof(alternate_stack) };
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	if (sigaltstack(&stack, NULL))
		give_up("sigaltstack");
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		if (sigaction(numbers[i], &action, NULL))
			give_up("sigaction");
}

static enum fault fault_of(int number)
{
	switch (number) {
	case 0: return NO_FAULT;
	case SIGSEGV:
	case SIGBUS: return BAD_ACCESS;
	case SIGILL: return ILLEGAL;
	case SIGTRAP: return TRAP;
	case SIGFPE: return DIVIDE;
	case SIGALRM: return RAN_AWAY;
	default: return ANY_FAULT;
	}
}

/* A list of features without one that this CPU lacks. */
static bool supported(const char *features)
{
	char names[256], *rest = NULL;

	snprintf(names, sizeof(names), "%s", features);
	for (char *name = strtok_r(names, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
		bool found = false;

#if defined(__x86_64__)
		static const struct { const char *name; unsigned leaf, word, bit; } known[] = {
			{ "popcnt", 1, 2, 23 },      { "movbe", 1, 2, 22 }, { "pclmulqdq", 1, 2, 1 },
			{ "lzcnt", 0x80000001, 2, 5 }, { "bmi1", 7, 1, 3 },   { "bmi2", 7, 1, 8 },
			{ "sse4_2", 1, 2, 20 },      { "avx512vl", 7, 1, 31 }, { "avx512_vpopcntdq", 7, 2, 14 },
			{ "sse2", 1, 3, 26 },
		};
		for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
			unsigned words[4] = { 0 };

			if (strcmp(name, known[i].name))
				continue;
			__get_cpuid_count(known[i].leaf, 0, &words[0], &words[1], &words[2], &words[3]);
			found = words[known[i].word] >> known[i].bit & 1;
		}
#elif defined(__aarch64__)
		static const struct { const char *name; unsigned long word, bit; } known[] = {
			{ "asimd", AT_HWCAP, 1 },   { "pmull", AT_HWCAP, 4 },       { "crc32", AT_HWCAP, 7 },
			{ "atomics", AT_HWCAP, 8 }, { "svebitperm", AT_HWCAP2, 4 }, { "sb", AT_HWCAP, 29 },
		};
		for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
			if (!strcmp(name, known[i].name))
				found = getauxval(known[i].word) >> known[i].bit & 1;
#endif
		if (!found)
			return false;
	}
	return true;
}

static void place(const struct row *rows, unsigned char *window, unsigned char *stack)
{
	memset(window, 0, WINDOW_SIZE);
	memset(stack, 0, STACK_SIZE);
	for (; rows->length; rows++) {
		bool in_stack = rows->address >= STACK;
		unsigned char *to = in_stack ? stack + (rows->address - STACK) : window + (rows->address - WINDOW);

		memcpy(to, rows->bytes, rows->length);
	}
}

static int compare_registers(void)
{
	int different = 0;

	printf("         %-18s  %-18s  %s\n", "before", "after", "expected");
	for (int i = 0; i < 11; i++) {
		uint64_t before = initial[ebpf_registers[i]], after = final[ebpf_registers[i]];
		bool dead = DEAD >> i & 1, differs = !dead && after != expected_registers[i];

		printf("  r%-4d  0x%016llx  0x%016llx  0x%016llx%s\n", i, (unsigned long long)before,
		       (unsigned long long)after, (unsigned long long)expected_registers[i],
		       dead ? "  (dead)" : differs ? "  <-- differs" : "");
		different |= differs;
	}
	return different;
}

static int compare_memory(const char *name, uint64_t address, const unsigned char *expected, int size, int origin)
{
	const unsigned char *actual = (const unsigned char *)address;
	int shown = 0;

	for (int i = 0; i < size; i++) {
		if (actual[i] == expected[i])
			continue;
		if (shown++ < 8)
			printf("  %s%+d is 0x%02x, expected 0x%02x  <-- differs\n", name, i - origin, actual[i], expected[i]);
	}
	return shown > 0;
}

/* What native code must leave alone: preserved registers, SIMD registers, the direction flag, the caller's stack. */
static int compare_frame(uint32_t may_change)
{
	const unsigned char *callers = (const unsigned char *)initial[STACK_POINTER_NUMBER];
	const unsigned char *end = (const unsigned char *)NATIVE_STACK + NATIVE_STACK_SIZE;
	int different = 0;

	for (size_t i = 0; i < sizeof(preserved) / sizeof(*preserved); i++) {
		unsigned number = preserved[i].number;

		if (initial[number] == final[number])
			continue;
		printf("  %s must be preserved: it was 0x%llx and is 0x%llx  <-- differs\n", preserved[i].name,
		       (unsigned long long)initial[number], (unsigned long long)final[number]);
		different = 1;
	}
	for (int i = 0; i < VECTORS; i++) {
		if (may_change >> i & 1 || !memcmp(&initial[VECTOR(i)], &final[VECTOR(i)], 16))
			continue;
		printf("  SIMD register %d changed, and the contract does not declare it  <-- differs\n", i);
		different = 1;
	}
#if defined(__x86_64__)
	if (final[FLAGS] >> 10 & 1) {
		printf("  the direction flag is set at the end  <-- differs\n");
		different = 1;
	}
#endif
	for (; callers < end; callers++) {
		if (*callers == 0xa5)
			continue;
		printf("  the caller's stack changed at %p  <-- differs\n", (const void *)callers);
		return 1;
	}
	return different;
}

static int run(const struct variant *variant)
{
	enum fault fault;
	int different = 0;

	place(memory_before, (unsigned char *)WINDOW, (unsigned char *)STACK);
	place(memory_expected, expected_window, expected_stack);
	memset((void *)NATIVE_STACK, 0xa5, NATIVE_STACK_SIZE);
	memset(final, 0, sizeof(final));
	caught = 0;
	if (!sigsetjmp(before_the_emit, 1)) {
		alarm(2);
		variant->run();
	}
	alarm(0);
	fault = fault_of(caught);
	printf("%s\n%u bytes for features %s\n", TITLE, variant->size, variant->features);
	if (fault != NO_FAULT || EXPECTED_FAULT != NO_FAULT) {
		different = fault != EXPECTED_FAULT && (EXPECTED_FAULT != ANY_FAULT || fault == NO_FAULT);
		if (fault == NO_FAULT)
			printf("  ran to its end");
		else
			printf("  stopped: %s, address %p", strsignal(caught), fault_address);
		printf("; expected: %s%s\n", EXPECTED_FAULT_TEXT, different ? "  <-- differs" : "");
	} else {
		different |= compare_registers();
		different |= compare_memory("window", WINDOW, expected_window, WINDOW_SIZE, 0);
		different |= compare_memory("stack", STACK, expected_stack, STACK_SIZE, STACK_SIZE);
		different |= compare_frame(variant->may_change);
	}
	printf("%s\n", different ? "different" : "equal");
	return different;
}

int main(void)
{
	int different = 0, ran = 0;

	map(WINDOW, WINDOW_SIZE);
	map(STACK, STACK_SIZE);
	map(NATIVE_STACK, NATIVE_STACK_SIZE);
	catch_faults();
	for (size_t i = 0; i < sizeof(variants) / sizeof(*variants); i++) {
		if (!supported(variants[i].needs)) {
			printf("skipped the code for features %s: this CPU has not all of: %s\n", variants[i].features,
			       variants[i].needs);
			continue;
		}
		different |= run(&variants[i]);
		ran = 1;
	}
	return ran ? different : 3;
}
