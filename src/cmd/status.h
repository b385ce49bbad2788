/* status.h: what is said of a patch that a process holds. */
#ifndef STENT_CMD_STATUS_H
#define STENT_CMD_STATUS_H

#include "live/progress.h"

/* What there is to say of one patch. */
struct patch_status {
	struct ledger *ledger;
	struct progress progress;	/* of a transition that is on */
	char *unknown;			/* why that can't be told, or NULL; owned */
};

/* Bytes that the patch takes of the process's memory. */
uint64_t status_mapped_size(const struct ledger *ledger);

const char *status_version_name(enum version version);

/* Everything as JSON; json_decref() it. */
struct json_t;
struct json_t *status_patch_object(const struct patch_status *patch) must_check;

/* Print the patches of all processes; or, of one and those that descend from it, also who has none. STATUS_ERROR: the processes can't be listed,
 * or there is no process `tree`. */
enum status status_all(pid_t tree, bool json, struct error *error) must_check;

#endif
