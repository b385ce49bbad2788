#include "live/blockers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

void blockers_clear(struct blockers *blockers)
{
	blockers->count = 0;
}

void blockers_free(struct blockers *blockers)
{
	array_free(&blockers->sleepers);
	array_free(blockers);
}

void blockers_add(struct blockers *blockers, const struct process *process, pid_t tid, const char *text)
{
	struct live_blocker *blocker = array_add(blockers);
	struct task task;

	*blocker = (struct live_blocker){ .tid = tid, .times = 1 };
	snprintf(blocker->text, sizeof(blocker->text), "%s", text);
	utf8_make_printable(blocker->text);	/* names of images are in it */
	if (process_task(process, tid, &task))
		memcpy(blocker->comm, task.comm, sizeof(blocker->comm));
	else
		process_comm_of(tid, blocker->comm);	/* another process */
}

bool blockers_hold(const struct blockers *blockers, pid_t tid)
{
	for (size_t i = 0; i < blockers->count; i++)
		if (blockers->item[i].tid == tid)
			return true;
	return false;
}

/* The same thread, and the same reason. */
static struct live_blocker *find(struct live_blocker *item, size_t count, const struct live_blocker *blocker)
{
	for (size_t i = 0; i < count; i++)
		if (item[i].tid == blocker->tid && !strcmp(item[i].text, blocker->text))
			return &item[i];
	return NULL;
}

bool blockers_note(struct blockers *blockers, const struct live_blocker *blocker)
{
	if (find(blockers->item, blockers->count, blocker))
		return false;
	*array_add(blockers) = *blocker;
	return true;
}

void blockers_count(const struct blockers *blockers, struct live_report *report)
{
	for (size_t i = 0; i < blockers->count; i++) {
		struct live_blocker *known = find(report->blockers.item, report->blockers.count, &blockers->item[i]);

		if (known)
			known->times++;
		else
			*array_add(&report->blockers) = blockers->item[i];
	}
}

static struct sleeper look_at(const struct process *process, pid_t tid)
{
	struct sleeper sleeper = { .tid = tid };
	struct task_call call;
	struct task task;

	if (process_task(process, tid, &task) && process_task_call(process, tid, &call)) {
		sleeper.asleep = call.blocked;
		sleeper.switches = task.switches;
		sleeper.stack = call.stack;
		sleeper.pc = call.pc;
	}
	return sleeper;
}

bool blockers_asleep(struct blockers *blockers, const struct process *process)
{
	bool still = false;

	for (size_t i = 0; i < blockers->count; i++) {
		struct sleeper now = look_at(process, blockers->item[i].tid);

		if (i == blockers->sleepers.count)
			*array_add(&blockers->sleepers) = (struct sleeper){ 0 };

		struct sleeper *then = &blockers->sleepers.item[i];

		if (now.asleep && then->asleep && now.tid == then->tid && now.switches == then->switches &&
		    now.stack == then->stack && now.pc == then->pc)
			still = true;
		*then = now;
	}
	blockers->sleepers.count = blockers->count;
	return still;
}

void blockers_awaken(struct blockers *blockers)
{
	blockers->sleepers.count = 0;
}
