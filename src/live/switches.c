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

/*
 * makecontext() puts the address of the code that ends a context where the context's first function returns to; it stands there
 * as long as the context lives (glibc, sysdeps/unix/sysv/linux/x86_64/makecontext.c: __start_context). It is the one address of
 * code that makecontext() takes.
 */
static void note_context_start(struct survey *survey, const struct image *image, uint64_t bias)
{
	const struct symbol *symbol = symbol_named(image, "makecontext", true);
	const uint8_t *code = symbol ? image_bytes(image, symbol->value, symbol->size) : NULL;
	struct insn insn;

	for (uint64_t at = 0; code && at < symbol->size; at += insn.length) {
		const struct section *section;

		if (!image->arch->decode(code + at, symbol->size - at, symbol->value + at, &insn))
			return;
		section = insn.ref[0].kind == REF_ADDRESS ? image_section(image, insn.ref[0].target) : NULL;
		if (section && section->execute)
			*array_add(&survey->context_starts) = insn.ref[0].target + bias;
	}
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

void survey_note_switches(struct survey *survey, const struct mapped_image *mapped, const struct image *image,
			  const struct code_rows *code)
{
	static const char *const jumps[] = { "longjmp", "_longjmp", "siglongjmp", "__longjmp_chk", "swapcontext" };

	note_context_start(survey, image, mapped->bias);
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
