/*
 * link.h: turn a patch into the exact bytes that one process is to get, and where. Nothing is changed here.
 */
#ifndef STENT_LIVE_LINK_H
#define STENT_LIVE_LINK_H

#include "base/error.h"
#include "live/ledger.h"
#include "live/survey.h"
#include "patch/patch.h"

/* Contents of one part of the region. */
struct link_part {
	struct range range;
	uint32_t flags;
	uint8_t *bytes;		/* owned */
};

struct link {
	struct ledger ledger;	/* state LEDGER_PREPARED */
	ARRAY(struct link_part) parts;	/* as ledger.parts; the ledger's own is the first */
	ARRAY(struct link_part) pages;	/* of finders, outside of the region */
};

/* Identity of the contents of a patch. */
uint64_t patch_digest(const struct patch *patch);

/*
 * Lay out the region for `image` at a free place, or, when `base` is not 0, at that address. `replace`: it takes out all other
 * patches of the image. STATUS_REFUSED: no place
 * within reach, a function that can't be redirected, a reference that can't be bound. Free in any case.
 */
enum status link_patch(const struct survey *survey, const struct patch *patch, const struct mapped_image *image, bool replace,
		       uint64_t base, struct link *link, struct error *error) must_check;
void link_free(struct link *link);

#endif
