/* versions.h: how all functions of a patch are switched. When that may be done is for transition.c to say. */
#ifndef STENT_LIVE_VERSIONS_H
#define STENT_LIVE_VERSIONS_H

#include "live/ledger.h"

/* All threads must be stopped. After a failure all calls lead to the old code. */
enum status versions_to_new(const struct process *process, struct ledger *ledger, struct error *error) must_check;

/* All threads must be stopped. After a failure every call leads to the old code, or every call to the new. */
enum status versions_to_old(const struct process *process, struct ledger *ledger, struct error *error) must_check;

/* Every entry holds its original bytes (if these count) or its jump (if that counts). STATUS_REFUSED names others. */
enum status versions_check_sites(const struct process *process, const struct ledger *ledger, bool original, bool jump,
				 struct error *error) must_check;

#endif
