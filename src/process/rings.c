/* What may interrupt it: nothing of it is in a process. Where stent is killed the kernel closes the events. */
#include "process/rings.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "process/kernel_file.h"
#include "process/threads.h"

#define LIST_MAX 4096
#define TICKS 25000000u	/* ns; two of the longest that there are */
#define BRIEF 200000u	/* ns; while something stands still */
#define RECENT 10000000u	/* ns */

/* As "0-3,6" and a line end (Documentation/admin-guide/cputopology.rst). False: it can't be read, or is cut. */
static bool list_processors(int file, char text[LIST_MAX])
{
	ssize_t count = pread(file, text, LIST_MAX - 1, 0);

	if (count <= 0 || text[count - 1] != '\n')
		return false;
	text[count] = '\0';
	return true;
}

/*
 * A processor that comes online and goes offline again has no event, and is not in the list before and behind that. But when one comes the kernel tells
 * user space (device_online() in drivers/base/core.c), and counts what it tells. (One that was there, goes and comes back has lost its events.)
 */
static uint64_t count_devices(const struct rings *rings)
{
	char text[32] = "";

	return rings->devices >= 0 && pread(rings->devices, text, sizeof(text) - 1, 0) > 0 ? strtoull(text, NULL, 10) : 0;
}

static bool are_all_possible(const char *processors)
{
	int file = kernel_file_open("/sys/devices/system/cpu/possible", SYSFS_MAGIC);
	char list[LIST_MAX];
	bool all = file >= 0 && list_processors(file, list) && !strcmp(list, processors);

	if (file >= 0)
		close(file);
	return all;
}

/* The count before the list. */
static bool note_processors(struct rings *rings)
{
	char list[LIST_MAX];

	rings->devices = kernel_file_open("/sys/kernel/uevent_seqnum", SYSFS_MAGIC);
	rings->happened = count_devices(rings);
	rings->list = kernel_file_open("/sys/devices/system/cpu/online", SYSFS_MAGIC);
	if (rings->list < 0 || !list_processors(rings->list, list))
		return false;
	rings->processors = text_copy(list);
	rings->all = are_all_possible(list);
	return true;
}

/* With what perf_event_open(2) calls the metadata page. */
static size_t size_of_pages(const struct rings *rings)
{
	return (1 + rings->pages) * (size_t)sysconf(_SC_PAGESIZE);
}

static int most_descriptors(void)
{
	struct rlimit limit = { 0 };

	getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur > INT_MAX ? INT_MAX : (int)limit.rlim_cur;
}

/* Takes the event, also where it fails. */
static bool add_event(struct rings *rings, int event)
{
	void *page;

	if (event < 0)
		return false;
	/* Others need descriptors, too. */
	if (event > most_descriptors() / 2) {
		close(event);
		errno = EMFILE;
		return false;
	}
	page = mmap(NULL, size_of_pages(rings), PROT_READ | PROT_WRITE, MAP_SHARED, event, 0);
	if (page == MAP_FAILED) {
		close(event);
		return false;
	}
	*array_add(&rings->events) = (struct ring){ event, page };
	return true;
}

static bool open_range(struct rings *rings, const struct perf_event_attr *attributes, unsigned long first, unsigned long last)
{
	for (unsigned long processor = first; processor <= last; processor++)
		if (!add_event(rings, (int)syscall(SYS_perf_event_open, attributes, -1, (int)processor, -1, PERF_FLAG_FD_CLOEXEC)))
			return false;
	return true;
}

static bool open_everywhere(struct rings *rings, const struct perf_event_attr *attributes)
{
	for (char *at = rings->processors; *at && *at != '\n'; at += *at == ',') {
		unsigned long first = strtoul(at, &at, 10), last = *at == '-' ? strtoul(at + 1, &at, 10) : first;

		if ((*at && *at != ',' && *at != '\n') || !open_range(rings, attributes, first, last))
			return false;
	}
	return rings->events.count != 0;
}

bool rings_open(const struct perf_event_attr *attributes, size_t count, size_t pages, struct rings *rings)
{
	*rings = (struct rings){ .setter = getpid(), .pages = pages, .list = -1, .devices = -1 };
	if (!note_processors(rings))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!open_everywhere(rings, &attributes[i]))
			return false;
	return count && rings_check(rings);
}

void rings_close(struct rings *rings)
{
	int reason = errno;

	for (size_t i = 0; i < rings->events.count; i++) {
		/* (fork() leaves these pages out of what it copies, so that something else may be there by now.) */
		if (rings->setter == getpid())
			munmap(rings->events.item[i].page, size_of_pages(rings));
		close(rings->events.item[i].event);
	}
	array_free(&rings->events);
	if (rings->setter && rings->list >= 0)
		close(rings->list);
	if (rings->setter && rings->devices >= 0)
		close(rings->devices);
	free(rings->processors);
	*rings = (struct rings){ 0 };
	errno = reason;
}

struct time {
	uint64_t count, enabled, running;
};

/* False: it can't be read, or the event was left out for a while, as breakpoints are that are too many. */
static bool read_time(const struct ring *ring, struct time *time)
{
	return read(ring->event, time, sizeof(*time)) == sizeof(*time) && time->enabled == time->running;
}

/*
 * The clocks of all events go on: that of one that was taken away stands still for good (__perf_event_exit_context() in kernel/events/core.c).
 * (Where processors' clocks are not to be relied on, these go on with each tick only: kernel/sched/clock.c.)
 */
static bool are_alive(const struct rings *rings, uint64_t end)
{
	struct time *first = memory_zeroed(rings->events.count, sizeof(*first)), now;
	bool alive = true;

	for (size_t i = 0; i < rings->events.count && alive; i++)
		alive = read_time(&rings->events.item[i], &first[i]);
	for (size_t i = 0; i < rings->events.count && alive; i++) {
		do
			alive = read_time(&rings->events.item[i], &now);
		while (alive && now.enabled == first[i].enabled && clock_now() < end);
		alive = alive && now.enabled > first[i].enabled;
	}
	free(first);
	return alive;
}

static bool has_same_processors(const struct rings *rings)
{
	char list[LIST_MAX];

	return list_processors(rings->list, list) && !strcmp(list, rings->processors) &&
	       (rings->all || (rings->happened && count_devices(rings) == rings->happened));
}

static uint64_t time_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool check(struct rings *rings, uint64_t most)
{
	uint64_t begun = time_now();
	bool whole = has_same_processors(rings) && are_alive(rings, clock_now() + most);

	if (whole)
		rings->whole = begun;
	return whole;
}

bool rings_check(struct rings *rings)
{
	return check(rings, TICKS);
}

/*
 * The clocks are not asked in each stop, because that interrupts the processors. Between two times that are so close none goes offline and comes back: each
 * of these waits for all others, and for a grace period of RCU. One that has come online stays in the list.
 */
bool rings_are_whole(struct rings *rings)
{
	return time_now() - rings->whole < RECENT ? has_same_processors(rings) : check(rings, BRIEF);
}

bool rings_have_counted_nothing(const struct rings *rings)
{
	struct time now;

	for (size_t i = 0; i < rings->events.count; i++)
		if (!read_time(&rings->events.item[i], &now) || now.count)
			return false;
	return true;
}

bool rings_join(const struct rings *other, struct rings *rings)
{
	bool joined = other->processors && other->events.count;

	*rings = (struct rings){ .setter = getpid(), .pages = other->pages, .list = -1, .devices = -1 };
	if (!joined)
		return false;
	rings->list = fcntl(other->list, F_DUPFD_CLOEXEC, 0);
	rings->devices = fcntl(other->devices, F_DUPFD_CLOEXEC, 0);
	rings->processors = text_copy(other->processors);
	rings->all = other->all;
	rings->happened = other->happened;
	for (size_t i = 0; i < other->events.count && joined; i++)
		joined = add_event(rings, fcntl(other->events.item[i].event, F_DUPFD_CLOEXEC, 0));
	return joined && rings_check(rings);
}
