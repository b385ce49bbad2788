/*
 * What may interrupt it: nothing of it is in a process. A thread that comes to the place enters the kernel for a moment, which takes a note of it
 * and lets it go on; no signal is sent.
 */
#include "process/tripwire.h"

#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <stdlib.h>

#define PAGES 1	/* of records, of which only that there is one is of interest */

static bool set_all(const uint64_t *places, size_t count, struct tripwire *wire)
{
	struct perf_event_attr *attributes = memory_zeroed(count, sizeof(*attributes));
	bool set;

	for (size_t i = 0; i < count; i++)
		attributes[i] = (struct perf_event_attr){
			.type = PERF_TYPE_BREAKPOINT,
			.size = sizeof(*attributes),
			.sample_period = 1,
			.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
			.exclude_kernel = 1,
			.exclude_hv = 1,
			.bp_type = HW_BREAKPOINT_X,
			.bp_addr = places[i],
			.bp_len = sizeof(long),	/* the only one for execution */
		};
	set = rings_open(attributes, count, PAGES, &wire->rings);
	free(attributes);
	return set;
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
	rings_close(&wire->rings);
}

bool tripwire_check(struct tripwire *wire)
{
	return rings_check(&wire->rings);
}

/*
 * The pages are those of all who have joined; but the last one who unmaps them takes with him what they say, and then they are new. The event's count stays:
 * it goes up first (perf_swevent_event() in kernel/events/core.c).
 */
bool tripwire_join(const struct tripwire *other, struct tripwire *wire)
{
	return rings_join(&other->rings, &wire->rings) && rings_have_counted_nothing(&wire->rings);
}

/*
 * The kernel writes the record, and then says how far it has written, before the thread executes the instruction (perf_output_put_handle() in
 * kernel/events/ring_buffer.c); the thread stops later, and that we have waited for it orders its stores before our load.
 */
bool tripwire_untouched(const struct tripwire *wire)
{
	for (size_t i = 0; i < wire->rings.events.count; i++)
		if (__atomic_load_n(&wire->rings.events.item[i].page->data_head, __ATOMIC_ACQUIRE))
			return false;
	return true;
}

bool tripwire_holds(struct tripwire *wire)
{
	return tripwire_untouched(wire) && rings_are_whole(&wire->rings);
}
