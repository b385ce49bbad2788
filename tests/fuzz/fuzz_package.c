/*
 * Packages from hostile bytes. The first byte says what the others are: a whole .deb, or the data.tar or control.tar of one whose
 * other parts are good. What is accepted must be what was asked for; address sanitizer and limits see to the rest.
 */
#include <stdlib.h>
#include <string.h>

#include "image/package.h"

#include "../unit/package_example.h"
#include "expect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inspect(const struct packages *packages)
{
	uint64_t total = 0;

	for (size_t i = 0; i < packages->files.count; i++) {
		const struct package_file *file = &packages->files.item[i];

		total += file->size;
		expect(*file->path && *file->path != '/', "a path is absolute, or none");
		expect(*file->version && *file->source, "a file has no version or source");
		expect(file->size >= sizeof(Elf64_Ehdr) && !memcmp(file->bytes, ELFMAG, SELFMAG), "a file is no ELF file");
	}
	expect(total == packages->elf_total && total <= packages->total, "the sizes don't add up");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct packages packages = { 0 };
	struct buffer deb = { 0 };
	struct error error = { 0 };
	uint8_t kind = size ? data[0] % 3 : 0;
	enum status status;

	if (!size)
		return 0;
	if (kind) {
		struct buffer control = { 0 }, tar = { 0 };

		example_ar_member(&deb, "debian-binary", "2.0\n", 4);
		example_tar_file(&control, "control", EXAMPLE_CONTROL, strlen(EXAMPLE_CONTROL));
		example_tar_elf(&tar, "usr/bin/a", "a");
		if (kind == 1) {
			example_tar_member(&deb, "control.tar", &control);
			example_ar_member(&deb, "data.tar", data + 1, size - 1);
		} else {
			example_ar_member(&deb, "control.tar", data + 1, size - 1);
			example_tar_member(&deb, "data.tar", &tar);
		}
		array_free(&control);
		array_free(&tar);
	} else {
		buffer_append(&deb, data + 1, size - 1);
	}
	status = packages_add_bytes("it.deb", deb.item, deb.count, &packages, &error);
	expect((status == STATUS_OK) == !error.text, "an error without a reason, or the other way round");
	inspect(&packages);
	error_clear(&error);
	packages_free(&packages);
	array_free(&deb);
	return 0;
}
