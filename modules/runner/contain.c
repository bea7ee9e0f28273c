// SPDX-License-Identifier: GPL-2.0-or-later
/* What keeps a module from harming more than the process that it runs in. */
#define _GNU_SOURCE
#include "contain.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096
#define ADDRESS_SPACE (2ULL << 30)
/* A kernel's stack is a sixteenth of this; endless recursion is to end before the time does. */
#define STACK (256ULL << 10)
/* How often the clock ticks in the time that a call has. */
#define TICKS 4

enum access { ACCESS_READ, ACCESS_WRITTEN, ACCESS_EXECUTED, ACCESS_UNKNOWN };

static struct watch watch;
static unsigned int time_limit;
/* Which call was under way at the last tick, and the processor time then, in nanoseconds. */
static uint64_t watched_call;
static uint64_t watched_since;

static uint64_t this_call(void)
{
	const struct shared *shared = watch.shared;

	return (uint64_t)shared->done << 32 | shared->calling << 8 | shared->stage;
}

static uint64_t processor_time(void)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* Writes down what stopped the callback in work, and ends the process. */
static _Noreturn void stop(struct fault fault)
{
	struct shared *shared = watch.shared;
	uint32_t calling = shared->calling;

	if (calling >= 1 && calling <= NR_CALLBACKS) {
		fault.callback = calling - 1;
		fault.stage = shared->stage;
		shared->failed[calling - 1] = fault;
	} else {
		shared->failed[0] = fault;
	}
	_exit(EXIT_STOPPED);
}

static enum access access_of(const siginfo_t *info, const ucontext_t *context)
{
#ifdef __x86_64__
	greg_t error = context->uc_mcontext.gregs[REG_ERR];

	/* A general protection fault (vector 13) does not tell. */
	if (context->uc_mcontext.gregs[REG_TRAPNO] != 14 || info->si_code == SI_KERNEL)
		return ACCESS_UNKNOWN;
	return error & 16 ? ACCESS_EXECUTED : error & 2 ? ACCESS_WRITTEN : ACCESS_READ;
#else
	(void)info;
	(void)context;
	return ACCESS_UNKNOWN;
#endif
}

/* Whether a callback ran over the end of its buffer, or over its start: what that is as a fault. */
static int buffer_fault(uint8_t *address, enum access access, struct fault *fault)
{
	const struct descriptor *descriptor = watch.calls ? watch.calls->descriptor : NULL;
	uint32_t calling = watch.shared->calling;

	if (!descriptor || calling < 1 || calling > NR_CALLBACKS)
		return 0;
	for (int i = 0; i < 2; i++) {
		int proof = calling == 1 + CALLBACK_PROOF;
		const struct buffer *buffer = proof ? &watch.calls->insns[i] : &watch.calls->images[i];
		uint64_t size = proof ? descriptor->max_insn_cnt * 8u : descriptor->max_emit_bytes;

		if (address >= buffer->end && address < buffer->end + PAGE) {
			*fault = (struct fault) { .code = FAULT_OVERRUN, .a = address - buffer->end, .b = size, .c = access };
			return 1;
		}
		if (address >= buffer->start - PAGE && address < buffer->start) {
			*fault = (struct fault) { .code = FAULT_UNDERRUN, .a = buffer->end - size - address, .c = access };
			return 1;
		}
	}
	return 0;
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
	struct fault fault = {
		.code = FAULT_CRASH, .a = signal, .b = info->si_code, .c = (int64_t)info->si_addr, .d = ACCESS_UNKNOWN,
	};

	if (signal == SIGSYS) {
		fault = (struct fault) { .code = FAULT_SYSCALL, .a = info->si_syscall };
	} else if (signal == SIGSEGV) {
		fault.d = access_of(info, context);
		buffer_fault(info->si_addr, fault.d, &fault);
	}
	stop(fault);
}

static void on_tick(int signal)
{
	uint64_t now = processor_time();

	(void)signal;
	if (!watch.shared->calling || this_call() != watched_call) {
		watched_call = this_call();
		watched_since = now;
	} else if (now - watched_since >= time_limit * 1000000ULL) {
		stop((struct fault) { .code = FAULT_HANG, .a = time_limit });
	}
}

/* Called by code that was compiled with -fstack-protector when it has overrun a buffer on its stack. */
__attribute__((visibility("default"))) _Noreturn void __stack_chk_fail(void);
void __stack_chk_fail(void)
{
	stop((struct fault) { .code = FAULT_STACK });
}

int contain_signals(const struct watch *whom)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS };
	struct sigaction action = { .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	stack_t stack = { .ss_size = 64 << 10 };

	watch = *whom;
	stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, NULL))
		return -1;
	action.sa_sigaction = on_fault;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		if (sigaction(faults[i], &action, NULL))
			return -1;
	action = (struct sigaction) { .sa_flags = SA_ONSTACK | SA_RESTART, .sa_handler = on_tick };
	return sigaction(SIGALRM, &action, NULL);
}

int contain_time(unsigned int milliseconds)
{
	suseconds_t tick = milliseconds * 1000 / TICKS;
	struct itimerval timer = {
		.it_interval = { .tv_usec = tick }, .it_value = { .tv_usec = tick },
	};

	/* The clock is the wall's, which ticks more finely; what counts is processor time. Nobody is watched across batches. */
	time_limit = milliseconds;
	watched_call = 0;
	return setitimer(ITIMER_REAL, &timer, NULL);
}

int contain_resources(void)
{
	struct rlimit none = { 0, 0 }, memory = { ADDRESS_SPACE, ADDRESS_SPACE }, stack = { STACK, STACK };

	return setrlimit(RLIMIT_CORE, &none) || setrlimit(RLIMIT_AS, &memory) || setrlimit(RLIMIT_STACK, &stack) ? -1 : 0;
}

#ifdef __x86_64__
#define THIS_ARCH AUDIT_ARCH_X86_64
#else
#define THIS_ARCH AUDIT_ARCH_AARCH64
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define TRAP BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)
#define ALLOW_CALL(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), ALLOW
/* Reading and writing go to the socket alone. */
#define ALLOW_ON_SOCKET(nr) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 4), LOAD(args[0]), \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, STDIN_FILENO, 0, 1), ALLOW, TRAP
/* New memory holds no code. */
#define ALLOW_DATA(nr) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 4), LOAD(args[2]), \
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0), ALLOW, TRAP
#define START \
	LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 1, 0), TRAP, LOAD(nr), \
	ALLOW_ON_SOCKET(__NR_read), ALLOW_ON_SOCKET(__NR_write), ALLOW_DATA(__NR_mmap), \
	ALLOW_CALL(__NR_munmap), ALLOW_CALL(__NR_mremap), ALLOW_CALL(__NR_madvise), ALLOW_CALL(__NR_brk), \
	ALLOW_CALL(__NR_rt_sigreturn), ALLOW_CALL(__NR_exit_group), ALLOW_CALL(__NR_clock_gettime), \
	ALLOW_CALL(__NR_setitimer)

static int install(struct sock_filter *filter, unsigned short length)
{
	struct sock_fprog program = { .len = length, .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

#define INSTALL(filter) install(filter, sizeof(filter) / sizeof(filter[0]))

int contain_loader(void)
{
	static struct sock_filter filter[] = {
		START,
		ALLOW_CALL(__NR_clone),
#ifdef __NR_fork
		ALLOW_CALL(__NR_fork),
#endif
		ALLOW_CALL(__NR_wait4),
		ALLOW_CALL(__NR_sigaltstack),
		ALLOW_CALL(__NR_rt_sigaction),
		ALLOW_CALL(__NR_rt_sigprocmask),
		ALLOW_CALL(__NR_prctl),
		ALLOW_CALL(__NR_getppid),
		ALLOW_CALL(__NR_gettid),
		ALLOW_CALL(__NR_set_robust_list),
		ALLOW_CALL(__NR_rseq),
		ALLOW_DATA(__NR_mprotect),
		TRAP,
	};

	return INSTALL(filter);
}

int contain_worker(void)
{
	static struct sock_filter filter[] = { START, TRAP };

	return INSTALL(filter);
}
