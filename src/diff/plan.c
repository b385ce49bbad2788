/* plan.c: can the entry of an old function become a jump? */
#include <string.h>

#include "base/search.h"
#include "diff/comparison.h"

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

/* A jump from elsewhere in the function, back to its entry or into the bytes that are displaced? */
static bool jumps_into(const struct program *program, const struct function *function, struct range displaced, struct range forbidden)
{
	for (size_t i = 0; i < function->parts.count; i++) {
		const struct code_range *range = &program->ranges.item[function->parts.item[i]];
		const uint8_t *code = program_code(program, range);
		struct insn insn;

		/* Mostly no jump leads so far to the front. */
		if (i == 0 && range->lowest_jump >= forbidden.end - range->span.start)
			continue;
		for (uint64_t at = range->span.start; at < range->span.end; at += insn.length) {
			if (!program->image->arch->decode(code + (at - range->span.start), range->span.end - at, at, &insn))
				return true;
			if (insn.ref[0].kind == REF_BRANCH && insn.kind != INSN_CALL && !range_holds(displaced, at) &&
			    range_holds(forbidden, insn.ref[0].target))
				return true;
		}
	}
	return false;
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

	struct range displaced = { function->entry + out->plan.offset, function->entry + out->plan.offset + out->plan.span };
	struct range forbidden = { function->entry, function->entry + taken };
	struct range inside = { function->entry + 1, function->entry + taken };

	/* A loop back to the entry would go through the redirection in the middle of the old function, where the
	 * memory below the stack pointer may be in use. */
	if (jumps_into(program, function, displaced, forbidden))
		return "it jumps back to its entry or into the bytes that the redirection needs";
	if (referred_into(program, inside))
		return "something refers into the bytes that the redirection needs";
	memcpy(out->old_bytes, code, taken);
	return NULL;
}
