// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs the callbacks of a kernel module: runner MODULE.so, with a socket as standard input and memory to share as
 * standard output.
 *
 * The process loads the module, calls its init function and says what was registered. Then it forks a worker, and another
 * whenever one ends. A worker reads a byte, answers the batch in the shared memory, and writes a byte. A callback that
 * crashes or hangs ends the worker; the next one goes on with the same payload, without that callback.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "contain.h"

#define INIT_MILLISECONDS 500
#define CALL_MILLISECONDS 200
#define QUICK_MILLISECONDS 3
#define MOST_BROKEN 8

static struct shared *shared;
static const struct descriptor *descriptors[MAX_OPERATIONS];
static struct calls calls;

/* Says why the module cannot be used, and ends the process. */
#define refuse(format...) refuse_as(READY_REFUSED, format)
static __attribute__((format(printf, 2, 3))) _Noreturn void refuse_as(enum ready ready, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(shared->text, sizeof(shared->text), format, arguments);
	va_end(arguments);
	shared->ready = ready;
	_exit(1);
}

static void map_shared(void)
{
	int null;

	shared = mmap(NULL, SHARED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, STDOUT_FILENO, 0);
	if (shared == MAP_FAILED)
		_exit(2);
	/* What the module prints goes nowhere. */
	null = open("/dev/null", O_WRONLY);
	if (null < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
		refuse("/dev/null: %s", strerror(errno));
	if (null > STDERR_FILENO)
		close(null);
}

static void add(const char *name, const struct descriptor *descriptor)
{
	struct operation *operation = &shared->operations[shared->nr_operations];

	if (!name || strlen(name) >= MAX_NAME)
		refuse("it registers a name of more than %d letters", MAX_NAME - 1);
	if (!descriptor)
		refuse("it registers %s without a descriptor", name);
	if (shared->nr_operations == MAX_OPERATIONS)
		refuse("it registers more than %d operations", MAX_OPERATIONS);
	if (!descriptor->instantiate_insn)
		refuse("the descriptor of %s has no instantiate_insn", name);
	for (uint32_t i = 0; i < shared->nr_operations; i++)
		if (!strcmp(shared->operations[i].name, name))
			refuse("it registers %s twice", name);
	strcpy(operation->name, name);
	operation->max_insn_cnt = descriptor->max_insn_cnt;
	operation->max_emit_bytes = descriptor->max_emit_bytes;
	operation->callbacks = 1 << CALLBACK_PROOF;
	if (descriptor->emit_x86)
		operation->callbacks |= 1 << CALLBACK_X86;
	if (descriptor->emit_arm64)
		operation->callbacks |= 1 << CALLBACK_ARM64;
	descriptors[shared->nr_operations++] = descriptor;
}

static void collect(const struct registration *registration)
{
	const struct name_set *set = registration->set;

	if (!set)
		refuse("it registers a set of functions without names");
	if (!registration->kinsn_descs)
		return;	/* plain kfuncs */
	for (uint32_t i = 0; i < set->cnt; i++)
		add(set->names[i], registration->kinsn_descs[i]);
}

static const char *init_failure(const struct fault *fault, char *text, size_t size)
{
	switch (fault->code) {
	case FAULT_HANG:
		snprintf(text, size, "its init function did not return within %d ms of processor time", INIT_MILLISECONDS);
		break;
	case FAULT_SYSCALL:
		snprintf(text, size, "its init function made system call %lld", (long long)fault->a);
		break;
	case FAULT_STACK:
		snprintf(text, size, "its init function overran a buffer on its stack");
		break;
	default:
		snprintf(text, size, "its init function crashed: %s at address %#llx", strsignal((int)fault->a),
			 (unsigned long long)fault->c);
	}
	return text;
}

/* Runs the init function and collects what it registered, in this process. */
static void initialise(struct module *module, int (*init)(void))
{
	int error;

	/* What a module takes out of its descriptors for want of a CPU feature could not be checked. */
	module->features = ~0ULL;
	error = init();
	if (error)
		refuse("its init function returned %d (%s)", error, strerror(error < 0 ? -error : error));
	if (module->nr_sets > MODULE_SETS)
		refuse("it registers %u sets of functions, and there is room for %d", module->nr_sets, MODULE_SETS);
	for (uint32_t i = 0; i < module->nr_sets; i++)
		collect(module->sets[i]);
	if (!shared->nr_operations)
		refuse_as(READY_NOTHING, "it registers no operation (register_btf_kfunc_id_set with .kinsn_descs, from its init function)");
}

static struct module *load(const char *path, int (**init)(void))
{
	struct module *module;
	void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!object)
		refuse("%s", dlerror());
	module = dlsym(object, "kop_module");
	if (!module || module->magic != MODULE_MAGIC)
		refuse("it was not built with the headers of this project, or includes neither <linux/module.h> nor <linux/btf.h>");
	if (module->version != MODULE_VERSION)
		refuse("it was built with headers of version %u, and this is version %d: build it anew", module->version,
		       MODULE_VERSION);
	*(void **)init = dlsym(object, "init_module");
	if (!*init)
		refuse_as(READY_NOTHING, "it registers no operation: it has no module_init");
	return module;
}

static unsigned int milliseconds(void)
{
	for (int i = 0; i < NR_CALLBACKS; i++)
		if (shared->hangs[i] >= shared->quick_hangs)
			return QUICK_MILLISECONDS;
	return CALL_MILLISECONDS;
}

/* Marks callbacks that hung or crashed too often as failed. */
static void give_up(struct fault *failed)
{
	for (int i = 0; i < NR_CALLBACKS; i++) {
		uint32_t hangs = shared->hangs[i], crashes = shared->crashes[i];

		if (!failed[i].code && (hangs >= shared->give_up_hangs || crashes >= shared->give_up_crashes))
			failed[i] = (struct fault) { .callback = i, .code = FAULT_GIVEN_UP, .a = hangs, .b = crashes };
	}
}

static void answer_batch(void)
{
	const uint64_t *payloads = (const uint64_t *)((uint8_t *)shared + SHARED_CONTROL);
	uint8_t *answers = (uint8_t *)(payloads + SHARED_PAYLOADS);

	calls.descriptor = descriptors[shared->operation % MAX_OPERATIONS];
	calls.mask = shared->mask;
	calls.module->features = shared->features;
	give_up(shared->failed);
	contain_time(milliseconds());
	while (shared->done < shared->count && shared->used + ANSWER_MAX <= SHARED_ANSWERS) {
		struct answer *answer = (struct answer *)(answers + shared->used);
		size_t size = calls_answer(&calls, shared->asked, payloads[shared->done], shared->failed, answer);

		shared->calling = 0;
		for (int i = 0; i < NR_CALLBACKS; i++)
			if (shared->failed[i].code != FAULT_GIVEN_UP)
				shared->failed[i].code = FAULT_NONE;
		shared->used += size;
		shared->broken = 0;
		shared->done++;
	}
	contain_time(0);
	memset(shared->failed, 0, sizeof(shared->failed));
}

static _Noreturn void work(void)
{
	char byte = 0;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || contain_worker())
		_exit(2);
	for (;;) {
		if (!shared->busy) {
			if (read(STDIN_FILENO, &byte, 1) != 1)
				_exit(0);
			shared->busy = 1;
		}
		answer_batch();
		shared->busy = 0;
		if (write(STDIN_FILENO, &byte, 1) != 1)
			_exit(0);
	}
}

/* Counts what ended a worker, and finds a name for it where the worker could not. */
static void bury(int status)
{
	uint32_t calling = shared->calling;
	struct fault *fault;

	if (calling < 1 || calling > NR_CALLBACKS || shared->failed[calling - 1].code == FAULT_GIVEN_UP) {
		if (++shared->broken > MOST_BROKEN)
			_exit(3);
		return;
	}
	fault = &shared->failed[calling - 1];
	if (!(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_STOPPED && fault->code))
		*fault = (struct fault) {
			.callback = calling - 1, .code = FAULT_DIED, .stage = shared->stage,
			.a = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
			.b = WIFEXITED(status) ? WEXITSTATUS(status) : 0,
		};
	if (fault->code == FAULT_HANG)
		shared->hangs[calling - 1]++;
	else
		shared->crashes[calling - 1]++;
}

static void serve(void)
{
	for (;;) {
		int status;
		pid_t worker = fork();

		if (worker == 0)
			work();
		if (worker < 0 || waitpid(worker, &status, 0) != worker)
			_exit(3);
		if (!shared->busy && WIFEXITED(status) && WEXITSTATUS(status) == 0)
			_exit(0);
		bury(status);
	}
}

/* Loads the module in a child, whose end tells whether that goes well. */
static void rehearse(struct module *module, int (*init)(void))
{
	char text[200];
	int status;
	pid_t child = fork();

	if (child == 0) {
		if (contain_time(INIT_MILLISECONDS))
			_exit(2);
		/* Any callback will do: the clock runs only for those. */
		shared->calling = 1;
		initialise(module, init);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		refuse("no process for its init function: %s", strerror(errno));
	shared->calling = 0;
	if (shared->ready)
		_exit(1);
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_STOPPED)
		refuse("%s", init_failure(&shared->failed[0], text, sizeof(text)));
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		refuse("its init function ended the process");
	shared->nr_operations = 0;
	memset(shared->failed, 0, sizeof(shared->failed));
	memset(shared->operations, 0, sizeof(shared->operations));
}

int main(int argc, char **argv)
{
	struct watch watch;
	struct module *module;
	int (*init)(void);
	char byte = 0;

	map_shared();
	watch = (struct watch) { .shared = shared, .calls = &calls };
	if (argc != 2)
		refuse("usage: runner MODULE.so");
	if (contain_resources())
		refuse("could not limit resources: %s", strerror(errno));
	module = load(argv[1], &init);
	if (calls_setup(&calls, module, &shared->calling, &shared->stage) || contain_signals(&watch))
		refuse("could not set up the buffers: %s", strerror(errno));
	if (contain_loader())
		refuse("could not install a filter for system calls: %s", strerror(errno));
	rehearse(module, init);
	initialise(module, init);
	shared->ready = READY_LOADED;
	if (write(STDIN_FILENO, &byte, 1) != 1)
		_exit(0);
	serve();
}
