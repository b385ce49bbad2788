/* watched.c: the list of threads that have not arrived, as threads come and go. */
#include <stdlib.h>

#include "live/transiting.h"

bool watched_arrived(const struct transition *transition, pid_t tid)
{
	for (size_t i = 0; i < transition->arrived.count; i++)
		if (transition->arrived.item[i] == tid)
			return true;
	return false;
}

struct watched *watched_find(struct transition *transition, pid_t tid)
{
	for (size_t i = 0; i < transition->watched.count; i++)
		if (transition->watched.item[i].thread.tid == tid)
			return &transition->watched.item[i];
	return NULL;
}

void watched_drop(struct transition *transition, struct watched *watched)
{
	struct watched *last = &transition->watched.item[transition->watched.count - 1];

	*array_add(&transition->arrived) = watched->thread.tid;
	*watched = *last;
	transition->watched.count--;
}

static struct watched *add(struct transition *transition, pid_t tid)
{
	struct watched *watched = array_add(&transition->watched);

	*watched = (struct watched){ .thread = { .tid = tid, .state = THREAD_RELEASED } };
	watched->point.event = -1;
	return watched;
}

static bool holds(const struct tids *tids, pid_t tid)
{
	for (size_t i = 0; i < tids->count; i++)
		if (tids->item[i] == tid)
			return true;
	return false;
}

/* Where threads come and go, most are gone before it is their turn to be looked at. */
static void forget_gone(struct transition *transition, const struct tids *tids)
{
	for (size_t i = 0; i < transition->watched.count; i++) {
		struct watched *watched = &transition->watched.item[i];

		if (watched->pointer_known || watched->thread.state != THREAD_RELEASED || holds(tids, watched->thread.tid))
			continue;
		*watched = transition->watched.item[--transition->watched.count];
		i--;
	}
}

bool watched_list_new(struct transition *transition)
{
	const struct process *process = transition->survey->process;
	struct tids tids = { 0 };
	bool found = !process_tids(process, &tids) || tids.cut;	/* nobody knows: then there may be some */

	if (!found)
		forget_gone(transition, &tids);
	for (size_t i = 0; i < tids.count; i++)
		if (!watched_arrived(transition, tids.item[i]) && !watched_find(transition, tids.item[i])) {
			add(transition, tids.item[i]);
			found = true;
		}
	array_free(&tids);
	return found;
}
