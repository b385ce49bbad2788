#include "process/crew.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "process/threads.h"

#define CHILDREN_MAX 64u
#define LOOK_MILLISECONDS 100	/* how often cancelled() is asked */

struct child {
	pid_t pid;
	int socket;		/* -1: there is no child here */
	bool busy;
	size_t job;
	uint64_t deadline;	/* as clock_now() */
	ARRAY(char) received;	/* the answer's size, 8 bytes, and the answer */
};

struct running {
	const struct crew *crew;
	size_t count, next, taken;	/* jobs: all, the next to begin, those that have ended */
	bool cancelled;
	unsigned int children;
	struct child child[CHILDREN_MAX];
};

static bool send_all(int socket, const void *bytes, size_t size)
{
	const char *at = bytes;

	while (size) {
		ssize_t count = send(socket, at, size, MSG_NOSIGNAL);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return false;
		at += count;
		size -= (size_t)count;
	}
	return true;
}

/* What a child does until its socket closes: also when its parent was killed, it brings a job to its end first. */
static _Noreturn void serve(const struct crew *crew, int socket)
{
	uint64_t job;
	ssize_t count;

	while ((count = recv(socket, &job, sizeof(job), MSG_WAITALL)) == sizeof(job) || (count < 0 && errno == EINTR)) {
		char *answer;
		uint64_t size;
		bool sent;

		if (count < 0)
			continue;
		answer = crew->work(crew->context, (size_t)job);
		size = strlen(answer);
		fflush(NULL);
		sent = send_all(socket, &size, sizeof(size)) && send_all(socket, answer, (size_t)size);
		free(answer);
		if (!sent)
			break;
	}
	_exit(0);
}

static bool start_child(struct running *running, struct child *child)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	fflush(NULL);	/* else it would be printed twice */
	child->pid = fork();
	if (child->pid == 0) {
		/* Another child's socket must close when its parent closes it. */
		for (unsigned int i = 0; i < running->children; i++)
			if (running->child[i].socket >= 0)
				close(running->child[i].socket);
		close(pair[0]);
		serve(running->crew, pair[1]);
	}
	close(pair[1]);
	if (child->pid < 0) {
		close(pair[0]);
		return false;
	}
	child->socket = pair[0];
	child->busy = false;
	return true;
}

static void end_child(struct child *child, bool kill_it)
{
	close(child->socket);
	child->socket = -1;
	array_free(&child->received);
	if (!kill_it) {
		while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
			;
		return;
	}
	kill(child->pid, SIGKILL);
	/* One that waits for a broken file system may not end: nobody waits for it. */
	for (int i = 0; i < 100 && waitpid(child->pid, NULL, WNOHANG) == 0; i++)
		usleep(1000);
}

static void take(struct running *running, size_t job, enum crew_end end, const char *answer)
{
	running->taken++;
	running->crew->take(running->crew->context, job, end, answer);
}

static void give_job(struct running *running, struct child *child)
{
	uint64_t job = running->next++;

	child->busy = true;
	child->job = (size_t)job;
	child->received.count = 0;
	child->deadline = clock_now() + (uint64_t)running->crew->limit * 1000000;
	(void)!send_all(child->socket, &job, sizeof(job));	/* that it is gone is seen where its answer is read */
}

static void give_jobs(struct running *running)
{
	for (unsigned int i = 0; i < running->children && running->next < running->count && !running->cancelled; i++) {
		struct child *child = &running->child[i];

		if (child->socket >= 0 && child->busy)
			continue;
		if (child->socket < 0 && !start_child(running, child))
			continue;
		give_job(running, child);
	}
}

static void end_job(struct running *running, struct child *child, enum crew_end end)
{
	child->busy = false;
	end_child(child, true);
	take(running, child->job, end, "");
}

/* True when the answer is complete. */
static bool read_answer(struct running *running, struct child *child)
{
	char bytes[65536];
	ssize_t count = recv(child->socket, bytes, sizeof(bytes), MSG_DONTWAIT);
	uint64_t size = 0;

	if (count < 0 && (errno == EINTR || errno == EAGAIN))
		return false;
	if (count <= 0) {
		end_job(running, child, CREW_CRASHED);
		return false;
	}
	for (ssize_t i = 0; i < count; i++)
		*array_add(&child->received) = bytes[i];
	if (child->received.count < sizeof(size))
		return false;
	memcpy(&size, child->received.item, sizeof(size));
	if (size > CREW_ANSWER_MAX || child->received.count - sizeof(size) > size) {
		end_job(running, child, CREW_CRASHED);
		return false;
	}
	return child->received.count - sizeof(size) == size;
}

static void take_answer(struct running *running, struct child *child)
{
	if (!read_answer(running, child))
		return;
	*array_add(&child->received) = '\0';
	child->busy = false;
	take(running, child->job, CREW_DONE, child->received.item + sizeof(uint64_t));
	/* (What one holds that has nothing to do any more others may need: memory, breakpoints of processors.) */
	if (running->crew->fresh || running->next == running->count)
		end_child(child, true);
}

static void wait_for_answers(struct running *running)
{
	struct pollfd polled[CHILDREN_MAX];
	uint64_t now;

	for (unsigned int i = 0; i < running->children; i++)
		polled[i] = (struct pollfd){ .fd = running->child[i].busy ? running->child[i].socket : -1, .events = POLLIN };
	if (poll(polled, running->children, LOOK_MILLISECONDS) < 0)
		return;
	now = clock_now();
	for (unsigned int i = 0; i < running->children; i++) {
		struct child *child = &running->child[i];

		if (polled[i].fd >= 0 && polled[i].revents)
			take_answer(running, child);
		else if (polled[i].fd >= 0 && now >= child->deadline)
			end_job(running, child, CREW_LATE);
	}
}

static void cancel(struct running *running)
{
	running->cancelled = true;
	for (unsigned int i = 0; i < running->children; i++)
		if (running->child[i].socket >= 0 && running->child[i].busy)
			kill(running->child[i].pid, SIGTERM);
}

static bool is_busy(const struct running *running)
{
	for (unsigned int i = 0; i < running->children; i++)
		if (running->child[i].socket >= 0 && running->child[i].busy)
			return true;
	return false;
}

static unsigned int count_children(const struct crew *crew, size_t count)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	size_t children = crew->children ? crew->children : processors > 0 ? (size_t)processors : 1;

	if (children > count)
		children = count;
	return children < CHILDREN_MAX ? (unsigned int)children : CHILDREN_MAX;
}

void crew_run(const struct crew *crew, size_t count)
{
	struct running *running = memory_zeroed(1, sizeof(*running));

	running->crew = crew;
	running->count = count;
	running->children = count_children(crew, count);
	for (unsigned int i = 0; i < running->children; i++)
		running->child[i].socket = -1;
	while (running->taken < count) {
		if (!running->cancelled && crew->cancelled && crew->cancelled())
			cancel(running);
		give_jobs(running);
		if (!is_busy(running))
			break;	/* cancelled, or no child could be made */
		wait_for_answers(running);
	}
	while (running->next < count)
		take(running, running->next++, CREW_CANCELLED, "");
	for (unsigned int i = 0; i < running->children; i++)
		if (running->child[i].socket >= 0)
			end_child(&running->child[i], false);
	free(running);
}

char *crew_end_text(const struct crew *crew, enum crew_end end)
{
	switch (end) {
	case CREW_DONE:
		return text_copy("");
	case CREW_LATE:
		return text_format("took longer than %u s, and was given up", (crew->limit + 999) / 1000);
	case CREW_CRASHED:
		return text_copy("the stent that was at work on it crashed");
	case CREW_CANCELLED:
		break;
	}
	return text_copy("not begun, because stent was told to end, or could start no process for it");
}
