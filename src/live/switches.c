/* Which code of a process can leave a context suspended, that is a stack that no thread is on. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "live/survey.h"

static const struct symbol *symbol_named(const struct image *image, const char *name, bool defined)
{
	for (size_t i = 0; i < image->symbols.count; i++)
		if (image->symbols.item[i].defined == defined && !strcmp(image->symbols.item[i].name, name))
			return &image->symbols.item[i];
	return NULL;
}

static bool imports(const struct image *image, const char *name)
{
	return symbol_named(image, name, false);
}

/* They switch stacks for others, who call them by name: that is seen where it is called. */
static bool is_runtime(const char *name)
{
	static const char *const runtime[] = { "libc.so.", "ld-linux-", "libgcc_s.so.", "ld-musl-", "libc.musl-" };

	for (size_t i = 0; i < sizeof(runtime) / sizeof(*runtime); i++)
		if (!strncmp(name, runtime[i], strlen(runtime[i])))
			return true;
	return false;
}

static void note(struct survey *survey, bool made, char *text)
{
	if (!survey->switches || (survey->made_contexts && !made)) {
		free(survey->switches);
		survey->switches = text;
		survey->made_contexts = made;
	} else {
		free(text);
	}
}

/*
 * Where does it go on behind the instruction that stores the register somewhere else than in the frame, which is reached from `at` in any
 * case? 0: that is not seen.
 */
static uint64_t find_behind_store(const struct image *image, struct range code, uint64_t at, uint8_t wanted)
{
	struct insn_effect effect;
	struct insn insn;

	for (; at < code.end; at += effect.length) {
		const uint8_t *bytes = image_bytes(image, at, code.end - at);

		if (!bytes || !image->arch->effect(bytes, code.end - at, at, &effect) || !image->arch->decode(bytes, code.end - at, at, &insn) ||
		    (effect.insn != INSN_OTHER && effect.insn != INSN_NOP))
			return 0;
		if (effect.kind == EFFECT_STORE && effect.source == wanted)
			return effect.target == NO_REGISTER || insn.on_stack ? 0 : at + effect.length;
		if (effect.kind != EFFECT_STORE && effect.kind != EFFECT_SPOIL &&
		    (effect.target == wanted || (effect.kind == EFFECT_EXCHANGE && effect.source == wanted)))
			return 0;
		if (effect.writes & 1u << wanted)
			return 0;
	}
	return 0;
}

#define END_MAX 64	/* bytes of the code that ends a context */

/* Up to where it can't go on. */
static struct range code_up_to_stop(const struct image *image, uint64_t start)
{
	struct range code = { start, start + 1 };
	struct insn insn;

	for (uint64_t at = start; at < start + END_MAX; at += insn.length) {
		const uint8_t *bytes = image_bytes(image, at, END_MAX);

		if (!bytes || !image->arch->decode(bytes, END_MAX, at, &insn))
			break;
		code.end = at + insn.length;
		if (insn.kind == INSN_STOP)
			break;
	}
	return code;
}

/*
 * makecontext() puts the address of the code that ends a context where the context's first function returns to (glibc,
 * sysdeps/unix/sysv/linux/x86_64/makecontext.c: __start_context). That calls setcontext() with the stack pointer as it is behind that return, so
 * what the call returns to comes to the same place. It is the one address of code that makecontext() takes.
 */
static bool find_makers(struct survey *survey, const struct image *image, const struct symbol *symbol, uint64_t bias)
{
	struct range code = { symbol->value, symbol->value + symbol->size };
	const uint8_t *bytes = image_bytes(image, code.start, symbol->size);
	size_t before = survey->makers.count;
	struct insn_effect effect;

	for (uint64_t at = code.start; bytes && at < code.end; at += effect.length) {
		const struct section *section;
		struct range words;
		uint64_t behind;

		if (!image->arch->effect(bytes + (at - code.start), code.end - at, at, &effect))
			return false;
		section = effect.kind == EFFECT_ADDRESS && effect.refers ? image_section(image, effect.address) : NULL;
		if (!section || !section->execute)
			continue;
		words = code_up_to_stop(image, effect.address);
		behind = find_behind_store(image, code, at + effect.length, effect.target);
		*array_add(&survey->makers) = (struct context_maker){
			.code = { code.start + bias, code.end + bias },
			.words = { words.start + bias, words.end + bias },
			.behind = behind ? behind + bias : 0,
		};
	}
	return survey->makers.count > before;
}

/* A patch may be in force there, or somebody else's. */
static bool runs_as_in_file(const struct survey *survey, const struct image *image, const struct symbol *symbol, uint64_t bias)
{
	const uint8_t *bytes = image_bytes(image, symbol->value, symbol->size);
	uint8_t *runs = memory_zeroed(1, symbol->size);
	bool same = bytes && process_read(survey->process, symbol->value + bias, runs, symbol->size) && !memcmp(runs, bytes, symbol->size);

	free(runs);
	return same;
}

/* Who has one of its own makes contexts of whatever kind, and calls it without importing it. */
static void note_makers(struct survey *survey, const struct mapped_image *mapped, const struct image *image)
{
	const struct symbol *symbol = symbol_named(image, "makecontext", true);

	if (!symbol)
		return;
	if (!is_runtime(mapped->name))
		note(survey, false, text_format("%s has a makecontext() of its own", mapped->name));
	else if (!symbol->size || !runs_as_in_file(survey, image, symbol, mapped->bias) || !find_makers(survey, image, symbol, mapped->bias))
		survey->unknown_maker = true;
}

void survey_note_switches(struct survey *survey, const struct mapped_image *mapped, const struct image *image,
			  const struct code_rows *code)
{
	static const char *const jumps[] = { "longjmp", "_longjmp", "siglongjmp", "__longjmp_chk", "swapcontext" };

	note_makers(survey, mapped, image);
	if (is_runtime(mapped->name))
		return;
	if (imports(image, "makecontext"))
		note(survey, true, text_format("%s calls makecontext()", mapped->name));
	else if (imports(image, "swapcontext"))
		note(survey, false, text_format("%s calls swapcontext()", mapped->name));
	/* sigaltstack(2) with a jump out of the handler and back into it, as GNU pth and QEMU have it */
	for (size_t i = 0; i < sizeof(jumps) / sizeof(*jumps); i++)
		if (imports(image, "sigaltstack") && imports(image, jumps[i]))
			note(survey, false, text_format("%s calls sigaltstack() and %s()", mapped->name, jumps[i]));
	if (code->switches.count)
		note(survey, false, text_format("%s switches stacks at 0x%" PRIx64, mapped->name, code->switches.item[0]));
}
