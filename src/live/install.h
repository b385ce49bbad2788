/* install.h: the memory of a patch in the target: map it, fill it, unmap it. Nothing leads there meanwhile. */
#ifndef STENT_LIVE_INSTALL_H
#define STENT_LIVE_INSTALL_H

#include "live/link.h"
#include "live/survey.h"
#include "process/remote.h"
#include "process/threads.h"

/* How long it may take to undo what was begun, when the time for the rest is over already; it is not to be cancelled. */
#define INSTALL_UNDO_MILLISECONDS 2000u

/*
 * Map the region and write its contents. STATUS_NOTHING: something else has been mapped there meanwhile: plan anew. On any
 * other failure, too, the region is unmapped again. Adds to *borrowed the nanoseconds for which a thread of the process was stopped for that (remote_end()).
 */
enum status install_region(const struct survey *survey, const struct link *link, const struct patience *patience,
			   uint64_t *borrowed, struct error *error) must_check;

/* Write the contents again into a region that a revert kept; what the slice's writable data holds stays. */
enum status install_again(const struct survey *survey, const struct link *link, struct error *error) must_check;

/* Unmap all of a ledger that says PREPARED, by a thread that makes system calls for us. ledger->removing is set on the way. STATUS_ERROR: some
 * is left, and the ledger with it. Others as remote_call(). */
enum status install_unmap(struct remote *remote, struct ledger *ledger, struct error *error) must_check;

/* The same of a ledger that says PREPARED, if that is still there in the state that it is known to have. If it has gone meanwhile, nothing is left to do;
 * if something else is there, it is left, with STATUS_ERROR. *borrowed as above. */
enum status install_remove(const struct survey *survey, const struct ledger *ledger, const struct patience *patience,
			   uint64_t *borrowed, struct error *error) must_check;

#endif
