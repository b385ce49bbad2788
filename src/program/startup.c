/*
 * startup.c: functions that run once, before or as main().
 *
 * They are on the stack for ever (main) or have run already (constructors), so redirecting them could
 * never take effect. Sources: gABI 5.3 "Initialization and Termination Functions"; what _start hands to __libc_start_main
 * (glibc sysdeps/x86_64/start.S: main, and before 2.34 also __libc_csu_init and _fini), in static programs also that itself.
 */
#include <elf.h>
#include <string.h>

#include "program/analysis.h"

static void mark(struct program *program, uint64_t address)
{
	uint32_t index = program_function(program, address);

	if (index != NO_FUNCTION)
		program->functions.item[index].startup = true;
}

static void mark_started_by(struct program *program, uint32_t start)
{
	const struct function *function = &program->functions.item[start];

	for (size_t i = 0; i < function->parts.count; i++) {
		const struct code_range *range = &program->ranges.item[function->parts.item[i]];

		for (uint32_t k = 0; k < range->ref_count; k++) {
			const struct code_ref *ref = &program->refs.item[range->first_ref + k];

			mark(program, ref->target);
		}
	}
}

static bool holds_constructors(const struct section *section)
{
	return strcmp(section->name, ".init_array") == 0 || strcmp(section->name, ".preinit_array") == 0 ||
	       strcmp(section->name, ".ctors") == 0;
}

/* What code other than _start calls as well (a constructor that is also a function) runs again. */
static void unmark_called(struct program *program)
{
	for (uint32_t i = 0; i < program->ranges.count; i++) {
		const struct code_range *range = &program->ranges.item[i];

		if (range->function == program_function(program, program->image->entry))
			continue;
		for (uint32_t k = 0; k < range->ref_count; k++) {
			const struct code_ref *ref = &program->refs.item[range->first_ref + k];
			uint64_t target = ref->target;
			uint32_t callee = ref->insn_kind == INSN_CALL ? program_function(program, target) : NO_FUNCTION;

			if (callee != NO_FUNCTION && program->functions.item[callee].entry == target)
				program->functions.item[callee].startup = false;
		}
	}
	/* What a library exports may be called from outside at any time. */
	for (size_t i = 0; i < program->functions.count; i++)
		if (program->image->library && program->functions.item[i].exported)
			program->functions.item[i].startup = false;
}

void functions_find_startup(struct program *program)
{
	const struct image *image = program->image;
	uint32_t start = image->library ? NO_FUNCTION : program_function(program, image->entry);

	if (start != NO_FUNCTION) {
		program->functions.item[start].startup = true;
		mark_started_by(program, start);
	}
	for (size_t i = 0; i < image->sections.count; i++) {
		const struct section *section = &image->sections.item[i];

		if (strcmp(section->name, ".init") == 0)
			mark(program, section->span.start);
		if (!holds_constructors(section))
			continue;
		for (size_t k = program_data_ref_index(program, section->span.start);
		     k < program->data_refs.count && program->data_refs.item[k].where < section->span.end; k++)
			mark(program, program->data_refs.item[k].target);
	}
	/* What chose an implementation (IFUNC) has chosen. */
	for (size_t i = 0; i < program->data_refs.count; i++)
		if (program->data_refs.item[i].kind == RELOC_RESOLVER)
			mark(program, program->data_refs.item[i].target);
	for (size_t i = 0; i < image->symbols.count; i++)
		if (image->symbols.item[i].defined && image->symbols.item[i].type == STT_GNU_IFUNC)
			mark(program, image->symbols.item[i].value);
	for (size_t i = 0; i < program->functions.count; i++)
		if (!image->library && program->functions.item[i].name && strcmp(program->functions.item[i].name, "main") == 0)
			program->functions.item[i].startup = true;
	unmark_called(program);
}
