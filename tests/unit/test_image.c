/* Images: what is read from good files, and that damaged ones end in an error. */
#include "build_pair.h"

#include <elf.h>

#include "image/image.h"

static const char source[] =
	"#include <stdio.h>\n"
	"__thread int local[3]; int data[5] = { 7 }; const char *const names[] = { \"one\", \"two\" };\n"
	"__attribute__((noipa)) int work(int a) { return printf(\"%s\\n\", names[a & 1]) + data[a] + local[0] + V; }\n"
	"int main(int argc, char **argv) { return work(argc); }\n";

static void test_executable(void **unused)
{
	struct build_pair pair = build_pair(source, "-O2 -fPIE -pie", 1);
	struct error error = { 0 };
	struct image image;
	const struct section *text;

	assert_int_equal(image_open(pair.file[0], &image, &error), STATUS_OK);
	assert_string_equal(image.name, "v1");
	assert_false(image.fixed_address);
	assert_false(image.library);
	assert_int_equal(image.id.size, 4);
	assert_memory_equal(image.id.bytes, "\x01\x11\x22\x33", 4);
	assert_int_equal(image.tls.end - image.tls.start, 12);
	text = image_section(&image, image.entry);
	assert_non_null(text);
	assert_string_equal(text->name, ".text");
	assert_true(text->execute && !text->write);
	/* The file's view of an address, and its ends. */
	assert_ptr_equal(image_bytes(&image, image.entry, 1), text->data + (image.entry - text->span.start));
	assert_null(image_bytes(&image, image.span.end, 1));
	assert_null(image_bytes(&image, image.entry, image.span.end));
	assert_null(image_bytes(&image, image.entry, UINT64_MAX));
	assert_null(image_section(&image, image.span.end));
	assert_null(image_section(&image, 0));
	image_close(&image);
	build_pair_free(&pair);
}

static void test_library(void **unused)
{
	struct build_pair pair = build_pair(source, "-O2 -fPIC -shared -Wl,-soname,libwork.so.3", 1);
	struct error error = { 0 };
	struct image image;
	size_t names = 0;

	assert_int_equal(image_open(pair.file[0], &image, &error), STATUS_OK);
	assert_string_equal(image.name, "libwork.so.3");
	assert_true(image.library);
	for (size_t i = 0; i < image.symbols.count; i++)
		names += strcmp(image.symbols.item[i].name, "work") == 0 && image.symbols.item[i].dynamic && image.symbols.item[i].defined;
	assert_int_equal(names, 1);
	for (size_t i = 1; i < image.relocations.count; i++) {
		assert_true(image.relocations.item[i - 1].where <= image.relocations.item[i].where);
		assert_non_null(image_relocation(&image, image.relocations.item[i].where));
	}
	for (size_t i = 0; i < image.relocations.count; i++)
		if (image.relocations.item[i].symbol && strcmp(image.relocations.item[i].symbol, "printf") == 0)
			assert_string_equal(image.relocations.item[i].version, "GLIBC_2.2.5");
	image_close(&image);
	build_pair_free(&pair);
}

static void test_fixed_address(void **unused)
{
	struct build_pair pair = build_pair(source, "-O2 -fno-pie -no-pie", 0);
	struct error error = { 0 };
	struct image image;

	assert_int_equal(image_open(pair.file[1], &image, &error), STATUS_OK);
	assert_true(image.fixed_address);
	assert_int_equal(image.span.start, 0x400000);
	image_close(&image);
	build_pair_free(&pair);
}

/* Open bytes as a file; must not crash. Returns the status. */
static enum status open_bytes(const char *folder, const uint8_t *bytes, size_t size)
{
	char *path = text_format("%s/damaged", folder);
	struct error error = { 0 };
	struct image image;
	enum status status;

	file_write(path, bytes, size);
	status = image_open(path, &image, &error);
	if (status)
		assert_non_null(error.text);
	image_close(&image);
	error_clear(&error);
	free(path);
	return status;
}

static void test_wrong_files(void **unused)
{
	struct build_pair pair = build_pair(source, "-O2 -fPIE -pie", 1);
	size_t size;
	uint8_t *bytes = file_read(pair.file[0], &size);

	assert_int_equal(open_bytes(pair.folder, bytes, size), STATUS_OK);
	assert_int_equal(open_bytes(pair.folder, (const uint8_t *)"#!/bin/sh\necho this is no ELF file, but long enough to hold a header\n", 68), STATUS_ERROR);
	assert_int_equal(open_bytes(pair.folder, bytes, 0), STATUS_ERROR);
	bytes[EI_CLASS] = ELFCLASS32;
	assert_int_equal(open_bytes(pair.folder, bytes, size), STATUS_ERROR);
	bytes[EI_CLASS] = ELFCLASS64;
	bytes[offsetof(Elf64_Ehdr, e_machine)] = EM_AARCH64;
	assert_int_equal(open_bytes(pair.folder, bytes, size), STATUS_ERROR);
	free(bytes);
	build_pair_free(&pair);
}

/* Any length, and thousands of damaged bytes in the headers: an error or an image, never a crash. */
static void test_go(void **unused)
{
	struct build_pair pair = build_pair("asm(\".section .note.go.buildid,\\\"a\\\",@note; .long 4, 4, 4; .asciz \\\"Go\\\"; .balign 4; .long 1; .text\");\n"
					    "int main(void) { return V; }\n", "-O2", 1);
	struct error error = { 0 };
	struct image image;

	assert_int_equal(image_open(pair.file[0], &image, &error), STATUS_REFUSED);
	assert_non_null(strstr(error.text, "Go program"));
	error_clear(&error);
	image_close(&image);
	build_pair_free(&pair);
}

static void test_damaged_files(void **unused)
{
	struct build_pair pair = build_pair(source, "-O2 -fPIE -pie", 1);
	size_t size;
	uint8_t *bytes = file_read(pair.file[0], &size);
	uint32_t random = 12345;

	for (size_t length = 0; length < size; length += 1 + length / 20)
		assert_int_equal(open_bytes(pair.folder, bytes, length), STATUS_ERROR);
	for (int i = 0; i < 3000; i++) {
		/* Program headers and dynamic tables in the first pages, section headers in the last bytes. */
		size_t at;
		uint8_t old;

		random = random * 1103515245 + 12345;
		at = random & 0x10000 ? (random >> 17) % 2048 : size - 1 - (random >> 17) % 2048;
		old = bytes[at];
		random = random * 1103515245 + 12345;
		bytes[at] = (uint8_t)(random >> 20);
		(void)open_bytes(pair.folder, bytes, size);
		bytes[at] = old;
	}
	free(bytes);
	build_pair_free(&pair);
}

/* A table with a second name, and a named part; a gap; another variable. */
static void test_objects(void **unused)
{
	static const char tables[] =
		"__asm__(\".data\\n.globl outer, also, inner, last\\n.type outer, @object\\n.type also, @object\\n.type inner, @object\\n.type last, @object\\n\"\n"
		"\"outer:\\nalso:\\n.quad 1, 2\\ninner:\\n.quad 3\\n.quad 4\\n.size outer, 32\\n.size also, 32\\n.size inner, 8\\n\"\n"
		"\".quad 5\\nlast:\\n.quad 6\\n.size last, 8\\n\");\n"
		"int work(void) { return V; }\n";
	struct build_pair pair = build_pair(tables, "-O2 -fPIC -shared", 1);
	struct error error = { 0 };
	const struct symbol *outer = NULL;
	struct image image;

	assert_int_equal(image_open(pair.file[0], &image, &error), STATUS_OK);
	for (size_t i = 0; i < image.symbols.count && !outer; i++)
		if (strcmp(image.symbols.item[i].name, "outer") == 0 || strcmp(image.symbols.item[i].name, "also") == 0)
			outer = &image.symbols.item[i];
	assert_non_null(outer);
	/* The last to begin, the first of its names, and what goes on behind the part. */
	assert_ptr_equal(image_object(&image, outer->value), outer);
	assert_ptr_equal(image_object(&image, outer->value + 15), outer);
	assert_string_equal(image_object(&image, outer->value + 16)->name, "inner");
	assert_string_equal(image_object(&image, outer->value + 23)->name, "inner");
	assert_ptr_equal(image_object(&image, outer->value + 24), outer);
	assert_null(image_object(&image, outer->value + 32));
	assert_null(image_object(&image, outer->value + 39));
	assert_string_equal(image_object(&image, outer->value + 40)->name, "last");
	assert_null(image_object(&image, outer->value + 48));
	assert_null(image_object(&image, UINT64_MAX));
	assert_null(image_object(&image, 0));
	image_close(&image);
	build_pair_free(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_executable),
		cmocka_unit_test(test_library),
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_fixed_address),
		cmocka_unit_test(test_wrong_files),
		cmocka_unit_test(test_go),
		cmocka_unit_test(test_damaged_files),
	};

	return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
