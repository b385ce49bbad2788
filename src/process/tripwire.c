/*
 * What may interrupt it: nothing of it is in a process. A thread that comes to the place enters the kernel for a moment, which takes a note of it
 * and lets it go on; no signal is sent. Where stent is killed the kernel closes the events.
 */
#include "process/tripwire.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/hw_breakpoint.h>
#include <linux/magic.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
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

static size_t size_of_pages(void)
{
	return 2 * (size_t)sysconf(_SC_PAGESIZE);	/* what perf_event_open(2) calls the metadata page, and one of data */
}

static int most_descriptors(void)
{
	struct rlimit limit = { 0 };

	getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur > INT_MAX ? INT_MAX : (int)limit.rlim_cur;
}

/* Takes the event, also where it fails. */
static bool add_event(struct tripwire *wire, int event)
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
	page = mmap(NULL, size_of_pages(), PROT_READ | PROT_WRITE, MAP_SHARED, event, 0);
	if (page == MAP_FAILED) {
		close(event);
		return false;
	}
	*array_add(&wire->events) = (struct tripwire_event){ event, page };
	return true;
}

/* Every execution makes a record, of which only that there is one is of interest. */
static bool set_one(struct tripwire *wire, uint64_t place, int processor)
{
	struct perf_event_attr attributes = {
		.type = PERF_TYPE_BREAKPOINT,
		.size = sizeof(attributes),
		.sample_period = 1,
		.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
		.exclude_kernel = 1,
		.exclude_hv = 1,
		.bp_type = HW_BREAKPOINT_X,
		.bp_addr = place,
		.bp_len = sizeof(long),	/* the only one for execution */
	};

	return add_event(wire, (int)syscall(SYS_perf_event_open, &attributes, -1, processor, -1, PERF_FLAG_FD_CLOEXEC));
}

static bool set_range(struct tripwire *wire, uint64_t place, unsigned long first, unsigned long last)
{
	for (unsigned long processor = first; processor <= last; processor++)
		if (!set_one(wire, place, (int)processor))
			return false;
	return true;
}

static bool set_at(struct tripwire *wire, uint64_t place)
{
	for (char *at = wire->processors; *at && *at != '\n'; at += *at == ',') {
		unsigned long first = strtoul(at, &at, 10), last = *at == '-' ? strtoul(at + 1, &at, 10) : first;

		if ((*at && *at != ',' && *at != '\n') || !set_range(wire, place, first, last))
			return false;
	}
	return wire->events.count != 0;
}

static bool set_all(const uint64_t *places, size_t count, struct tripwire *wire)
{
	int file = kernel_file_open("/sys/devices/system/cpu/online", SYSFS_MAGIC);
	char list[LIST_MAX];

	*wire = (struct tripwire){ .setter = getpid() };
	if (file < 0 || !list_processors(file, list)) {
		if (file >= 0)
			close(file);
		return false;
	}
	wire->list = file;
	wire->processors = text_copy(list);
	for (size_t i = 0; i < count; i++)
		if (!set_at(wire, places[i]))
			return false;
	return count && tripwire_check(wire);
}

static __attribute__((noinline)) void step_on(void)
{
	__asm__ volatile("" : : : "memory");
}

/* A machine's emulator may give out breakpoints at which nothing happens. */
static bool works(void)
{
	uint64_t place = (uint64_t)(uintptr_t)step_on;
	struct tripwire wire;
	bool touched = false;

	if (set_all(&place, 1, &wire) && tripwire_untouched(&wire)) {
		step_on();
		touched = !tripwire_untouched(&wire);
	}
	tripwire_remove(&wire);
	return touched;
}

bool tripwire_set(const uint64_t *places, size_t count, struct tripwire *wire)
{
	*wire = (struct tripwire){ 0 };
	if (works() && set_all(places, count, wire))
		return true;
	tripwire_remove(wire);
	return false;
}

void tripwire_remove(struct tripwire *wire)
{
	int reason = errno;

	for (size_t i = 0; i < wire->events.count; i++) {
		/* (fork() leaves these pages out of what it copies, so that something else may be there by now.) */
		if (wire->setter == getpid())
			munmap(wire->events.item[i].page, size_of_pages());
		close(wire->events.item[i].event);
	}
	array_free(&wire->events);
	if (wire->processors)
		close(wire->list);
	free(wire->processors);
	*wire = (struct tripwire){ 0 };
	errno = reason;
}

struct time {
	uint64_t count, enabled, running;
};

/* False: it can't be read, or the event was left out for a while for want of a breakpoint. */
static bool read_time(const struct tripwire_event *event, struct time *time)
{
	return read(event->event, time, sizeof(*time)) == sizeof(*time) && time->enabled == time->running;
}

/*
 * The clocks of all events go on: that of one that was taken away stands still for good (__perf_event_exit_context() in kernel/events/core.c).
 * (Where processors' clocks are not to be relied on, these go on with each tick only: kernel/sched/clock.c.)
 */
static bool are_alive(const struct tripwire *wire, uint64_t end)
{
	struct time *first = memory_zeroed(wire->events.count, sizeof(*first)), now;
	bool alive = true;

	for (size_t i = 0; i < wire->events.count && alive; i++)
		alive = read_time(&wire->events.item[i], &first[i]);
	for (size_t i = 0; i < wire->events.count && alive; i++) {
		do
			alive = read_time(&wire->events.item[i], &now);
		while (alive && now.enabled == first[i].enabled && clock_now() < end);
		alive = alive && now.enabled > first[i].enabled;
	}
	free(first);
	return alive;
}

static bool has_same_processors(const struct tripwire *wire)
{
	char list[LIST_MAX];

	return list_processors(wire->list, list) && !strcmp(list, wire->processors);
}

static bool check(struct tripwire *wire, uint64_t most)
{
	uint64_t begun = clock_now();
	bool whole = has_same_processors(wire) && are_alive(wire, begun + most);

	if (whole)
		wire->whole = begun;
	return whole;
}

bool tripwire_check(struct tripwire *wire)
{
	return check(wire, TICKS);
}

/*
 * The pages are those of all who have joined; but the last one who unmaps them takes with him what they say, and then they are new. The event's count stays:
 * it goes up first (perf_swevent_event() in kernel/events/core.c).
 */
static bool was_never_touched(const struct tripwire *wire)
{
	struct time now;

	for (size_t i = 0; i < wire->events.count; i++)
		if (!read_time(&wire->events.item[i], &now) || now.count)
			return false;
	return true;
}

bool tripwire_join(const struct tripwire *other, struct tripwire *wire)
{
	bool joined = other->processors && other->events.count;
	int list = joined ? fcntl(other->list, F_DUPFD_CLOEXEC, 0) : -1;

	*wire = (struct tripwire){ .setter = getpid() };
	if (list < 0)
		return false;
	wire->list = list;
	wire->processors = text_copy(other->processors);
	for (size_t i = 0; i < other->events.count && joined; i++)
		joined = add_event(wire, fcntl(other->events.item[i].event, F_DUPFD_CLOEXEC, 0));
	return joined && tripwire_check(wire) && was_never_touched(wire);
}

/*
 * The kernel writes the record, and then says how far it has written, before the thread executes the instruction (perf_output_put_handle() in
 * kernel/events/ring_buffer.c); the thread stops later, and that we have waited for it orders its stores before our load.
 */
bool tripwire_untouched(const struct tripwire *wire)
{
	for (size_t i = 0; i < wire->events.count; i++)
		if (__atomic_load_n(&wire->events.item[i].page->data_head, __ATOMIC_ACQUIRE))
			return false;
	return true;
}

/*
 * The clocks are not asked in each stop, because that interrupts the processors. Between two times that are so close none goes offline and comes back: each
 * of these waits for all others, and for a grace period of RCU. One that has come online stays in the list.
 */
bool tripwire_holds(struct tripwire *wire)
{
	return tripwire_untouched(wire) && (clock_now() - wire->whole < RECENT ? has_same_processors(wire) : check(wire, BRIEF));
}
