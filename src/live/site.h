/* site.h: the two steps of link_patch() that write code and addresses. */
#ifndef STENT_LIVE_SITE_H
#define STENT_LIVE_SITE_H

#include "live/link.h"

/* Write jumps, dispatchers, displaced copies and tables for every redirected function. */
enum status site_link(struct link *link, const struct survey *survey, const struct targets *targets, const struct arch *arch,
		      struct error *error) must_check;

/* Write the addresses that the slice of one image refers to into it. `imports`: the address of each of the patch's imports. */
enum status bind_slice(struct link *link, const struct survey *survey, const struct patch *patch, const struct ledger_image *image,
		       const uint64_t *imports, struct error *error) must_check;

/* Bytes of code in the region of an image, for its redirected functions and, in the first, the dispatchers of all. */
uint64_t site_code_size(const struct ledger *ledger, const struct arch *arch, size_t image);

#endif
