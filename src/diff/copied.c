/*
 * copied.c: constants of other images of which this one has a copy (R_*_COPY: tables of virtual functions that a program's code refers to directly).
 *
 * The dynamic linker fills them when the program starts; what the file has there is zeros, and no constant. So they are known by name, and the only ones that
 * exist are in the process.
 */
#include "diff/comparison.h"

static uint64_t size_of(const struct image *image, const struct data_ref *copy)
{
	uint64_t size = 1;

	for (size_t i = 0; i < image->symbols.count; i++)
		if (image->symbols.item[i].defined && image->symbols.item[i].value == copy->where && image->symbols.item[i].size > size)
			size = image->symbols.item[i].size;
	return size;
}

const struct data_ref *copied_at(const struct program *program, uint64_t address)
{
	const struct section *section = image_section(program->image, address);
	size_t next = program_data_ref_index(program, address + 1);
	const struct data_ref *before = next ? &program->data_refs.item[next - 1] : NULL;

	return section && section_is_constant(section) && before && before->kind == RELOC_COPY &&
	       address - before->where < size_of(program->image, before) ? before : NULL;
}

static bool are_same(const struct data_ref *a, const struct data_ref *b)
{
	return a->symbol && symbols_equal(a->symbol, a->version, b->symbol, b->version);
}

uint64_t copied_in(const struct program *program, const struct data_ref *wanted)
{
	for (size_t i = 0; i < program->data_refs.count; i++)
		if (program->data_refs.item[i].kind == RELOC_COPY && are_same(&program->data_refs.item[i], wanted))
			return program->data_refs.item[i].where;
	return 0;
}

enum difference copied_compare(const struct data_ref *old, uint64_t old_address, const struct data_ref *new, uint64_t new_address)
{
	return old && new && are_same(old, new) && old_address - old->where == new_address - new->where ? SAME : DIFFERENT_CONSTANT;
}
