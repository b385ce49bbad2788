/*
 * What may interrupt it: all threads are stopped. One of them is made to ask for the handlers (remote.c), which changes nothing but the
 * scratch memory; all else only reads /proc and asks ptrace.
 */
#include "live/held.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 4096u	/* to look at each takes a microsecond or two, while the process stands still */
#define SIGNALS 64
#define SIGINFOS 16		/* that are read at a time */

/* struct sigaction of the kernel (include/linux/signal_types.h): handler, flags, restorer, mask. */
enum { ACTION_HANDLER, ACTION_RESTORER = 2, ACTION_WORDS = 4 };
_Static_assert(ACTION_WORDS * sizeof(uint64_t) == HELD_SCRATCH, "an action has room");

static void note(struct references *references, uint64_t value, const char *who)
{
	size_t owner = references_owner(references, value);

	if (owner != SIZE_MAX)
		references_note(references, owner, text_format("%s may be in it: 0x%" PRIx64, who, value));
}

static void note_unknown(struct references *references, const char *why)
{
	for (size_t i = 0; i < references->why.count; i++)
		references_note(references, i, text_copy(why));
}

/* --- handlers --- */

/* Which signals have handlers: bit signal - 1. All, when it can't be told. */
static uint64_t caught(const struct process *process, pid_t tid)
{
	char name[64], *text;
	const char *line;
	uint64_t set;

	snprintf(name, sizeof(name), "task/%d/status", tid);
	text = process_file(process, name, NULL);
	line = text ? strstr(text, "\nSigCgt:") : NULL;
	set = line ? strtoull(line + strlen("\nSigCgt:"), NULL, 16) : UINT64_MAX;
	free(text);
	return set;
}

static enum status ask_handlers(struct references *references, struct remote *remote, uint64_t scratch, struct error *error)
{
	const struct process *process = remote->process;
	uint64_t set = caught(process, remote->thread.tid);
	enum status status = STATUS_OK;

	for (uint64_t number = 1; number <= SIGNALS && status == STATUS_OK; number++) {
		const uint64_t arguments[6] = { number, 0, scratch, sizeof(uint64_t) };
		uint64_t action[ACTION_WORDS];
		int64_t result;

		if (!(set & UINT64_C(1) << (number - 1)))
			continue;
		status = remote_call(remote, SYS_rt_sigaction, arguments, &result, error);
		if (status != STATUS_OK)
			break;
		if (result || !process_read(process, scratch, action, sizeof(action))) {
			note_unknown(references, "handlers of signals can't be asked for");
			break;
		}
		note(references, action[ACTION_HANDLER], "a signal's handler");
		note(references, action[ACTION_RESTORER], "what a signal's handler returns to");
	}
	return status;
}

/* --- what timers and epoll descriptors carry, as /proc says (proc(5)) --- */

/* Every hexadecimal number that follows a word. */
static void note_numbers(struct references *references, const char *text, const char *word, char before, const char *who)
{
	for (const char *at = strstr(text, word); at; at = strstr(at, word)) {
		at += strlen(word);
		if (before)
			at += strcspn(at, "\n/");
		if (before && *at == before)
			at++;
		note(references, strtoull(at, NULL, 16), who);
	}
}

/* "signal: 14/00007ffd..." */
static void look_at_timers(struct references *references, const struct process *process)
{
	char *text = process_file(process, "timers", NULL);

	if (text)
		note_numbers(references, text, "signal: ", '/', "what a timer carries");
	else
		note_unknown(references, "what its timers carry can't be told");
	free(text);
}

/* "tfd: 5 events: 1d data: ffffffffffffffff ..." */
static void look_at_epoll(struct references *references, const struct process *process, const char *descriptor)
{
	char name[300], *text;

	snprintf(name, sizeof(name), "fdinfo/%s", descriptor);
	text = process_file(process, name, NULL);
	if (text)
		note_numbers(references, text, " data: ", '\0', "what an epoll descriptor carries");
	else
		note_unknown(references, "what an epoll descriptor carries can't be told");
	free(text);
}

static void look_at_descriptors(struct references *references, const struct process *process)
{
	int folder = openat(process->directory, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = folder >= 0 ? fdopendir(folder) : NULL;
	const struct dirent *entry;
	size_t count = 0;

	if (!directory) {
		if (folder >= 0)
			close(folder);
		note_unknown(references, "its descriptors can't be listed");
		return;
	}
	while ((entry = readdir(directory)) && count <= DESCRIPTORS_MAX) {
		char to[64];
		ssize_t length = readlinkat(dirfd(directory), entry->d_name, to, sizeof(to) - 1);

		to[length < 0 ? 0 : length] = '\0';
		count += length >= 0;
		if (!strcmp(to, "anon_inode:[eventpoll]"))
			look_at_epoll(references, process, entry->d_name);
		else if (!strcmp(to, "anon_inode:[io_uring]"))
			note_unknown(references, "requests to io_uring may carry a pointer into it");
	}
	closedir(directory);
	if (count > DESCRIPTORS_MAX)
		note_unknown(references, "it has too many descriptors to look for what they carry");
}

static void look_at_rings(struct references *references)
{
	for (size_t i = 0; i < references->maps->count; i++) {
		const char *name = references->maps->item[i].name;

		if (!strncmp(name, "anon_inode:[io_uring]", 21))
			note_unknown(references, "requests to io_uring may carry a pointer into it");
		else if (!strncmp(name, "/[aio]", 6))
			note_unknown(references, "requests of io_submit() may carry a pointer into it");
	}
}

/* --- pending signals --- */

static void note_siginfo(struct references *references, const siginfo_t *info)
{
	const uint8_t *bytes = (const uint8_t *)info;

	for (size_t at = 0; at + sizeof(uint64_t) <= sizeof(*info); at += sizeof(uint64_t))
		note(references, load64(bytes + at), "what a pending signal carries");
}

static void look_at_queue(struct references *references, pid_t tid, uint32_t flags)
{
	struct __ptrace_peeksiginfo_args from = { .flags = flags, .nr = SIGINFOS };
	siginfo_t infos[SIGINFOS];
	long got;

	while ((got = ptrace(PTRACE_PEEKSIGINFO, tid, &from, infos)) > 0) {
		for (long i = 0; i < got; i++)
			note_siginfo(references, &infos[i]);
		from.off += (uint64_t)got;
	}
	if (got < 0)
		note_unknown(references, "pending signals can't be read");
}

static void look_at_signals(struct references *references, const struct threads *threads)
{
	bool shared = false;

	for (size_t i = 0; i < threads->count; i++) {
		const struct thread *thread = &threads->item[i];
		siginfo_t info;

		if (thread->state != THREAD_STOPPED)
			continue;
		look_at_queue(references, thread->tid, 0);
		if (!shared)
			look_at_queue(references, thread->tid, PTRACE_PEEKSIGINFO_SHARED);
		shared = true;
		/* One that is about to be delivered is in no queue any more. */
		if (thread->signal && ptrace(PTRACE_GETSIGINFO, thread->tid, NULL, &info) == 0)
			note_siginfo(references, &info);
	}
}

char *held_foresee(const struct process *process, const struct maps *maps)
{
	struct references references = { .maps = maps };
	char *why;

	*array_add(&references.why) = NULL;
	look_at_rings(&references);
	look_at_timers(&references, process);
	look_at_descriptors(&references, process);
	why = references.why.item[0];
	references.why.item[0] = NULL;
	references_free(&references);
	return why;
}

enum status held_search(struct references *references, const struct threads *threads, struct remote *remote, uint64_t scratch,
			struct error *error)
{
	look_at_rings(references);
	look_at_timers(references, remote->process);
	look_at_descriptors(references, remote->process);
	look_at_signals(references, threads);
	return ask_handlers(references, remote, scratch, error);
}
