/* policy.h: what root has laid down for the machine, in /etc/stent/policy. */
#ifndef STENT_CMD_POLICY_H
#define STENT_CMD_POLICY_H

#include <stdbool.h>

#include "live/live.h"
#include "patch/bundle.h"

#define POLICY_FOLDER "/etc/stent"
#define POLICY_KEYS POLICY_FOLDER "/keys"

struct policy {
	bool require_signature;	/* no patch is applied without one */
	bool upgrade;		/* but for those that `stent upgrade` makes of what is on disk */
	char *keys;		/* folder of the keys; owned */
};

/*
 * Read it; where there is none nothing is required. STATUS_REFUSED: it is not root's alone to write, or it says something that is not understood.
 * No option and no variable names another file: what root has laid down would mean nothing. policy_free() in any case.
 */
enum status policy_read(struct policy *policy, struct error *error) must_check;
void policy_free(struct policy *policy);

/* May `stent upgrade` apply what it makes? STATUS_REFUSED: no. */
enum status policy_check_upgrade(struct error *error) must_check;

/* What the user wants of a patch's signature. */
struct signature_wish {
	bool require;
	const char *keys;	/* folder, or NULL */
	const char *file;	/* of the signature, or NULL: beside the patch */
};

/*
 * Read a patch, after its signature was checked where user or policy want that, and say by whom it is. STATUS_REFUSED: it has none that holds,
 * or the user wants other keys than the policy says. bundle_free() in any case.
 */
enum status policy_read_patch(const char *path, const struct signature_wish *wish, struct bundle *bundle, struct error *error) must_check;

#endif
