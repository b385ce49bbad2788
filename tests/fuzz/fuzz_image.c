/*
 * Hostile ELF files: the image, and the program in it (functions, references), as `stent diff` and `stent check` read them.
 */
#include <stdlib.h>

#include "expect.h"
#include "image/image.h"
#include "program/program.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_image(const struct image *image)
{
	for (size_t i = 0; i < image->segments.count; i++) {
		const struct segment *segment = &image->segments.item[i];
		const uint8_t *bytes = image_bytes(image, segment->span.start, 1);

		expect(!bytes || (bytes >= image->file && bytes < image->file + image->file_size), "bytes are outside of the file");
	}
	for (size_t i = 0; i < image->symbols.count; i++)
		expect(image->symbols.item[i].name, "a symbol has no name");
	for (size_t i = 1; i < image->relocations.count; i++)
		expect(image->relocations.item[i - 1].where <= image->relocations.item[i].where, "relocations are not sorted");
}

static void use_program(const struct program *program)
{
	for (uint32_t i = 0; i < program->functions.count; i++) {
		char *name = program_function_name(program, i);

		expect(name && *name, "a function has no name");
		free(name);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error error = { 0 };
	struct program program;
	struct image image;

	if (image_read_bytes("hostile", memory_copy(data, size), size, &image, &error) == STATUS_OK) {
		use_image(&image);
		if (program_load(&image, &program, &error) == STATUS_OK)
			use_program(&program);
		program_free(&program);
	} else {
		expect(error.length, "a refusal has no reason");
	}
	image_close(&image);
	error_clear(&error);
	return 0;
}
