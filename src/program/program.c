/* program.c: build a program from an image, and look things up in it. */
#include "program/program.h"

#include <stdlib.h>

#include "base/search.h"
#include "program/analysis.h"

enum status program_load(struct image *image, struct program *program, struct error *error)
{
	*program = (struct program){ .image = image };

	ranges_find(program);
	if (!program->ranges.count)
		return refuse(error, "%s: its .eh_frame describes no code", image->name);
	data_refs_find(program);
	references_find(program);
	boundaries_find(program);
	inner_targets_find(program);
	stored_find(program);
	functions_join(program);
	functions_name(program);
	functions_find_startup(program);
	return STATUS_OK;
}

void program_free(struct program *program)
{
	for (size_t i = 0; i < program->functions.count; i++)
		array_free(&program->functions.item[i].parts);
	array_free(&program->functions);
	array_free(&program->ranges);
	free(program->range_index);
	program->range_index = NULL;
	array_free(&program->refs);
	array_free(&program->data_refs);
	array_free(&program->inner_targets);
	array_free(&program->stored);
	array_free(&program->boundaries);
}

size_t program_range_search(const struct program *program, uint64_t address)
{
	size_t index;

	if (!program->range_index)
		return array_search(&program->ranges, span.end, address + 1);
	if (address < program->ranges.item[0].span.start)
		return 0;
	if (address >= program->ranges.item[program->ranges.count - 1].span.end)
		return program->ranges.count;
	index = program->range_index[(address - program->ranges.item[0].span.start) / PROGRAM_INDEX_STEP];
	while (program->ranges.item[index].span.end <= address)
		index++;
	return index;
}

const struct code_range *program_range(const struct program *program, uint64_t address)
{
	size_t index = program_range_search(program, address);

	return index < program->ranges.count && range_holds(program->ranges.item[index].span, address) ? &program->ranges.item[index] : NULL;
}

uint32_t program_function(const struct program *program, uint64_t address)
{
	const struct code_range *range = program_range(program, address);

	return range ? range->function : NO_FUNCTION;
}

size_t program_data_ref_index(const struct program *program, uint64_t where)
{
	return array_search(&program->data_refs, where, where);
}

const struct data_ref *program_data_ref(const struct program *program, uint64_t where)
{
	size_t index = program_data_ref_index(program, where);

	return index < program->data_refs.count && program->data_refs.item[index].where == where ? &program->data_refs.item[index] : NULL;
}

static size_t boundary_behind(const struct program *program, uint64_t address)
{
	return program->boundaries.count ? search_address(program->boundaries.item, program->boundaries.count, sizeof(uint64_t), address + 1) : 0;
}

uint64_t program_item_start(const struct program *program, uint64_t address)
{
	size_t index = boundary_behind(program, address);

	return index ? program->boundaries.item[index - 1] : address;
}

uint64_t program_item_end(const struct program *program, uint64_t address)
{
	size_t index = boundary_behind(program, address);

	return index < program->boundaries.count ? program->boundaries.item[index] : program->image->span.end;
}

char *program_function_name(const struct program *program, uint32_t function)
{
	const struct function *found = &program->functions.item[function];

	if (found->name)
		return text_copy(found->name);
	return text_format("%s+0x%lx", program->image->name, (unsigned long)found->entry);
}

bool program_range_refers(const struct program *program, const struct code_range *range, struct range span)
{
	for (uint32_t i = 0; i < range->ref_count; i++)
		if (range_holds(span, program->refs.item[range->first_ref + i].target))
			return true;
	return false;
}

const uint8_t *program_code(const struct program *program, const struct code_range *range)
{
	return image_bytes(program->image, range->span.start, range->span.end - range->span.start);
}

/* Slot of a weak symbol that a static link left undefined: nobody writes it, and no valid address is in it. */
static const struct relocation absent_symbol;

/* A stub is at most endbr64 and one indirect jump through a slot (psABI 5.2; ld's .plt, .plt.sec and .plt.got): that jump, and the
 * stub's end. False when there is none at the address. */
static bool decode_stub(const struct program *program, uint64_t address, struct insn *jump, uint64_t *end)
{
	const struct image *image = program->image;
	const struct section *section = image_section(image, address);

	if (!section || !section->execute || !section->data)
		return false;
	for (int i = 0; i < 2 && address < section->span.end; i++) {
		if (!image->arch->decode(section->data + (address - section->span.start), section->span.end - address, address, jump))
			return false;
		address += jump->length;
		*end = address;
		if (jump->kind == INSN_JUMP_INDIRECT && jump->ref[0].kind == REF_LOAD)
			return true;
		if (jump->kind != INSN_OTHER || jump->length != 4)
			return false;
	}
	return false;
}

const struct relocation *program_stub(const struct program *program, uint64_t address)
{
	const struct image *image = program->image;
	const struct relocation *slot;
	const uint8_t *word;
	struct insn jump;
	uint64_t end;

	if (!decode_stub(program, address, &jump, &end))
		return NULL;
	slot = image_relocation(image, jump.ref[0].target);
	word = image_bytes(image, jump.ref[0].target, 8);
	if (!slot && word && (!image->fixed_address || !load64(word)))
		return &absent_symbol;
	return slot;
}

struct range program_stub_span(const struct program *program, uint64_t address)
{
	struct range span = { address, address };
	struct insn jump;
	uint64_t end;

	if (decode_stub(program, address, &jump, &end))
		span.end = end;
	return span;
}
