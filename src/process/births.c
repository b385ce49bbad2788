/* What may interrupt it: nothing of it is in a process. */
#include "process/births.h"

#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 4			/* of records, for each processor: 512 of 32 bytes, where a page has 4 KiB */
#define RECORD_MAX 64		/* bytes; more than any record that is made here takes */
#define RECORDS_MAX 4096	/* while a process stands still */

/* What this reads of PERF_RECORD_FORK. As numbers of the namespace in which the event was opened; 0 and -1: of another. */
struct birth {
	struct perf_event_header header;
	uint32_t child, maker;	/* processes; the same one for a thread */
};

bool births_begin(struct births *births)
{
	struct perf_event_attr attributes = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attributes),
		.config = PERF_COUNT_SW_DUMMY,
		.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
		.task = 1,
	};

	*births = (struct births){ 0 };
	if (!rings_open(&attributes, 1, PAGES, &births->rings))
		return false;
	for (size_t i = 0; i < births->rings.events.count; i++)
		*array_add(&births->spans) = (struct births_span){ 0 };
	return true;
}

void births_end(struct births *births)
{
	rings_close(&births->rings);
	array_free(&births->spans);
}

/*
 * The kernel says how far it has written behind what it has written (perf_output_put_handle() in kernel/events/ring_buffer.c), in the task that makes the
 * other. If that is a thread that we have waited for since, its stores come before our load.
 */
static uint64_t head_of(const struct ring *ring)
{
	return __atomic_load_n(&ring->page->data_head, __ATOMIC_ACQUIRE);
}

void births_forget(struct births *births)
{
	for (size_t i = 0; i < births->spans.count; i++) {
		const struct ring *ring = &births->rings.events.item[i];
		uint64_t head = head_of(ring);

		births->spans.item[i] = (struct births_span){ head, head };
		/* Its partner is in ring_buffer_has_space(): the kernel writes there from now on. */
		__atomic_store_n(&ring->page->data_tail, head, __ATOMIC_RELEASE);
	}
	/* Where it has found no room until now, it does so before the caller looks for processes. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void births_divide(struct births *births)
{
	for (size_t i = 0; i < births->spans.count; i++)
		births->spans.item[i].middle = head_of(&births->rings.events.item[i]);
}

/* Records begin at multiples of 8, so nothing that is read here lies on the end of the ring. */
static void read_record(const struct ring *ring, uint64_t at, struct birth *birth)
{
	const struct perf_event_mmap_page *page = ring->page;
	const char *records = (const char *)page + page->data_offset;

	memcpy(&birth->header, records + at % page->data_size, sizeof(birth->header));
	memcpy(&birth->child, records + (at + sizeof(birth->header)) % page->data_size, 2 * sizeof(birth->child));
}

static bool is_in(const struct family *family, pid_t pid)
{
	for (size_t i = 0; i < family->pids.count; i++)
		if (family->pids.item[i] == pid)
			return true;
	return false;
}

struct reading {
	struct family *family;
	pid_t first;
	size_t records;
};

/* False: too many. */
static bool take(struct reading *reading, const struct birth *birth, bool early)
{
	struct family *family = reading->family;
	pid_t child = (pid_t)birth->child, maker = (pid_t)birth->maker;

	if (++reading->records > RECORDS_MAX)
		return false;
	if (birth->header.type != PERF_RECORD_FORK || child == maker || child <= 0)
		return true;
	/* The first one is another one by now. */
	if (child == reading->first)
		return false;
	if ((!early && maker != reading->first && !is_in(family, maker)) || is_in(family, child))
		return true;
	*array_add(&family->pids) = child;
	return family->pids.count <= FAMILY_MAX;
}

/* False: something is not known. Where there is no room for a record, the kernel leaves it out. */
static bool read_ring(const struct ring *ring, const struct births_span *span, struct reading *reading)
{
	uint64_t head = head_of(ring);
	struct birth birth;

	if (head - span->start + RECORD_MAX >= ring->page->data_size)
		return false;
	for (uint64_t at = span->start; at != head; at += birth.header.size) {
		read_record(ring, at, &birth);
		if ((birth.header.type != PERF_RECORD_FORK && birth.header.type != PERF_RECORD_EXIT) || birth.header.size < sizeof(birth) ||
		    birth.header.size > head - at)
			return false;
		if (!take(reading, &birth, at < span->middle))
			return false;
	}
	return true;
}

bool births_list(const struct births *births, pid_t pid, struct family *family)
{
	struct reading reading = { family, pid, 0 };
	size_t before;

	/* Who made a process may have been recorded on a processor that is read later. */
	do {
		before = family->pids.count;
		for (size_t i = 0; i < births->spans.count; i++)
			if (!read_ring(&births->rings.events.item[i], &births->spans.item[i], &reading))
				return false;
	} while (family->pids.count != before);
	return true;
}
