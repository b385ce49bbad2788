/*
 * finders.h: the process's own unwinder finds the tables of new code.
 *
 * Exceptions, pthread_cancel and backtraces go through new code like through any other, so what a program unwinds its stacks with
 * has to know the slice's .eh_frame. libgcc's unwinder (gcc 12) asks the C library's _dl_find_object() (glibc 2.35, an interface of
 * <dlfcn.h>) for the tables of each program counter. A *finder* is put before that function: it answers for the slice, and
 * passes everything else on. The other ways were found unfit: __register_frame() takes a lock and may allocate memory, so a
 * thread that is stopped anywhere can't be made to call it; its list, and the dynamic linker's list of objects, have no public layout.
 *
 * Each slice has a finder of its own, in a page of its own within reach of the C library. Where there are several they form a chain: the entry
 * leads to one of them, the word `next` of each to another, that of the last one to its copy of the instructions that the
 * jump displaced. The ledger describes the finder; which one is where in the chain is read from the chain itself, in
 * the stop of all threads in which it is changed.
 *
 * When: a finder goes in behind the state INSTALLING and before the first entry leads to new code. It goes out when the last entry has its
 * old bytes again and no thread is in new code, before the state REVERTED. So whoever can be in new code can be unwound; a killed
 * stent leaves it in with a ledger that says so, and both steps may be repeated.
 */
#ifndef STENT_LIVE_FINDERS_H
#define STENT_LIVE_FINDERS_H

#include "live/link.h"
#include "live/survey.h"

/* Part of survey_unwind(): what an image has to do with unwinding: is it one that finders can stand in, or an unwinder that can't
 * be told of new code? */
void survey_note_unwinder(struct survey *survey, const struct mapped_image *mapped, const struct image *image);

/*
 * For link_patch(): the finders that the patch needs, without addresses yet. None where nothing unwinds. STATUS_REFUSED: exceptions
 * may be thrown by way of an unwinder that can't be told of new code, which the line names.
 */
enum status finders_describe(const struct survey *survey, const struct targets *targets, struct ledger *ledger,
			     struct error *error) must_check;

/* ... their places, near what they stand in and outside of the region, and their code. A region that is used again has its finders where they were. */
enum status finders_link(struct link *link, const struct survey *survey, const struct arch *arch, struct error *error) must_check;

/* With all threads stopped: each entry that a finder is to stand in is as it was, or leads to finders of patches that are known. */
enum status finders_check_sites(const struct survey *survey, const struct ledger *ledger, struct error *error) must_check;

/* Add what stands in these entries where no other patch has finders there: the finders, or what was there before. */
void finders_list_sites(const struct ledger *ledger, bool put, struct process_pieces *pieces);

/* With all threads stopped: put the patch's finders into their chains. Nothing is done where they are in already. `moving`: the patch of the transition, which
 * the survey need not have yet. */
enum status finders_put(const struct survey *survey, const struct ledger *ledger, const struct ledger *moving,
			struct error *error) must_check;

/* With all threads stopped and nobody in the patch's code: take them out. What has been unmapped, or changed by somebody else, is left alone. */
enum status finders_remove(const struct survey *survey, const struct ledger *ledger, const struct ledger *moving,
			   struct error *error) must_check;

/* With all threads stopped: does anything still lead to the patch's finders, an entry or another finder? */
bool finders_lead_to(const struct survey *survey, const struct ledger *ledger) must_check;

#endif
