/*
 * stopped_child.h: a child that recorded its own stack with libgcc's unwinder, which shares no code
 * with stent, and was stopped then to be walked from outside.
 */
#ifndef STENT_TESTS_STOPPED_CHILD_H
#define STENT_TESTS_STOPPED_CHILD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <inttypes.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <unwind.h>

#include "arch/registers.h"
#include "base/memory.h"
#include "image/image.h"
#include "unwind/validate.h"
#include "unwind/walk.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

#define noinline __attribute__((noinline))

#define FRAMES_MAX 128
#define WAIT_SECONDS 20

/* What a child says of itself, in memory that it shares with the test. */
static struct report {
	_Atomic pid_t tid;	/* set when the child has arrived */
	_Atomic bool go, bound, done;
	uint64_t pc[FRAMES_MAX], sp[FRAMES_MAX];	/* of each frame from leaf() on */
	size_t count;
} *report;

static volatile long sink;	/* work behind a call keeps it from becoming a jump */

/* ---- in the child ---- */

static _Unwind_Reason_Code record_frame(struct _Unwind_Context *context, void *unused)
{
	(void)unused;
	/* libgcc goes on to 0 above a thread's entry. */
	if (report->count == FRAMES_MAX || _Unwind_GetIP(context) == 0)
		return _URC_END_OF_STACK;
	report->pc[report->count] = _Unwind_GetIP(context);
	/* libgcc's CFA of a frame is the one that led to it: its stack pointer. */
	report->sp[report->count] = _Unwind_GetCFA(context);
	report->count++;
	return _URC_NO_REASON;
}

/* Say where the calling function's frame is, and those of its callers. */
#define record_stack()                                                                              \
	(_Unwind_Backtrace(record_frame, NULL), (void)(report->tid = (pid_t)syscall(SYS_gettid)))

/* ---- outside ---- */

struct victim {
	pid_t pid, tid;
	struct registers registers;
};

static struct unwind_module modules[64];
static size_t module_count;
static ARRAY(struct rows *) all_rows;

/* The vdso is a file in memory; of 8 KiB at most, in which its section headers are, too. */
static enum status read_vdso(struct image *image, struct error *error)
{
	const void *start = (const void *)getauxval(AT_SYSINFO_EHDR);
	const ElfW(Ehdr) *header = start;
	size_t size = header->e_shoff + (size_t)header->e_shentsize * header->e_shnum;

	return image_read_bytes("[vdso]", memory_copy(start, size), size, image, error);
}

static int add_module(struct dl_phdr_info *info, size_t size, void *unused)
{
	const char *name = info->dlpi_name[0] ? info->dlpi_name : "/proc/self/exe";
	struct validation validation;
	struct error error = { 0 };
	struct image image;
	struct rows *rows;

	(void)size;
	(void)unused;
	if (strncmp(name, "linux-vdso", 10) == 0)
		assert_int_equal(read_vdso(&image, &error), STATUS_OK);
	else
		assert_int_equal(image_read(name, &image, &error), STATUS_OK);
	rows = rows_build(&image.eh_frame, image.span);
	validate_image(&image, rows, &validation);
	validation_free(&validation);
	image_close(&image);
	*array_add(&all_rows) = rows;
	for (unsigned int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		uint64_t start = info->dlpi_addr + segment->p_vaddr;

		if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X))
			continue;
		assert_true(module_count < sizeof(modules) / sizeof(*modules));
		modules[module_count++] = (struct unwind_module){
			.code = { start, start + segment->p_memsz },
			.bias = info->dlpi_addr,
			.rows = rows,
			.text = (const uint8_t *)start,
			.name = info->dlpi_name[0] ? info->dlpi_name : "program",
		};
	}
	return 0;
}

static int compare_modules(const void *left, const void *right)
{
	uint64_t a = ((const struct unwind_module *)left)->code.start;
	uint64_t b = ((const struct unwind_module *)right)->code.start;

	return (a > b) - (a < b);
}

/* Children are forks, so what is true of the test's own address space is true of theirs. */
static int set_up(void **state)
{
	(void)state;
	alarm(6 * WAIT_SECONDS);	/* an end of the test, whatever waits for what */
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	dl_iterate_phdr(add_module, NULL);
	qsort(modules, module_count, sizeof(*modules), compare_modules);
	return report == MAP_FAILED || module_count < 3;
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < all_rows.count; i++)
		rows_free(all_rows.item[i]);
	array_free(&all_rows);
	return munmap(report, sizeof(*report));
}

static bool read_victim(void *context, uint64_t address, void *out, size_t size)
{
	const struct victim *victim = context;
	struct iovec local = { out, size }, remote = { (void *)address, size };

	return process_vm_readv(victim->pid, &local, 1, &remote, 1, 0) == (ssize_t)size;
}

/* Run the function in a child, and stop the thread that arrived. */
static void start_victim(void (*child)(void), struct victim *victim)
{
	time_t give_up = time(NULL) + WAIT_SECONDS;
	int status;

	memset(report, 0, sizeof(*report));
	victim->pid = fork();
	assert_int_not_equal(victim->pid, -1);
	if (victim->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(4 * WAIT_SECONDS);
		child();
		_exit(1);
	}
	while (!report->tid && time(NULL) < give_up)
		usleep(1000);
	victim->tid = report->tid;
	assert_int_not_equal(victim->tid, 0);
	assert_true(report->count > 2 && report->count < FRAMES_MAX);
	assert_int_equal(ptrace(PTRACE_SEIZE, victim->tid, NULL, NULL), 0);
	assert_int_equal(ptrace(PTRACE_INTERRUPT, victim->tid, NULL, NULL), 0);
	assert_int_equal(waitpid(victim->tid, &status, __WALL), victim->tid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(registers_read(victim->tid, &victim->registers), 0);
}

static void end_victim(struct victim *victim)
{
	kill(victim->pid, SIGKILL);
	/* The kernel does not report the process before its traced threads have been waited for. */
	if (victim->tid != victim->pid)
		assert_int_equal(waitpid(victim->tid, NULL, __WALL), victim->tid);
	assert_int_equal(waitpid(victim->pid, NULL, 0), victim->pid);
}

/* The mapping that holds the address, from the red zone of the stack pointer `low` on. */
static struct range find_mapping(const struct victim *victim, uint64_t address)
{
	char path[64], line[512];
	struct range mapping;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", victim->pid);
	maps = fopen(path, "re");
	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64, &mapping.start, &mapping.end) == 2 &&
		    range_holds(mapping, address)) {
			fclose(maps);
			return mapping;
		}
	}
	fail_msg("no mapping holds 0x%" PRIx64, address);
	return (struct range){ 0 };
}

/* Children are forks, and begin where the test began: proc(5), field 28 of stat. */
static uint64_t read_stack_start(void)
{
	char text[1024] = "", *at;
	FILE *file = fopen("/proc/self/stat", "re");

	assert_non_null(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	fclose(file);
	at = strrchr(text, ')');
	for (int field = 2; field < 28; field++)
		at = strchr(at + 1, ' ');
	return strtoull(at, NULL, 10);
}

static struct unwind_trace *walk_on(struct victim *victim, struct range stack)
{
	const struct unwind_memory memory = { .read = read_victim, .context = victim };
	struct unwind_trace *trace = memory_zeroed(1, sizeof(*trace));
	struct unwind_start start = { .stack = stack, .base = read_stack_start() };

	registers_dwarf(&victim->registers, start.registers);
	unwind_walk(modules, module_count, &arch_x86_64, &start, &memory, trace);
	return trace;
}

static void end_walk(struct unwind_trace *trace)
{
	unwind_trace_free(trace);
	free(trace);
}

#endif
