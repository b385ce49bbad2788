/*
 * The validator on hostile code with hostile unwind data: two bytes that say how much of the input is code, the code, then
 * the .eh_frame section. Code is at 0x1000, the section (which is also where jump tables and landing pads may be) at 0x100000.
 */
#include <elf.h>
#include <stdlib.h>

#include "unwind/validate.h"

#define TEXT UINT64_C(0x1000)
#define SECTION UINT64_C(0x100000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_part(struct image *image, const char *name, uint64_t address, const uint8_t *data, size_t size, bool execute)
{
	struct range span = { address, address + size };

	*array_add(&image->sections) = (struct section){ .name = name, .span = span, .data = data, .execute = execute };
	*array_add(&image->segments) = (struct segment){
		.span = span, .file_size = size, .data = data, .flags = execute ? PF_R | PF_X : PF_R,
	};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image image = { .arch = &arch_x86_64, .entry = TEXT, .fixed_address = true };
	struct validation validation;
	struct rows *rows;
	size_t code;

	if (size < 2)
		return 0;
	code = load16(data);
	data += 2;
	size -= 2;
	if (code > size)
		code = size;
	add_part(&image, ".text", TEXT, data, code, true);
	add_part(&image, ".eh_frame", SECTION, data + code, size - code, false);
	image.eh_frame = (struct eh_frame){ data + code, size - code, SECTION };
	image.span = (struct range){ TEXT, SECTION + 0x10000 };

	rows = rows_build(&image.eh_frame, image.span);
	validate_image(&image, rows, &validation);
	for (uint32_t i = 0; i < rows->count; i++)
		if (rows->item[i].kind != ROW_NONE && rows->item[i].verdict == ROW_UNCHECKED)
			abort();
	if (validation.exact + validation.unverifiable + validation.contradicted != validation.rows)
		abort();
	validation_free(&validation);
	rows_free(rows);
	array_free(&image.sections);
	array_free(&image.segments);
	return 0;
}
