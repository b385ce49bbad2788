/*
 * The order of the writes. Where stent is killed between any two of them (all threads run on then), a call goes:
 *
 *	to the new code		a call of function i leads to
 *	state INSTALLING	old code
 *	jump into entry i	old code: entry i -> stub -> slot = displaced copy. One entry after the other, so some calls
 *				take the detour and some do not
 *	slots := switches	old code: the selector says so. Again one after the other
 *	selector := new		NEW code, for all functions at once: this is the commit, one aligned 8-byte store
 *	slots := new entries	new code
 *	time of the switch	new code
 *	state ACTIVE		new code
 *
 *	back to the old code
 *	state REVERTING		new code
 *	slots := switches	new code: the selector says so
 *	selector := old		OLD code, for all at once
 *	slots := copies		old code
 *	original bytes		old code, by the entry itself where it has been put back
 *	state REVERTED		old code
 *
 * The second list starts equally well from any place in the first, and from any in itself. An entry's jump is written in one
 * call but not in one store: no thread runs meanwhile, and the kernel serialises the processor on the way back to each.
 */
#include "live/versions.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "live/site.h"

enum target { TARGET_COPY, TARGET_SWITCH, TARGET_NEW };

static enum status put_slots(const struct process *process, const struct ledger *ledger, enum target target,
			     struct error *error)
{
	const struct arch *arch = arch_by_machine(ledger->machine);
	size_t count = ledger_redirected(ledger), index = 0;
	uint64_t *slots = memory_zeroed(count, sizeof(*slots));
	enum status status;

	for (size_t i = 0; i < ledger->functions.count; i++) {
		const struct ledger_function *function = &ledger->functions.item[i];

		if (!function->redirected)
			continue;
		slots[index] = target == TARGET_COPY ? function->copy :
			       target == TARGET_NEW ? function->new_entry : site_switch(ledger, arch, index);
		index++;
	}
	status = process_put(process, ledger->slots, slots, count * sizeof(*slots), error);
	free(slots);
	return status;
}

static enum status put_entries(const struct process *process, const struct ledger *ledger, bool jump, struct error *error)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < ledger->functions.count && status == STATUS_OK; i++) {
		const struct ledger_function *function = &ledger->functions.item[i];

		if (function->redirected)
			status = process_put(process, function->site, jump ? function->jump : function->original,
					     function->size, error);
	}
	return status;
}

static enum status put_selector(const struct process *process, const struct ledger *ledger, uint64_t table,
				struct error *error)
{
	return process_put(process, ledger->selector, &table, sizeof(table), error);
}

static enum status write_new(const struct process *process, struct ledger *ledger, struct error *error)
{
	enum status status = put_slots(process, ledger, TARGET_COPY, error);

	if (status == STATUS_OK)
		status = put_selector(process, ledger, ledger->old_table, error);
	if (status == STATUS_OK)
		status = ledger_store_state(process, ledger, LEDGER_INSTALLING, error);
	if (status == STATUS_OK)
		status = put_entries(process, ledger, true, error);
	if (status == STATUS_OK)
		status = put_slots(process, ledger, TARGET_SWITCH, error);
	if (status == STATUS_OK)
		status = put_selector(process, ledger, ledger->new_table, error);
	if (status == STATUS_OK)
		status = put_slots(process, ledger, TARGET_NEW, error);
	if (status == STATUS_OK)
		status = ledger_store_applied(process, ledger, (uint64_t)time(NULL), error);
	if (status == STATUS_OK)
		status = ledger_store_state(process, ledger, LEDGER_ACTIVE, error);
	return status;
}

enum status versions_to_new(const struct process *process, struct ledger *ledger, struct error *error)
{
	enum status status = write_new(process, ledger, error);

	if (status == STATUS_OK)
		return STATUS_OK;
	if (versions_to_old(process, ledger, error) != STATUS_OK)
		fail(error, "process %d (%s): patch %s is half installed; 'stent revert' takes it out", process->pid,
		     process->comm, ledger->name);
	return status;
}

enum status versions_to_old(const struct process *process, struct ledger *ledger, struct error *error)
{
	enum status status = ledger_store_state(process, ledger, LEDGER_REVERTING, error);

	if (status == STATUS_OK)
		status = put_slots(process, ledger, TARGET_SWITCH, error);
	if (status == STATUS_OK)
		status = put_selector(process, ledger, ledger->old_table, error);
	if (status == STATUS_OK)
		status = put_slots(process, ledger, TARGET_COPY, error);
	if (status == STATUS_OK)
		status = put_entries(process, ledger, false, error);
	if (status == STATUS_OK)
		status = ledger_store_state(process, ledger, LEDGER_REVERTED, error);
	return status;
}

enum status versions_check_sites(const struct process *process, const struct ledger *ledger, bool original, bool jump,
				 struct error *error)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < ledger->functions.count; i++) {
		const struct ledger_function *function = &ledger->functions.item[i];
		uint8_t bytes[ARCH_ENTRY_MAX];

		if (!function->redirected)
			continue;
		if (process_read(process, function->site, bytes, function->size) &&
		    ((original && !memcmp(bytes, function->original, function->size)) ||
		     (jump && !memcmp(bytes, function->jump, function->size))))
			continue;
		status = refuse(error, "process %d (%s): the entry of %s, at %#lx, has been changed by somebody else",
				process->pid, process->comm, function->name, function->site);
	}
	return status;
}
