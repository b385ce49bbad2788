/*
 * link.h: turn a patch into the exact bytes that one process is to get, and where. Nothing is changed here.
 */
#ifndef STENT_LIVE_LINK_H
#define STENT_LIVE_LINK_H

#include "base/error.h"
#include "live/ledger.h"
#include "live/survey.h"
#include "patch/bundle.h"

/* Contents of one part of the region. */
struct link_part {
	struct range range;
	uint32_t flags;
	uint8_t *bytes;		/* owned */
};

struct link {
	struct ledger ledger;	/* state LEDGER_PREPARED */
	ARRAY(struct link_part) parts;	/* as ledger.parts; the ledger's own is the first */
	ARRAY(struct link_part) pages;	/* of finders, outside of the regions */
};

/* Identity of the contents of a patch, whichever of its images a process has. */
uint64_t bundle_digest(const struct bundle *bundle);

/* Local bytes for an address in one of the regions; NULL when there are none. */
uint8_t *link_bytes(const struct link *link, uint64_t address);

/*
 * Lay out a region for each of the targets (one at least; `bundle` is what they are from) at a free place, or where those of `kept` are, a
 * ledger of the same patch with the same images in the same order. `replace`: it takes out all other patches of the images.
 * STATUS_REFUSED: no place within reach, a function that can't be redirected, a reference that can't be bound. Free in any case.
 */
enum status link_patch(const struct survey *survey, const struct bundle *bundle, const struct targets *targets, bool replace,
		       const struct ledger *kept, struct link *link, struct error *error) must_check;
void link_free(struct link *link);

#endif
