/* plan.c: can the entry of an old function become a jump? */
#include <string.h>

#include "base/search.h"
#include "diff/comparison.h"
#include "unwind/rows.h"

/* Bytes behind the function that no other one owns and that only fill space. */
static size_t padding_behind(const struct program *program, const struct code_range *range, const uint8_t *code)
{
	const struct image *image = program->image;
	const struct section *section = image_section(image, range->span.start);
	uint64_t size = range->span.end - range->span.start, at = range->span.end;
	uint64_t end = range + 1 < program->ranges.item + program->ranges.count ? range[1].span.start : section->span.end;

	if (end > section->span.end || end < at)
		end = section->span.end;
	while (at < end) {
		const uint8_t *byte = code + size + (at - range->span.end);
		struct insn insn;

		if (*byte == image->arch->trap)
			at++;
		else if (image->arch->decode(byte, end - at, at, &insn) && insn.kind == INSN_NOP)
			at += insn.length;
		else
			break;
	}
	return at - range->span.end;
}

/* How far above the stack pointer the frame begins, by the unwind data, which nothing has compared with the code yet; 0: not to be told. */
static int32_t frame_distance(const struct program *program, uint64_t at)
{
	struct rows *rows = rows_build(&program->image->eh_frame, program_range(program, at)->span);
	const struct row *row = rows_find(rows, at);
	int32_t distance = row && row->kind == ROW_REGISTER && row->base == REGISTER_STACK_POINTER ? row->offset : 0;

	rows_free(rows);
	return distance;
}

/*
 * Jumps from elsewhere in the function to where it begins: a tail call of itself, or a loop. They go through the redirection in the middle of the
 * old function, which is the same as if they did not:
 *
 * - While threads of both versions run, and while the jumps are written, a dispatcher leads there. A thread with an instruction of the
 *   function ahead of it is in the old version (it is moved only when neither its program counter nor a word of its stack can lead into the function, a
 *   dispatcher or a copy), and so it comes to the displaced copy and back. On the way all registers, the flags, and the stack with 128
 *   bytes below it are kept: a loop without a frame may keep a variable there from one round to the next (struct arch, write_dispatcher).
 * - In force, the entry leads to the new code at once; then nobody is inside of the old function, nor comes there.
 * - But after --force somebody may be. Then the jump is what any call by old code is, a call of the new function; so it must find the
 *   stack as a call does. The return address is the old activation's, and its caller gets what it waits for. (What a loop keeps besides its
 *   arguments is lost.)
 *
 * The new code's own jumps of this kind do not come here: they stay in the slice (bind.c).
 */
static const char *check_jump_back(const struct program *program, uint64_t at, uint64_t entry)
{
	int32_t distance = frame_distance(program, entry);

	return distance && distance == frame_distance(program, at) ? NULL : "it jumps back to its entry with another frame than a call leaves";
}

/* Jumps from elsewhere in the function, to its start and into the bytes that are displaced. Returns what is in the way, or NULL. */
static const char *check_jumps(const struct program *program, const struct function *function, const struct entry_plan *plan, size_t taken)
{
	uint64_t entry = function->entry, site = entry + plan->offset;
	struct range displaced = { site, site + plan->span };
	const char *why = NULL;

	for (size_t i = 0; i < function->parts.count && !why; i++) {
		const struct code_range *range = &program->ranges.item[function->parts.item[i]];
		const uint8_t *code = program_code(program, range);
		struct insn insn;

		/* Mostly no jump leads so far to the front. */
		if (i == 0 && range->lowest_jump >= taken)
			continue;
		for (uint64_t at = range->span.start; at < range->span.end && !why; at += insn.length) {
			if (!program->image->arch->decode(code + (at - range->span.start), range->span.end - at, at, &insn))
				return "it has bytes that are no instruction";
			if (insn.ref[0].kind != REF_BRANCH || insn.kind == INSN_CALL || range_holds(displaced, at) ||
			    insn.ref[0].target - entry >= taken)
				continue;
			why = insn.ref[0].target == entry || insn.ref[0].target == site ?
				check_jump_back(program, at, entry) : "it jumps into the bytes that the redirection needs";
		}
	}
	return why;
}

/* Anything at all in the image that refers into the displaced bytes (other than to the entry)? */
static bool referred_into(const struct program *program, struct range inside)
{
	const uint64_t *targets = program->inner_targets.item;
	size_t count = program->inner_targets.count, first = count ? search_address(targets, count, sizeof(*targets), inside.start) : 0;

	return first < count && targets[first] < inside.end;
}

const char *entry_plan_make(const struct program *program, uint32_t index, struct patch_function *out)
{
	const struct function *function = &program->functions.item[index];
	const struct code_range *range = &program->ranges.item[function->parts.item[0]];
	const uint8_t *code = program_code(program, range);
	size_t size = range->span.end - range->span.start, taken;
	const char *why;

	for (size_t i = 0; i < function->parts.count; i++)
		if (!program->ranges.item[function->parts.item[i]].covered || !program->ranges.item[function->parts.item[i]].decoded)
			return "it has no unwind data, or data among its instructions";
	if (function->more_entries)
		return "it has more than one entry";
	why = program->image->arch->plan_entry(code, size, padding_behind(program, range, code), &out->plan);
	if (why)
		return why;

	taken = out->plan.offset + (out->plan.span > out->plan.jump ? out->plan.span : out->plan.jump);

	struct range inside = { function->entry + 1, function->entry + taken };

	why = check_jumps(program, function, &out->plan, taken);
	if (why)
		return why;
	if (referred_into(program, inside))
		return "something refers into the bytes that the redirection needs";
	memcpy(out->old_bytes, code, taken);
	return NULL;
}
