/*
 * imports.c: which address a symbol has in a process.
 *
 * The dynamic linker takes the first image of its search order that defines the name and version. That order (preloaded, global,
 * local, of several namespaces) is in its own structures, whose layout is nobody's interface. So it is not asked: a symbol is found
 * only where its order can't matter, because exactly one image of the whole process defines it. (A second definition is also what tells of an
 * interposed function, and of a variable that was copied into the executable.)
 *
 * The image that does must stay mapped for as long as the old image does: it must be the program itself, which nothing unmaps (plugins take
 * from it what they need), or the patched image; or among those that one of the two needs, directly or by way of others, which the dynamic
 * linker keeps (dlclose(3)).
 *
 * A symbol of type STT_GNU_IFUNC is the address of code that chooses. What it has chosen stands in the slots that were bound to it:
 * in its own image's (R_X86_64_IRELATIVE, which the dynamic linker never binds lazily), or in those of others.
 */
#include "live/imports.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

struct scope {
	const struct survey *survey;
	const struct patch *patch;
	const struct mapped_image *target;
	struct image *files;	/* of each of the survey's images */
	bool *needed;		/* by the target or the program, or one of these */
	struct error *error;
};

struct definition {
	size_t image;		/* index of the survey's images */
	const struct symbol *symbol;
	size_t count;		/* different ones that there are */
};

static void image_of_file(const struct scope *scope, size_t i, const struct mapped_image **mapped, const struct image **file)
{
	*mapped = &scope->survey->images.item[i];
	*file = &scope->files[i];
}

/* The vdso is in nobody's search order. */
static bool is_vdso(const struct scope *scope, size_t i)
{
	const struct mapping *mapping = maps_find(&scope->survey->maps, scope->survey->images.item[i].span.start);

	return mapping && mapping_special(mapping, "[vdso]");
}

static enum status read_files(struct scope *scope)
{
	const struct process *process = scope->survey->process;

	for (size_t i = 0; i < scope->survey->images.count; i++)
		if (!is_vdso(scope, i) && !survey_read_image(scope->survey, &scope->survey->images.item[i], &scope->files[i]))
			return refuse(scope->error, "process %d (%s): patch %s needs symbols of other images, and the file of %s, which may define them, can't be read",
				      process->pid, process->comm, scope->patch->name, scope->survey->images.item[i].name);
	return STATUS_OK;
}

/* Libraries that are there twice are of several namespaces (dlmopen(3), LD_AUDIT); in some of them nobody sees the program's symbols. */
static bool has_namespaces(const struct scope *scope)
{
	for (size_t i = 0; i < scope->survey->images.count; i++)
		for (size_t k = 0; k < i && scope->files[i].soname; k++)
			if (scope->files[k].soname && !strcmp(scope->files[i].soname, scope->files[k].soname))
				return true;
	return false;
}

/* The images that the target and the program need, and those that they need. A name that stands for two images marks both: more can't be
 * said of it. */
static void mark_needed(struct scope *scope)
{
	uint64_t program = 0;	/* its headers, where the kernel has put them; or those of a dynamic linker that was started by name */
	bool again = true, known = !has_namespaces(scope) && process_auxv(scope->survey->process, AT_PHDR, &program);

	for (size_t i = 0; i < scope->survey->images.count; i++)
		scope->needed[i] = &scope->survey->images.item[i] == scope->target ||
				   (known && range_holds(scope->survey->images.item[i].span, program));
	while (again) {
		again = false;
		for (size_t i = 0; i < scope->survey->images.count; i++)
			for (size_t k = 0; scope->needed[i] && k < scope->files[i].needed.count; k++)
				for (size_t j = 0; j < scope->survey->images.count; j++) {
					const char *soname = scope->files[j].soname;

					if (scope->needed[j] || !soname || strcmp(soname, scope->files[i].needed.item[k]) != 0)
						continue;
					scope->needed[j] = again = true;
				}
	}
}

/* As the dynamic linker compares (glibc elf/dl-lookup.c, check_match): an image without versions defines every one. */
static bool defines(const struct symbol *symbol, const struct patch_import *import)
{
	return symbol->dynamic && symbol->defined && symbol->binding != STB_LOCAL && strcmp(symbol->name, import->name) == 0 &&
	       (!*import->version || !symbol->version || strcmp(symbol->version, import->version) == 0);
}

static struct definition find_definition(const struct scope *scope, const struct patch_import *import)
{
	struct definition found = { 0 };

	for (size_t i = 0; i < scope->survey->images.count; i++) {
		const struct image *file = &scope->files[i];

		for (size_t k = 0; k < file->symbols.count; k++) {
			const struct symbol *symbol = &file->symbols.item[k];

			if (!defines(symbol, import))
				continue;
			found.count++;
			found.image = i;
			found.symbol = symbol;
		}
	}
	return found;
}

static bool is_code(const struct mapped_image *image, uint64_t address)
{
	for (size_t i = 0; i < image->code.count; i++)
		if (range_holds(image->code.item[i], address))
			return true;
	return false;
}

/* Is the slot bound to what the definition's code has chosen? */
static bool is_slot_of(const struct scope *scope, size_t image, const struct relocation *relocation, const struct definition *definition)
{
	enum reloc_kind kind = scope->files[image].arch->relocation(relocation->type);

	if (image == definition->image && kind == RELOC_RESOLVER)
		return (uint64_t)relocation->addend == definition->symbol->value;
	return kind == RELOC_SLOT && relocation->symbol && strcmp(relocation->symbol, definition->symbol->name) == 0 &&
	       (!relocation->version || !definition->symbol->version || strcmp(relocation->version, definition->symbol->version) == 0);
}

/* What was chosen: all slots that are bound say the same. 0 when none is, or they differ. */
static uint64_t chosen_address(const struct scope *scope, const struct definition *definition)
{
	const struct mapped_image *home = &scope->survey->images.item[definition->image], *mapped;
	const struct image *file;
	uint64_t chosen = 0;

	for (size_t i = 0; i < scope->survey->images.count; i++) {
		image_of_file(scope, i, &mapped, &file);
		for (size_t k = 0; k < file->relocations.count; k++) {
			uint8_t word[8];

			if (!is_slot_of(scope, i, &file->relocations.item[k], definition) ||
			    !process_read(scope->survey->process, file->relocations.item[k].where + mapped->bias, word, sizeof(word)))
				continue;
			/* A slot that is not bound yet leads back into its own image. */
			if (!is_code(home, load64(word)))
				continue;
			if (chosen && chosen != load64(word))
				return 0;
			chosen = load64(word);
		}
	}
	return chosen;
}

static enum status refuse_import(const struct scope *scope, const struct patch_import *import, const char *why)
{
	const struct process *process = scope->survey->process;

	return refuse(scope->error, "process %d (%s): the new code of patch %s needs %s%s%s, %s", process->pid, process->comm, scope->patch->name,
		      import->name, *import->version ? "@" : "", import->version, why);
}

static enum status find_import(const struct scope *scope, const struct patch_import *import, uint64_t *value)
{
	struct definition definition = find_definition(scope, import);
	const struct mapped_image *home;

	*value = 0;
	if (!definition.count)
		return import->weak ? STATUS_OK : refuse_import(scope, import, "which no image of the process defines");
	if (definition.count > 1)
		return refuse_import(scope, import, "which is defined more than once in the process");
	if (!scope->needed[definition.image])
		return refuse_import(scope, import, "and the only image that defines it is none that the patched one keeps loaded");
	home = &scope->survey->images.item[definition.image];
	switch (definition.symbol->type) {
	case STT_FUNC:
	case STT_OBJECT:
	case STT_NOTYPE:
		*value = definition.symbol->value + home->bias;
		return STATUS_OK;
	case STT_GNU_IFUNC:
		*value = chosen_address(scope, &definition);
		return *value ? STATUS_OK : refuse_import(scope, import, "of which several implementations exist, and nothing in the process says which was chosen");
	default:
		return refuse_import(scope, import, "which is thread-local, or of a kind that stent does not know");
	}
}

enum status imports_find(const struct survey *survey, const struct patch *patch, const struct mapped_image *target, uint64_t **values,
			 struct error *error)
{
	struct scope scope = { .survey = survey, .patch = patch, .target = target, .error = error };
	enum status status = STATUS_OK;

	*values = NULL;
	if (!patch->imports.count)
		return STATUS_OK;
	*values = memory_zeroed(patch->imports.count, sizeof(**values));
	scope.files = memory_zeroed(survey->images.count, sizeof(*scope.files));
	scope.needed = memory_zeroed(survey->images.count, sizeof(*scope.needed));
	status = read_files(&scope);
	if (status == STATUS_OK)
		mark_needed(&scope);
	for (size_t i = 0; i < patch->imports.count && status == STATUS_OK; i++)
		status = find_import(&scope, &patch->imports.item[i], &(*values)[i]);
	for (size_t i = 0; i < survey->images.count; i++)
		image_close(&scope.files[i]);
	free(scope.files);
	free(scope.needed);
	return status;
}
