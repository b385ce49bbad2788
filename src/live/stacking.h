/*
 * stacking.h: several patches in one process, also for the same function.
 *
 * The entry of a function leads to the patch that was applied last; what that one found there, another patch's jump, it
 * puts back when it is reverted. So patches of the same function go out in the reverse order, others in any.
 */
#ifndef STENT_LIVE_STACKING_H
#define STENT_LIVE_STACKING_H

#include "live/ledger.h"
#include "live/survey.h"

/* A function of a patch in force. */
struct stacked {
	const struct ledger *ledger;
	const struct ledger_function *function;
};

/* The patch that the entry leads to, whose jump `bytes` are. False: none. */
bool stacking_find(const struct survey *survey, uint64_t site, const uint8_t *bytes, struct stacked *found) must_check;

/* Put the image's own bytes in the place of jumps, in `size` bytes that were read at `address`. */
void stacking_undo(const struct survey *survey, uint64_t address, uint8_t *bytes, size_t size);

/*
 * For an application that takes out all other patches of the image: add their nonces, their code as what is to be left, and each function of theirs
 * that the new patch does not have, which goes back to the image's own. For link.c, when the functions of the patch are in the ledger.
 * STATUS_REFUSED: one of those is in an image that the new patch is not for; or a patch that is to be taken out has variables.
 */
enum status stacking_replace(const struct survey *survey, struct ledger *ledger, struct error *error) must_check;

/*
 * May the patch in `ledger` (its sites are known) lie on what there is? A patch is a difference to the image: where it shares functions with
 * another one it must have all that the other one has, or new code would call code of a build that it knows nothing of; and the other one must not
 * have variables of its own.
 */
enum status stacking_check(const struct survey *survey, struct ledger *ledger, struct error *error) must_check;

/*
 * With all threads stopped and in one version, when entries have their final bytes: what others this one has replaced are reverted, and
 * it goes back to the image when it is reverted itself; or, when the transition has turned round, they are in force again.
 */
enum status stacking_finish(struct survey *survey, struct ledger *ledger, bool new, struct error *error) must_check;

/* Of a detached patch: make the image the version that a revert goes to. While all run the new one, nobody reads that table. */
enum status stacking_put_base(const struct process *process, const struct ledger *ledger, struct error *error) must_check;

/* STATUS_REFUSED: another patch lies on top of this one in some function, and has to be reverted first. */
enum status stacking_check_above(const struct survey *survey, const struct ledger *ledger, struct error *error) must_check;

/*
 * Of a patch that is reverted: does an entry still lead to its code, or would it when another patch is reverted, which has it below? Returns the name of
 * that function, or NULL.
 */
const char *stacking_lead_to(const struct survey *survey, const struct ledger *ledger) must_check;

#endif
