/*
 * chains.c: the stacks of a process, as an unwinder that is not ours sees them.
 *
 *	chains dwfl PID		libdwfl of elfutils
 *	chains unwind PID	libunwind-ptrace, without a cache
 *
 * Prints for each thread "TID PC PC...", the innermost frame first, sorted by tid. The process may be stopped
 * by SIGSTOP, and stays so.
 */
#include <dirent.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <inttypes.h>
#include <libunwind-ptrace.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS_MAX 1024
#define FRAMES_MAX 40000

struct chain {
	pid_t tid;
	size_t count;
	uint64_t pc[FRAMES_MAX];
};

static pid_t tids[THREADS_MAX];
static size_t tid_count;
static struct chain *chains[THREADS_MAX];

static void die(const char *what)
{
	fprintf(stderr, "chains: %s\n", what);
	exit(1);
}

static int compare_tids(const void *one, const void *other)
{
	const pid_t *a = one, *b = other;

	return *a < *b ? -1 : *a > *b;
}

static void list_threads(pid_t pid)
{
	char path[64];
	const struct dirent *entry;
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	directory = opendir(path);
	if (!directory)
		die("there is no such process");
	while ((entry = readdir(directory)) != NULL && tid_count < THREADS_MAX)
		if (entry->d_name[0] != '.')
			tids[tid_count++] = (pid_t)atoi(entry->d_name);
	closedir(directory);
	qsort(tids, tid_count, sizeof(tids[0]), compare_tids);
}

/* Not PTRACE_ATTACH, whose SIGSTOP would be seen. A thread that has ended drops out of the list. */
static void stop_threads(void)
{
	size_t kept = 0;

	for (size_t i = 0; i < tid_count; i++) {
		int status;

		if (ptrace(PTRACE_SEIZE, tids[i], NULL, NULL) || ptrace(PTRACE_INTERRUPT, tids[i], NULL, NULL))
			continue;
		if (waitpid(tids[i], &status, __WALL) == tids[i] && WIFSTOPPED(status))
			tids[kept++] = tids[i];
	}
	tid_count = kept;
}

static void release_threads(void)
{
	for (size_t i = 0; i < tid_count; i++)
		ptrace(PTRACE_DETACH, tids[i], NULL, NULL);
}

static void add(struct chain *chain, uint64_t pc)
{
	if (chain->count < FRAMES_MAX)
		chain->pc[chain->count++] = pc;
}

static int no_debug_info(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base, const char *file,
			 const char *link, GElf_Word checksum, char **found)
{
	(void)module, (void)data, (void)name, (void)base, (void)file, (void)link, (void)checksum, (void)found;
	return -1;
}

static int add_dwfl_frame(Dwfl_Frame *frame, void *context)
{
	Dwarf_Addr pc;
	bool interrupted;

	if (!dwfl_frame_pc(frame, &pc, &interrupted))
		return DWARF_CB_ABORT;
	add(context, pc);
	return DWARF_CB_OK;
}

static void walk_dwfl(pid_t pid)
{
	static const Dwfl_Callbacks callbacks = {
		.find_elf = dwfl_linux_proc_find_elf, .find_debuginfo = no_debug_info,
	};
	Dwfl *dwfl = dwfl_begin(&callbacks);

	if (!dwfl || dwfl_linux_proc_report(dwfl, pid) || dwfl_report_end(dwfl, NULL, NULL) ||
	    dwfl_linux_proc_attach(dwfl, pid, true))
		die(dwfl_errmsg(-1));
	for (size_t i = 0; i < tid_count; i++)
		dwfl_getthread_frames(dwfl, tids[i], add_dwfl_frame, chains[i]);
	dwfl_end(dwfl);
}

static void walk_unwind(void)
{
	unw_addr_space_t space = unw_create_addr_space(&_UPT_accessors, 0);

	if (!space)
		die("libunwind has no memory");
	unw_set_caching_policy(space, UNW_CACHE_NONE);
	for (size_t i = 0; i < tid_count; i++) {
		void *context = _UPT_create(tids[i]);
		unw_cursor_t cursor;
		unw_word_t pc;

		if (!context || unw_init_remote(&cursor, space, context))
			die("libunwind can't begin");
		do {
			if (unw_get_reg(&cursor, UNW_REG_IP, &pc))
				break;
			add(chains[i], pc);
		} while (unw_step(&cursor) > 0 && chains[i]->count < FRAMES_MAX);
		_UPT_destroy(context);
	}
	unw_destroy_addr_space(space);
}

static void print_chains(void)
{
	for (size_t i = 0; i < tid_count; i++) {
		printf("%d", chains[i]->tid);
		for (size_t j = 0; j < chains[i]->count; j++)
			printf(" %#" PRIx64, chains[i]->pc[j]);
		putchar('\n');
	}
}

int main(int argc, char **argv)
{
	pid_t pid = argc == 3 ? (pid_t)atoi(argv[2]) : 0;
	int dwfl = argc == 3 && !strcmp(argv[1], "dwfl");

	if (pid <= 0 || (!dwfl && strcmp(argv[1], "unwind") != 0))
		die("usage: chains dwfl|unwind PID");
	list_threads(pid);
	stop_threads();
	for (size_t i = 0; i < tid_count; i++) {
		chains[i] = calloc(1, sizeof(*chains[i]));
		if (!chains[i])
			die("no memory");
		chains[i]->tid = tids[i];
	}
	if (dwfl)
		walk_dwfl(pid);
	else
		walk_unwind();
	release_threads();
	print_chains();
	return 0;
}
