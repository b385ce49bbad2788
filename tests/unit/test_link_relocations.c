/*
 * test_link_relocations.c: what the code alone leaves open, kept relocations (ld --emit-relocs) decide. Each case is shown to be open
 * without them.
 */
#include "build_pair.h"

#include <elf.h>

#include "diff/diff.h"
#include "program/program.h"

/* In builds at a fixed address, read-only data begins at 0x402000, and is large enough here to hold 0x402100. */
static const char numbers[] =
	"volatile long sink;\n"
	"#if V == 2\n"
	"const char new_text[64] = \"a text that moves all that lies behind it in the read-only data\";\n"
	"#endif\n"
	"#define F4(x) x, x + 1, x + 2, x + 3\n"
	"#define F16(x) F4(x), F4(x + 4), F4(x + 8), F4(x + 12)\n"
	"#define F64(x) F16(x), F16(x + 16), F16(x + 32), F16(x + 48)\n"
	"#define F256(x) F64(x), F64(x + 64), F64(x + 128), F64(x + 192)\n"
	"const unsigned short filling[1024] = { F256(1), F256(257), F256(513), F256(769) };\n"
	"const long limits[3] = { 0x402100, 7, 0x402208 };\n"
	"__attribute__((noipa)) void number(void) { sink = 0x402100; }\n"
	"__attribute__((noipa)) long limit(int i) { return limits[i]; }\n"
	"__attribute__((noipa)) const unsigned short *text(int i) { return filling + i; }\n"
	"__attribute__((noipa)) int version(int i) {\n"
	"#if V == 2\n"
	"	sink = 0x402180; sink = new_text[i];\n"
	"#endif\n"
	"	sink = i; sink = i + 1; return i + V; }\n"
	"int main(int argc, char **argv) { number(); return (int)limit(argc) + *text(argc) + version(argc); }\n";

/* The end of one table is the start of the next one. */
static const char ends[] =
	"volatile int sink;\n"
	"const int table[64] = { 1, 2, 3 };\n"
	"#if V == 2\n"
	"const int inserted[4] = { 9, 9, 9, 9 };\n"
	"#endif\n"
	"const int next[64] = { 7, 8 };\n"
	"__attribute__((noipa)) const int *end_of_table(void) { return table + 64; }\n"
	"__attribute__((noipa)) int other(int i) { return next[i]; }\n"
	"__attribute__((noipa)) int version(int i) {\n"
	"#if V == 2\n"
	"	i += inserted[i];\n"
	"#endif\n"
	"	sink = i; sink = i + 1; return i + V; }\n"
	"int main(int argc, char **argv) { return end_of_table()[-1] + other(argc) + version(argc); }\n";

struct outcome {
	enum status status;
	struct patch patch;
	char *text;
};

static struct outcome compare(const char *source, const char *flags)
{
	struct build_pair pair = build_pair(source, flags, 0);
	struct diff_options options = { .name = "fix" };
	struct error error = { 0 };
	struct outcome outcome;

	outcome.status = diff_images(pair.file[0], pair.file[1], &options, &outcome.patch, &error);
	outcome.text = text_copy(error.text ? error.text : "");
	error_clear(&error);
	build_pair_free(&pair);
	return outcome;
}

static void outcome_free(struct outcome *outcome)
{
	patch_free(&outcome->patch);
	free(outcome->text);
}

static bool has(const struct outcome *outcome, const char *name)
{
	for (size_t i = 0; i < outcome->patch.functions.count; i++)
		if (strcmp(outcome->patch.functions.item[i].name, name) == 0)
			return true;
	return false;
}

static void assert_only_version(struct outcome *outcome)
{
	if (outcome->status)
		print_error("%s\n", outcome->text);
	assert_int_equal(outcome->status, STATUS_OK);
	assert_true(has(outcome, "version"));
	for (size_t i = 0; i < outcome->patch.functions.count; i++)
		if (strcmp(outcome->patch.functions.item[i].name, "version") != 0)
			print_error("also %s\n", outcome->patch.functions.item[i].name);
	assert_int_equal(outcome->patch.functions.count, 1);
	outcome_free(outcome);
}

#define FIXED "-O2 -fno-pie -no-pie -fno-toplevel-reorder"

static void test_numbers_without(void **state)
{
	struct outcome outcome = compare(numbers, FIXED);

	/* A number in its new code that could be an address. */
	assert_int_equal(outcome.status, STATUS_REFUSED);
	assert_non_null(strstr(outcome.text, "version: its new code"));
	assert_non_null(strstr(outcome.text, "a number that may or may not be an address"));
	assert_true(has(&outcome, "number") && has(&outcome, "limit"));
	outcome_free(&outcome);
}

static void test_numbers(void **state)
{
	struct outcome outcome = compare(numbers, FIXED " -Wl,--emit-relocs");

	assert_only_version(&outcome);
}

static void test_ends(void **state)
{
	struct outcome without = compare(ends, "-O2 -fPIE -pie -fno-toplevel-reorder");
	struct outcome with = compare(ends, "-O2 -fPIE -pie -fno-toplevel-reorder -Wl,--emit-relocs");

	assert_true(has(&without, "end_of_table"));
	outcome_free(&without);
	assert_only_version(&with);
}

static void test_ends_at_fixed_address(void **state)
{
	struct outcome without = compare(ends, FIXED);
	struct outcome with = compare(ends, FIXED " -Wl,--emit-relocs");

	assert_true(has(&without, "end_of_table"));
	outcome_free(&without);
	assert_only_version(&with);
}

/* An array that is bound to the running image by its start, although only its end is in the code. */
static void test_end_of_a_variable(void **state)
{
	static const char source[] =
		"long many[32] = { 1, 2 };\n"
		"long behind[32] = { 3, 4 };\n"
		"__attribute__((noipa)) long *last(void) { return many + 32 - V + 1; }\n"
		"__attribute__((noipa)) long *first(void) { return many; }\n"
		"__attribute__((noipa)) long *after(void) { return behind; }\n"
		"int main(int argc, char **argv) { return (int)(*first() + *(last() - 1) + *after()); }\n";
	struct build_pair pair = build_pair(source, "-O2 -fPIE -pie -fno-toplevel-reorder -Wl,--emit-relocs", 0);
	struct diff_options options = { .name = "fix" };
	struct error error = { 0 };
	struct patch patch;

	assert_int_equal(diff_images(pair.file[1], pair.file[0], &options, &patch, &error), STATUS_OK);
	assert_int_equal(patch.functions.count, 1);
	assert_int_equal(patch.bindings.count, 1);
	assert_int_equal(patch.bindings.item[0].anchor, ANCHOR_OLD);
	assert_int_equal(patch.bindings.item[0].addend, 32 * 8 - 4);
	patch_free(&patch);
	build_pair_free(&pair);
}

static Elf64_Rela *find_link_relocations(uint8_t *bytes)
{
	const Elf64_Ehdr *header = (const void *)bytes;
	const Elf64_Shdr *section = (const void *)(bytes + header->e_shoff);

	for (int i = 0; i < header->e_shnum; i++)
		if (section[i].sh_type == SHT_RELA && !(section[i].sh_flags & SHF_ALLOC))
			return (void *)(bytes + section[i].sh_offset);
	return NULL;
}

static enum status read_damaged(const char *path, uint64_t offset, uint64_t info, struct image *image)
{
	size_t size;
	uint8_t *bytes = file_read(path, &size);
	Elf64_Rela *first = find_link_relocations(bytes);
	struct error error = { 0 };
	enum status status;

	assert_non_null(first);
	first->r_offset = offset;
	first->r_info = info;
	status = image_read_bytes("damaged", bytes, size, image, &error);
	if (status)
		assert_non_null(strstr(error.text, "damaged: a relocation names a symbol that does not exist"));
	error_clear(&error);
	return status;
}

static void test_damage(void **state)
{
	struct build_pair pair = build_pair(numbers, FIXED " -Wl,--emit-relocs", 0);
	struct image image;

	assert_int_equal(read_damaged(pair.file[0], 0x401000, ELF64_R_INFO(0xffffffffu, R_X86_64_64), &image), STATUS_ERROR);
	image_close(&image);
	/* Outside of its section: it says nothing. */
	assert_int_equal(read_damaged(pair.file[0], UINT64_MAX, ELF64_R_INFO(1, R_X86_64_64), &image), STATUS_OK);
	assert_null(image_link_relocation(&image, UINT64_MAX));
	assert_true(image.link_relocations.count);
	image_close(&image);
	build_pair_free(&pair);
}

/* One that contradicts the code does not count, and neither does its field as a number. */
static void test_contradiction(void **state)
{
	struct build_pair pair = build_pair(numbers, FIXED " -Wl,--emit-relocs", 0);
	struct image image;
	struct error error = { 0 };
	size_t exact = 0, kept = 0;

	assert_int_equal(image_open(pair.file[0], &image, &error), STATUS_OK);
	for (int wrong = 0; wrong < 2; wrong++) {
		struct program program;
		size_t found = 0;

		for (size_t i = 0; wrong && i < image.link_relocations.count; i++)
			image.link_relocations.item[i].value += 8;
		assert_int_equal(program_load(&image, &program, &error), STATUS_OK);
		for (size_t i = 0; i < program.refs.count; i++) {
			found += program.refs.item[i].kind == REF_ABSOLUTE;
			exact += wrong == 0 && program.refs.item[i].exact;
			assert_false(wrong && program.refs.item[i].exact);
		}
		if (wrong)
			assert_int_equal(found, kept);
		kept = found;
		program_free(&program);
	}
	assert_true(exact);
	image_close(&image);
	build_pair_free(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers_without),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_ends_at_fixed_address),
		cmocka_unit_test(test_end_of_a_variable),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_contradiction),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
