/*
 * validating.h: what the files of the validator share.
 *
 * FDEs are looked at in groups: a function, and the parts of it that its jumps lead to. Within a group
 * the work goes from leader to leader: instructions that something other than the one before them leads
 * to. For each of those the state is kept that all paths to it have in common.
 *
 * A path whose state contradicts a row is followed on, apart from the others, as a *tainted* path: what it
 * reaches with the wrong frame is not to be trusted, and must not blur what is known of the good paths.
 */
#ifndef STENT_UNWIND_VALIDATING_H
#define STENT_UNWIND_VALIDATING_H

#include "unwind/frame_state.h"
#include "unwind/landing.h"
#include "unwind/validate.h"

#define NOTHING UINT32_MAX

/* One FDE. */
struct unit {
	struct range code;
	uint64_t lsda;
	uint32_t row, rows;	/* its rows: first one and count */
	uint32_t leader;	/* first unit of its group, which has the members from `recheck` on for all of it */
	bool function;		/* its first row is that of a function's entry */
	bool stubs;		/* in a section of stubs for imports: every jump is followed by an entry */
	bool done;
	bool shared;		/* more than one group has it */
	bool recheck;		/* a path ended behind a call, because the frame did not fit */
	bool has_return;	/* a return instruction was reached in its group */
	uint32_t tail;		/* first of its tail calls in validating->tails, or NOTHING */
	uint8_t breaks;		/* what its group does not give back when it returns: bits of frame_saved_register[], BREAKS_STACK */
	uint8_t breaks_seen;	/* those that its callers were looked at with */
	bool returns;		/* it has a return instruction, or a tail call of a function that returns */
};

#define UNIT_STEP 128

#define BREAKS_STACK 0x80	/* the stack pointer is not right behind the return address's place */

/* A function that is called, and how often with straight code behind the call. */
struct callee {
	uint64_t target;
	uint32_t calls, straight;
};

struct callees {
	struct callee *item;	/* hash table; target 0: free */
	size_t count, room;
};

struct tail_call {
	uint32_t unit;		/* that is called */
	uint32_t next;
};

/* A call of a place in the text. */
struct unit_call {
	uint32_t target;	/* from the start of the text */
	uint32_t caller;
};

/* An instruction of the group. */
struct code_insn {
	struct insn_effect effect;
	uint32_t part;		/* index in group->parts */
	uint32_t at;		/* from the start of the unit's code */
	uint64_t address;
	uint32_t row;
	uint32_t state[2];	/* of a leader: index in group->states, for good paths and for tainted ones */
	uint32_t host;		/* the instruction that this one is a part of (behind a lock prefix), or NOTHING */
	bool leader, reached, contradicted;
	bool queued[2];
	uint8_t reason;		/* enum row_reason: why it is unverifiable */
};

struct part {
	uint32_t unit;
	uint32_t first_insn, insns;
	uint32_t first_branch, branches;	/* in group->branches */
	uint32_t first_take, takes;		/* in group->takes */
	uint32_t map;		/* where group->map has its bytes: index of the instruction that begins there, plus 1 */
	struct landing_pads pads;
};

/* An indirect jump's targets. All jumps with the same ones go through one of these, so that a state is
 * compared with each target only if it adds something. */
struct junction {
	struct value table;	/* VALUE_TARGET; or VALUE_UNKNOWN, with `number` 1 when `offset` is the instruction that
				 * loads from some table, and 0 for the labels of computed gotos */
	uint32_t state[2];	/* as of a leader */
	bool leads_nowhere;	/* no table was found: the jump goes to the labels instead */
};

struct work {
	uint64_t order;		/* the lowest is next */
	uint32_t insn;
	bool tainted;
};

struct group {
	ARRAY(struct part) parts;
	ARRAY(struct code_insn) insns;
	ARRAY(uint32_t) takes;		/* those of them that are EFFECT_ADDRESS, in their order */
	ARRAY(uint32_t) branches;	/* those that are a jump, but for an indirect one, or a call */
	ARRAY(uint32_t) map;
	ARRAY(struct frame_state) states;
	ARRAY(struct work) work;
	ARRAY(struct junction) junctions;
	ARRAY(struct contradiction) found;
	unsigned int stack_uses;	/* of all of its instructions, enum stack_use */
	ARRAY(uint64_t) switches;	/* where it loads the stack pointer: as in struct validation, if it switches stacks */
	ARRAY(uint64_t) aligned;	/* addresses of instructions that align the stack pointer */
	uint8_t breaks;			/* as unit.breaks */
	enum row_reason spoiled;	/* why nothing in the group can be verified */
	bool again;		/* a leader was found too late: do it again, with the leaders known by now */
};

struct validating {
	const struct image *image;
	struct rows *rows;
	ARRAY(struct unit) units;	/* by address */
	uint32_t *unit_index;	/* per UNIT_STEP bytes from the first unit on: the first unit that ends behind the first of them */
	ARRAY(struct tail_call) tails;
	ARRAY(uint64_t) labels;		/* sorted: addresses inside of units that data points to */
	ARRAY(uint64_t) entries;	/* sorted: addresses inside of units that have a function symbol */
	ARRAY(uint64_t) taken;		/* addresses inside of units that code of another group takes */
	struct callees callees;
	ARRAY(struct unit_call) calls;	/* of all units that were looked at; by target from when it is needed on */
	bool calls_sorted;
	bool second;		/* all units were looked at once: callees, and which units return, are known */
	uint8_t *reached;		/* a bit for each byte of text, in rows of which not all was; NULL: no such row was met */
	bool breaks_known;		/* so are those that do not give back what they must */
	struct group group;
	ARRAY(struct contradiction) found;
	ARRAY(uint64_t) switches;
};

/* How sure it is that control takes an edge. */
enum edge {
	EDGE_CERTAIN,
	EDGE_RETURNED,	/* behind a call of a function that returns, as far as is known (glibc's error() depends on its
			 * argument): if the frame does not fit, the target is unverifiable */
	EDGE_CALLED,	/* behind a call that may never return: if the frame does not fit, it does not */
	EDGE_POSSIBLE,	/* perhaps no edge at all: where the frame does not fit, the target is unverifiable */
	EDGE_UNLIKELY,	/* where the frame does not fit, there is no edge */
};

/* units.c: set up units, labels and entries. */
void units_find(struct validating *all);
/* Places inside of units whose address is taken by other functions are labels too, which are known once all units were
 * looked at. Asks for a recheck of those. */
void units_add_taken_labels(struct validating *all);

/* Unit that holds the address, or NOTHING. */
uint32_t validating_unit(const struct validating *all, uint64_t address);

/* group.c: the instruction that begins at the address, which may bring another unit into the group; NOTHING when there is none. */
uint32_t group_insn(struct validating *all, uint64_t address);
/* The one that begins at the address, which is in the same part as `insn`, or NOTHING. */
uint32_t group_next(const struct validating *all, uint32_t insn, uint64_t address);
static inline uint64_t group_address(const struct validating *all, uint32_t insn)
{
	return all->group.insns.item[insn].address;
}

static inline const struct row *group_row(const struct validating *all, uint32_t insn)
{
	return &all->rows->item[all->group.insns.item[insn].row];
}

/* Does an instruction of the part begin there? */
static inline bool group_begins(const struct validating *all, size_t part, uint64_t address)
{
	const struct part *found = &all->group.parts.item[part];

	return all->group.map.item[found->map + (uint32_t)(address - all->units.item[found->unit].code.start)] != 0;
}

/* Part of the group that holds the address, or NULL. */
const struct part *group_part(const struct validating *all, uint64_t address);
/* Add a unit, with the instructions decoded and its direct leaders marked. */
void group_add(struct validating *all, uint32_t unit);
/* Leaders that are to be looked at. Part by part as they came into the group, and the lower in a part the earlier: mostly all ways to a
 * place come from before it, and are known when its turn comes, so that it is looked at once. (By the address alone cold parts, which
 * lie below what leads to them, would be looked at again after every call in the hot one.) */
void group_add_work(struct group *group, uint32_t insn, bool tainted);
struct work group_take_work(struct group *group);
void group_clear(struct group *group);
/* Forget all but the instructions and leaders. */
void group_restart(struct group *group);

/* path.c: follow all paths from the queued leaders. */
void paths_follow(struct validating *all);
/* A path leads to the address with this state. `from`: the instruction before it. */
void paths_arrive(struct validating *all, uint64_t address, uint64_t from, const struct frame_state *state,
		  enum edge edge, bool tainted);

/* callee.c: note the calls in the part, and which of them have straight code behind them. Once for each unit. */
void callees_note(struct validating *all, const struct part *part);
/* Set `returns` of all units. */
void callees_find_returning(struct validating *all);
/* Ask for a recheck of all groups that call a function which does not give back what it must, and that did not know it
 * when they were looked at last. True if there are any. */
bool callees_find_breaking(struct validating *all);
/* What a function that is called there does not give back: as unit.breaks. */
uint8_t callee_breaks(const struct validating *all, uint64_t target);
/* How sure it is that the call instruction returns. */
enum edge callee_edge(struct validating *all, uint32_t call);

/* jump_table.c: the table that the jump's target comes from, as in struct junction. */
struct value jump_find_table(const struct validating *all, uint32_t insn, const struct frame_state *state);

/* split.c: note which of the instructions, all those of a row, were reached. */
void split_note(struct validating *all, const struct unit *unit, const struct code_insn *insn, const struct code_insn *end);
/* Make rows of their own of what was reached of rows that could not be verified only because the rest was not. Units have rows of these
 * numbers no longer. */
void split_rows(struct validating *all);

/* switches.c: find those in code that no path is known to, as if it were executed straight through. */
void switches_find_straight(struct validating *all, struct range code);

/* Where the indirect jump may lead, by its table or labels; none if that is not known. */
struct jump_targets {
	uint64_t *item;
	size_t count, room;
};
void jump_find_targets(struct validating *all, uint32_t insn, struct value table, struct jump_targets *targets);

#endif
