/*
 * versions.h: which version of a patch's functions each thread runs: what dispatchers read, and the entries that lead to them.
 * When what may be stored is for transition.c to say; docs/model.md has the orders, and why.
 */
#ifndef STENT_LIVE_VERSIONS_H
#define STENT_LIVE_VERSIONS_H

#include "live/ledger.h"

enum version { VERSION_OLD, VERSION_NEW };

/* What the process's dispatchers would read now. */
struct versions {
	uint64_t selector, fallback;
	struct dispatch_entry *entry;	/* 1 << table_bits, owned */
	size_t used;			/* entries with a key */
};

/* STATUS_ERROR: unreadable, or full. Free with versions_free() in any case. */
enum status versions_read(const struct process *process, const struct ledger *ledger, struct versions *versions,
			  struct error *error) must_check;
void versions_free(struct versions *versions);

/* The version that a thread with this thread pointer runs, as its next call finds out. */
enum version versions_of(const struct ledger *ledger, const struct versions *versions, uint64_t thread_pointer);

/* Could so many more threads get an entry of their own? */
bool versions_have_room(const struct ledger *ledger, const struct versions *versions, size_t threads);

/* With all threads stopped: an entry for the thread, or another version in the one that it has. In *versions only. */
void versions_set(const struct ledger *ledger, struct versions *versions, uint64_t thread_pointer, enum version version);

/* With all threads stopped: forget all entries. */
void versions_clear(const struct ledger *ledger, struct versions *versions);

/* Store all entries, values before keys. With all threads stopped. */
enum status versions_put_entries(const struct process *process, const struct ledger *ledger, const struct versions *versions,
				 struct error *error) must_check;

/* Store one thread's version, with one aligned write. The thread, and all that have its thread pointer, must be stopped, outside of both
 * versions and of the dispatchers. STATUS_NOTHING: it has no entry. */
enum status versions_put_one(const struct process *process, const struct ledger *ledger, struct versions *versions,
			     uint64_t thread_pointer, enum version version, struct error *error) must_check;

/* Store for threads without an entry, and for all; with one aligned write. */
enum status versions_put_fallback(const struct process *process, const struct ledger *ledger, enum version version,
				  struct error *error) must_check;
enum status versions_put_selector(const struct process *process, const struct ledger *ledger, enum version version,
				  struct error *error) must_check;

/* Each thread by its own entry from now on. */
enum status versions_put_per_thread(const struct process *process, const struct ledger *ledger, struct error *error) must_check;

/* What stands in an entry. */
enum site_bytes {
	SITE_ORIGINAL = 1,	/* as it was before */
	SITE_JUMP = 2,		/* to the dispatcher */
	SITE_SETTLED = 4,	/* to the new version */
};

/* Add what stands, or is to stand, in all entries of the patch. The bytes are the ledger's. */
void versions_list_sites(const struct ledger *ledger, enum site_bytes bytes, struct process_pieces *pieces);

/* Address of the version table that is the version's, as it stands in the selector. */
uint64_t versions_table(const struct ledger *ledger, enum version version);

/* With all threads stopped, and none in the bytes behind the first one. */
enum status versions_put_sites(const struct process *process, const struct ledger *ledger, enum site_bytes bytes,
			       struct error *error) must_check;

/* Every entry holds one of these (a set of enum site_bytes). STATUS_REFUSED names those that hold anything else. */
enum status versions_check_sites(const struct process *process, const struct ledger *ledger, unsigned int allowed,
				 struct error *error) must_check;

#endif
