#include "live/versions.h"

#include <stdlib.h>
#include <string.h>

static size_t table_size(const struct ledger *ledger)
{
	return (size_t)1 << ledger->dispatch.table_bits;
}

uint64_t versions_table(const struct ledger *ledger, enum version version)
{
	return version == VERSION_NEW ? ledger->new_table : ledger->old_table;
}

static enum version version_of(const struct ledger *ledger, uint64_t table)
{
	return table == ledger->new_table ? VERSION_NEW : VERSION_OLD;
}

enum status versions_read(const struct process *process, const struct ledger *ledger, struct versions *versions,
			  struct error *error)
{
	const struct dispatch *dispatch = &ledger->dispatch;
	size_t size = table_size(ledger);

	*versions = (struct versions){ .entry = memory_zeroed(size, sizeof(struct dispatch_entry)) };
	if (!process_read(process, dispatch->selector, &versions->selector, sizeof(uint64_t)) ||
	    !process_read(process, dispatch->fallback, &versions->fallback, sizeof(uint64_t)) ||
	    !process_read(process, dispatch->table, versions->entry, size * sizeof(struct dispatch_entry)))
		return fail(error, "process %d (%s): the versions of patch %s can't be read", process->pid, process->comm,
			    ledger->name);
	for (size_t i = 0; i < size; i++)
		versions->used += versions->entry[i].key != 0;
	/* A probe ends at an empty entry. */
	if (versions->used == size)
		return fail(error, "process %d (%s): the table of threads of patch %s is damaged", process->pid, process->comm,
			    ledger->name);
	return STATUS_OK;
}

void versions_free(struct versions *versions)
{
	free(versions->entry);
	*versions = (struct versions){ 0 };
}

static struct dispatch_entry *find(const struct ledger *ledger, const struct versions *versions, uint64_t thread_pointer)
{
	return &versions->entry[dispatch_find(versions->entry, ledger->dispatch.table_bits, dispatch_key(thread_pointer))];
}

enum version versions_of(const struct ledger *ledger, const struct versions *versions, uint64_t thread_pointer)
{
	const struct dispatch_entry *entry;

	if (versions->selector)
		return version_of(ledger, versions->selector);
	entry = find(ledger, versions, thread_pointer);
	return version_of(ledger, entry->key ? entry->version : versions->fallback);
}

bool versions_have_room(const struct ledger *ledger, const struct versions *versions, size_t threads)
{
	return versions->used + threads <= table_size(ledger) / 2;
}

void versions_set(const struct ledger *ledger, struct versions *versions, uint64_t thread_pointer, enum version version)
{
	struct dispatch_entry *entry = find(ledger, versions, thread_pointer);

	versions->used += !entry->key;
	*entry = (struct dispatch_entry){ dispatch_key(thread_pointer), versions_table(ledger, version) };
}

void versions_clear(const struct ledger *ledger, struct versions *versions)
{
	memset(versions->entry, 0, table_size(ledger) * sizeof(struct dispatch_entry));
	versions->used = 0;
}

/*
 * Two passes over the table: first with the values but only those keys that are in the process already (adding none), then with all. Each
 * write is of plain stores in no certain order, and stent may be killed within one: so no key ever stands without its value.
 */
enum status versions_put_entries(const struct process *process, const struct ledger *ledger, const struct versions *versions,
				 struct error *error)
{
	size_t size = table_size(ledger);
	struct dispatch_entry *before = memory_zeroed(size, sizeof(*before));
	enum status status = STATUS_ERROR;

	if (process_read(process, ledger->dispatch.table, before, size * sizeof(*before))) {
		for (size_t i = 0; i < size; i++)
			before[i].version = versions->entry[i].version;
		status = process_put(process, ledger->dispatch.table, before, size * sizeof(*before), error);
	}
	free(before);
	if (status == STATUS_OK)
		status = process_put(process, ledger->dispatch.table, versions->entry, size * sizeof(*versions->entry), error);
	return status;
}

static enum status put_word(const struct process *process, uint64_t at, uint64_t word, struct error *error)
{
	return process_put(process, at, &word, sizeof(word), error);
}

enum status versions_put_one(const struct process *process, const struct ledger *ledger, struct versions *versions,
			     uint64_t thread_pointer, enum version version, struct error *error)
{
	struct dispatch_entry *entry = find(ledger, versions, thread_pointer);
	uint64_t offset = (uint64_t)(entry - versions->entry) * sizeof(*entry) + offsetof(struct dispatch_entry, version);
	enum status status;

	if (!entry->key)
		return STATUS_NOTHING;
	status = put_word(process, ledger->dispatch.table + offset, versions_table(ledger, version), error);
	if (status == STATUS_OK)
		entry->version = versions_table(ledger, version);
	return status;
}

enum status versions_put_fallback(const struct process *process, const struct ledger *ledger, enum version version,
				  struct error *error)
{
	return put_word(process, ledger->dispatch.fallback, versions_table(ledger, version), error);
}

enum status versions_put_selector(const struct process *process, const struct ledger *ledger, enum version version,
				  struct error *error)
{
	return put_word(process, ledger->dispatch.selector, versions_table(ledger, version), error);
}

enum status versions_put_per_thread(const struct process *process, const struct ledger *ledger, struct error *error)
{
	return put_word(process, ledger->dispatch.selector, 0, error);
}

static const uint8_t *bytes_of(const struct ledger *ledger, const struct ledger_function *function, enum site_bytes bytes)
{
	return bytes == SITE_ORIGINAL ? ledger_below(ledger, function) : bytes == SITE_JUMP ? function->jump : function->settled;
}

void versions_list_sites(const struct ledger *ledger, enum site_bytes bytes, struct process_pieces *pieces)
{
	for (size_t i = 0; i < ledger->functions.count; i++) {
		const struct ledger_function *function = &ledger->functions.item[i];

		if (ledger_has_site(ledger, function))
			*array_add(pieces) = (struct process_bytes){ function->site, bytes_of(ledger, function, bytes), function->size };
	}
}

enum status versions_put_sites(const struct process *process, const struct ledger *ledger, enum site_bytes bytes,
			       struct error *error)
{
	struct process_pieces sites = { 0 };
	enum status status;

	versions_list_sites(ledger, bytes, &sites);
	status = process_put_all(process, sites.item, sites.count, error);
	array_free(&sites);
	return status;
}

/* All hold the same: one of them may. */
static bool hold_all(const struct process *process, const struct ledger *ledger, enum site_bytes bytes)
{
	struct process_pieces sites = { 0 };
	bool hold;

	versions_list_sites(ledger, bytes, &sites);
	hold = process_holds(process, sites.item, sites.count);
	array_free(&sites);
	return hold;
}

static bool holds_one_of(const struct process *process, const struct ledger *ledger, const struct ledger_function *function, unsigned int allowed)
{
	uint8_t bytes[ARCH_ENTRY_MAX];

	if (!process_read(process, function->site, bytes, function->size))
		return false;
	for (unsigned int one = SITE_ORIGINAL; one <= SITE_SETTLED; one <<= 1)
		if ((allowed & one) && !memcmp(bytes, bytes_of(ledger, function, (enum site_bytes)one), function->size))
			return true;
	return false;
}

enum status versions_check_sites(const struct process *process, const struct ledger *ledger, unsigned int allowed,
				 struct error *error)
{
	enum status status = STATUS_OK;

	if (!(allowed & (allowed - 1)) && hold_all(process, ledger, (enum site_bytes)allowed))
		return STATUS_OK;
	for (size_t i = 0; i < ledger->functions.count; i++) {
		const struct ledger_function *function = &ledger->functions.item[i];

		if (ledger_has_site(ledger, function) && !holds_one_of(process, ledger, function, allowed))
			status = refuse(error, "process %d (%s): the entry of %s, at %#lx, has been changed by somebody else",
					process->pid, process->comm, function->name, function->site);
	}
	return status;
}
