/*
 * ledger.h: what is installed, written into the memory of the target itself.
 *
 * A patch lives in one region of the target: [guard][ledger][code][data][slice]; and in one more for each further image that it
 * is for. The ledger says all that a
 * later stent needs to show it, to undo it, or to put right what a killed stent left half done; there is no other
 * record of it. It is read-only for the program, but the program may still forge or damage one, so reading it
 * trusts nothing: every length is checked, every address must lie where the layout says. (The worst that a forged
 * ledger gains is that the program's own private memory is written to.)
 *
 * States, in the order in which they follow each other. stent may be killed before, between and behind the steps:
 *
 *	PREPARED	nothing leads to the region: it can be unmapped as it is
 *	INSTALLING	threads move to the new code, each on its own: which is where, dispatchers say (transition.c)
 *	ACTIVE		all calls lead to the new code, by a jump in each entry
 *	REVERTING	as INSTALLING, in the other direction
 *	REVERTED	every entry has the bytes from before. Pointers into the region may have been kept: where it is proven that there
 *			are none (reclaim.h), it is PREPARED again, and unmapped. Otherwise it stays, and is used again for the
 *			same patch
 */
#ifndef STENT_LIVE_LEDGER_H
#define STENT_LIVE_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/arch.h"
#include "arch/dispatch.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/memory.h"
#include "image/build_id.h"
#include "process/maps.h"
#include "process/process.h"

enum ledger_state { LEDGER_PREPARED = 1, LEDGER_INSTALLING, LEDGER_ACTIVE, LEDGER_REVERTING, LEDGER_REVERTED };

/* A function of the patch. All addresses are run-time addresses. */
struct ledger_function {
	char *name;
	uint64_t image;		/* index in ledger->images: what it is a function of */
	bool redirected;	/* false: new code that only new code calls; only name and new_ranges are set */
	ARRAY(struct range) old_ranges;	/* of all versions that are left when the new one is taken, */
	ARRAY(struct range) new_ranges;	/* and of the one that is left when it is taken back */
	uint64_t site;		/* where the jump stands */
	uint8_t size;		/* of the jump, at most ARCH_ENTRY_MAX */
	uint8_t span;		/* bytes from the site on into which nobody may return once it is redirected */
	uint8_t original[ARCH_ENTRY_MAX];	/* the entry's bytes before, */
	uint8_t jump[ARCH_ENTRY_MAX];		/* while threads move: to the dispatcher, */
	uint8_t settled[ARCH_ENTRY_MAX];	/* and when all have moved: to the new code */
	uint64_t old_entry, new_entry;		/* of the versions */
	uint8_t base[ARCH_ENTRY_MAX];		/* the entry's bytes in the image, below all patches, */
	uint64_t base_entry;			/* and the image's own code while the entry is redirected */
	uint64_t change;	/* enum change */
};

/* Code before a function that the process's unwinders ask for tables (finders.h). Not per version: it is there as long as anybody may be in
 * new code. All addresses are run-time addresses. */
struct ledger_finder {
	uint64_t image;		/* index in ledger->images: for whose slice it answers */
	uint64_t site;		/* where the jump to it stands, */
	uint8_t size;		/* its bytes, */
	uint8_t span;		/* and how many from there on nobody may be in the middle of when it is written */
	uint8_t original[ARCH_ENTRY_MAX];	/* the image's own bytes */
	uint8_t jump[ARCH_ENTRY_MAX];
	struct range code;	/* a mapping of its own near the site; the finder is at its start */
	uint64_t copy;		/* the displaced instructions */
	uint64_t next;		/* word: the next finder, or the copy */
};

/*
 * An image that the patch is for, as this process has it. Each has a region of its own, within reach of the image: the first one's is
 * the one that the ledger stands in, and that all dispatchers and tables are in; the others have [guard][code][unwind index][slice].
 */
struct ledger_image {
	char *name, *old_version, *new_version;
	struct build_id old_id, new_id;
	uint64_t bias, slice_bias;	/* run-time address - link-time address */
	struct range region;		/* with the guard */
	struct range code;		/* of the first: dispatchers and displaced copies. Of the others: entrances and displaced copies */
	struct range eh_frame;		/* of the slice; may be empty */
	struct range unwind_index;	/* its .eh_frame_hdr, likewise */
	bool lost;			/* the process has unmapped it since, or mapped it anew. Not part of the bytes */
};

/* A mapping of a region. */
struct ledger_part {
	struct range range;
	uint32_t flags;		/* enum segment_flags */
};

struct ledger {
	enum ledger_state state;
	bool lost;		/* all of its images are: nothing leads to the new code any more, whatever the state says. Not part of
				 * the bytes. */
	char *name, *description, *tool;
	uint64_t nonce;		/* random: tells this region from another one that came to lie at the same place */
	uint64_t digest;	/* of the patch's contents */
	uint64_t applied;	/* when it last was: seconds since 1970. Before the first time, when it was prepared */
	bool detached;		/* it has replaced others for good: what is below it now is the image (base_*) */
	bool traps_ignored;	/* SIGTRAP, which had its default action, is ignored for as long as threads are watched */
	bool removing;		/* PREPARED only: its memory is being unmapped, and parts of it may have gone (install.c) */
	bool forced;		/* it was finished although threads were still in the version that was left */
	uint16_t machine;
	ARRAY(struct ledger_image) images;	/* one at least */
	struct dispatch dispatch;	/* where dispatchers ask; see arch.h */
	uint64_t old_table, new_table;	/* one 8-byte word per redirected function, in their order, behind a mark (arch/dispatch.h) */
	uint64_t scratch;	/* LEDGER_SCRATCH bytes that the process may write to, for system calls that it makes for stent */
	ARRAY(uint64_t) replaced;	/* nonces of the patches that are taken out together with this one's application */
	ARRAY(struct ledger_part) parts;	/* by image, and sorted; the ledger's own and the code included */
	ARRAY(struct ledger_function) functions;
	ARRAY(struct ledger_finder) finders;
};

#define LEDGER_MAGIC "stent-ledger\r\n\x1a"	/* 16 bytes with the NUL */
#define LEDGER_CODE_ALIGN 16
#define LEDGER_SIZE_MAX (16u << 20)
#define LEDGER_IMAGES_MAX 256u
#define LEDGER_MAGIC_SIZE 16
#define LEDGER_SCRATCH 4096	/* TRAPS_SCRATCH bytes for those calls, then notes (notes.h) */

const char *ledger_state_name(enum ledger_state state);

/* The state, or "lost". */
const char *ledger_condition(const struct ledger *ledger);
size_t ledger_redirected(const struct ledger *ledger);

/* A transition has begun and is not at its end: INSTALLING or REVERTING. */
bool ledger_half_done(const struct ledger *ledger);

/* Bytes of a ledger, padded to whole pages; free() it. */
uint8_t *ledger_encode(const struct ledger *ledger, size_t *size) must_check;

/* False, and *why says what is wrong (a static string), for bytes that are no ledger of this version. Free with
 * ledger_free() in any case. */
bool ledger_decode(const uint8_t *bytes, size_t size, struct ledger *ledger, const char **why) must_check;
void ledger_free(struct ledger *ledger);

/* A copy that shares nothing. */
void ledger_copy(const struct ledger *from, struct ledger *to);

/* The image whose region holds the address, or NULL. */
const struct ledger_image *ledger_image_at(const struct ledger *ledger, uint64_t address) must_check;

/* One of its images is this one: of this build, at this place. NULL: none is. */
const struct ledger_image *ledger_find_image(const struct ledger *ledger, const struct build_id *old_id, uint64_t bias) must_check;

/* "server, liba.so.1": free() it. */
char *ledger_image_names(const struct ledger *ledger) must_check;

/* Where the ledger stands: behind one page of guard, in the first region. */
uint64_t ledger_address(const struct ledger *ledger);

/* Store the state, with one aligned write. */
enum status ledger_store_state(const struct process *process, struct ledger *ledger, enum ledger_state state,
			       struct error *error) must_check;

/* Store that it is active, and since when: two words next to each other, in one write. */
enum status ledger_store_active(const struct process *process, struct ledger *ledger, uint64_t applied, struct error *error) must_check;

/* Store whether threads were forced, with one aligned write, if that is news. */
enum status ledger_store_forced(const struct process *process, struct ledger *ledger, bool forced, struct error *error) must_check;

/* Store detached, traps_ignored, removing and forced as they are in *ledger, with one aligned write. */
enum status ledger_store_flags(const struct process *process, const struct ledger *ledger, struct error *error) must_check;

/* It has an entry in the process: it is redirected, and its image is still there. */
bool ledger_has_site(const struct ledger *ledger, const struct ledger_function *function) must_check;

/* The entry's bytes, of function->size, as they are put back by a revert. */
const uint8_t *ledger_below(const struct ledger *ledger, const struct ledger_function *function);

/* The process still has this ledger, in the state that it is known to have. Other stents change or remove it only with threads
 * stopped: the answer holds as long as the caller has one stopped. */
bool ledger_is_there(const struct process *process, const struct ledger *ledger) must_check;

/* Add what stands in the process where that is so, for process_holds(). The numbers are in *words. */
struct ledger_words {
	uint64_t state, nonce;
};
void ledger_list_header(const struct ledger *ledger, struct ledger_words *words, struct process_pieces *pieces);

/* A redirected function of some ledger. */
struct ledger_site {
	uint64_t address;
	const struct ledger *ledger;
	const struct ledger_function *function;
};

/* More than these in one process are no patches: somebody wants to keep a stent busy. */
#define LEDGERS_MAX 256
#define LEDGERS_SIZE_MAX (32u << 20)	/* bytes of all of them */

/* What the header says of a ledger that is, or may be, at that address: state, detached, traps_ignored, removing and forced. False: there is none
 * with that nonce. */
bool ledger_peek(const struct process *process, uint64_t address, uint64_t nonce, struct ledger *header) must_check;

struct ledgers {
	struct ledger *item;
	size_t count, room;
	ARRAY(struct ledger_site) sites;	/* of all of them, sorted by address; each ledger has an address once at most */
	uint64_t damaged_at;	/* the first that can't be read, */
	const char *why;	/* and what is wrong with it (a static string), or NULL */
};

/* All ledgers in a process, lost ones marked. Damaged ones are left out, and *damaged counts them, but for those that say
 * PREPARED: nothing leads there; and all that are too many. Free with ledgers_free(). */
void ledgers_read(const struct process *process, const struct maps *maps, struct ledgers *ledgers, size_t *damaged);
void ledgers_free(struct ledgers *ledgers);

/* The entries of all ledgers that stand at one address: the first of *count. */
const struct ledger_site *ledgers_at(const struct ledgers *ledgers, uint64_t address, size_t *count);

/* Name the first damaged one (there must be one). STATUS_REFUSED. */
enum status ledgers_refuse_damaged(const struct process *process, const struct ledgers *ledgers, struct error *error);

#endif
