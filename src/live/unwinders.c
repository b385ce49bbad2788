/*
 * unwinders.c: what the images of a process have to do with unwinding its stacks.
 *
 * An image has an unwinder if it exports one (libgcc_s.so.1, a libunwind), or has one linked into it: then it has code with personality
 * routines, but nothing imported to unwind by. An unwinder can be told of new code if it asks _dl_find_object(). Programs use
 * dl_iterate_phdr() for many things, so that alone makes none.
 */
#include <elf.h>
#include <string.h>

#include "live/finders.h"
#include "patch/format.h"

struct traits {
	bool exports_unwinder, imports_unwinder;
	bool asks;		/* _dl_find_object */
	bool iterates;		/* imports dl_iterate_phdr */
	bool dynamic;
	size_t personalities;	/* different ones */
	const struct symbol *finder;	/* _dl_find_object, defined here */
};

static bool is_unwinding(const char *name)
{
	return !strcmp(name, "_Unwind_RaiseException") || !strcmp(name, "_Unwind_Resume") || !strcmp(name, "_Unwind_ForcedUnwind");
}

static void look_at_symbols(const struct image *image, struct traits *traits)
{
	for (size_t i = 0; i < image->symbols.count; i++) {
		const struct symbol *symbol = &image->symbols.item[i];

		traits->dynamic |= symbol->dynamic;
		if (symbol->name[0] != '_' && symbol->name[0] != 'd')
			continue;
		if (is_unwinding(symbol->name)) {
			traits->exports_unwinder |= symbol->defined && symbol->dynamic;
			traits->imports_unwinder |= !symbol->defined;
		} else if (!strcmp(symbol->name, "_dl_find_object")) {
			traits->asks = true;
			if (symbol->defined && symbol->type == STT_FUNC)
				traits->finder = symbol;
		} else if (!strcmp(symbol->name, "dl_iterate_phdr")) {
			traits->iterates |= !symbol->defined;
		}
	}
}

#define PERSONALITIES 2		/* as many as have to be told apart */

static void count_personalities(const struct image *image, struct traits *traits)
{
	uint64_t seen[PERSONALITIES];
	size_t offset = 0;
	struct eh_fde fde;
	const char *why;

	while (traits->personalities < PERSONALITIES && eh_frame_next(&image->eh_frame, &offset, &fde, &why)) {
		bool known = !fde.cie.has_personality;

		for (size_t i = 0; i < traits->personalities; i++)
			known |= seen[i] == fde.cie.personality;
		if (!known)
			seen[traits->personalities++] = fde.cie.personality;
	}
}

/* What it begins with comes from glibc, and says so by a note (LSB Core 5.0, 10.8). */
static bool is_glibc(const struct image *image)
{
	return image_section_named(image, ".note.ABI-tag") != NULL;
}

/* Code can throw by way of an unwinder of its own. A static program of glibc has one, and one personality routine, even if it is in C: both for pthread_cancel. */
static bool brings_unwinder(const struct image *image, const struct traits *traits)
{
	if (!traits->personalities || traits->imports_unwinder)
		return false;
	if (traits->dynamic)
		return traits->iterates;
	return traits->personalities > 1 || !is_glibc(image);
}

/* Can a jump stand in the function's entry? Nothing may lead behind its first instruction. */
static bool plan_finder(const struct image *image, const struct symbol *symbol, struct survey_finder *finder)
{
	const uint8_t *code = image_bytes(image, symbol->value, symbol->size);
	const struct arch *arch = image->arch;
	struct insn insn;
	size_t taken;

	if (!code || arch->plan_entry(code, symbol->size, 0, &finder->plan))
		return false;
	taken = patch_site_size(&finder->plan);
	if (taken > symbol->size || taken > sizeof(finder->bytes))
		return false;
	for (size_t at = 0; at < symbol->size; at += insn.length)
		if (!arch->decode(code + at, symbol->size - at, symbol->value + at, &insn) ||
		    (insn.ref[0].kind == REF_BRANCH && insn.ref[0].target - symbol->value < taken))
			return false;
	memcpy(finder->bytes, code, taken);
	return true;
}

void survey_note_unwinder(struct survey *survey, const struct mapped_image *mapped, const struct image *image)
{
	struct survey_finder finder = { .image = mapped->span };
	struct traits traits = { 0 };
	bool brings;

	look_at_symbols(image, &traits);
	count_personalities(image, &traits);
	brings = brings_unwinder(image, &traits);
	survey->throws |= traits.imports_unwinder || brings;
	if (traits.finder && plan_finder(image, traits.finder, &finder)) {
		finder.entry = traits.finder->value + mapped->bias;
		*array_add(&survey->finders) = finder;
	} else if ((traits.finder || ((traits.exports_unwinder || brings) && !traits.asks)) && !survey->blind) {
		survey->blind = text_copy(mapped->name);
	} else if (traits.asks && !survey->asks) {
		survey->asks = text_copy(mapped->name);
	}
}
