/* Rows say what the call frame information says, for every address; and nothing where there is none. */
#include <link.h>

#include "unwind/row_compile.h"
#include "../cfi_oracle.h"
#include "validated.h"

/* The row that the FDE's own machine gives for the address. */
static struct row expected_row(const struct unwind_table *table, uint64_t address)
{
	struct row row = { .kind = ROW_NONE };
	struct cfi_row found;
	struct eh_fde fde;
	const char *why = unwind_table_find(table, address, &fde);

	if (why) {
		if (!strcmp(why, "more than one unwind rule claims this code"))
			row = (struct row){ .kind = ROW_UNRELIABLE, .reason = REASON_DISPUTED };
		return row;
	}
	if (cfi_find_row(&fde, address, &found))
		return (struct row){ .kind = ROW_UNRELIABLE, .reason = REASON_PROGRAM };
	return row_compile(&found, fde.cie.signal_frame);
}

/* Every address of every library that this test has loaded; the vdso has no file. */
static int compare_library(struct dl_phdr_info *info, size_t size, void *context)
{
	const char *path = *info->dlpi_name ? info->dlpi_name : "/proc/self/exe";
	size_t *compared = context, wrong = 0;
	struct error error = { 0 };
	struct unwind_table *table;
	struct image image;
	struct rows *rows;

	(void)size;
	if (image_open(path, &image, &error)) {
		error_clear(&error);
		image_close(&image);
		return 0;
	}
	rows = rows_build(&image.eh_frame, image.span);
	table = unwind_table_build(&image.eh_frame);
	for (size_t i = 0; i < image.sections.count; i++) {
		const struct section *section = &image.sections.item[i];

		/* The sanitizers' libraries and the like are large: three addresses of four are enough. */
		for (uint64_t at = section->span.start; section->execute && at < section->span.end; at += at % 4 == 2 ? 2 : 1) {
			struct row expected = expected_row(table, at);
			const struct row *row = rows_find(rows, at);

			if (row && row_same(row, &expected) && at >= rows->text.start + row->start && at < row_end(rows, row))
				continue;
			if (wrong++ < 5)
				print_error("%s: 0x%lx: kind %d, not %d\n", path, (unsigned long)at, row ? row->kind : -1, expected.kind);
		}
		*compared += section->execute ? section->span.end - section->span.start : 0;
	}
	assert_int_equal(wrong, 0);
	unwind_table_free(table);
	rows_free(rows);
	image_close(&image);
	return 0;
}

static void equal_the_machine_at_every_address(void **state)
{
	size_t compared = 0;

	(void)state;
	dl_iterate_phdr(compare_library, &compared);
	assert_true(compared > 1000000);	/* the C library at the least */
}

static void are_sorted_and_end_with_the_text(void **state)
{
	struct validated *built = validated_build("int f(int a) { return a; } int g(int a) { return f(a) + a; }", "c", "-O2 -fPIC");
	const struct rows *rows = built->rows;

	(void)state;
	assert_int_equal(rows->item[0].start, 0);
	for (uint32_t i = 1; i < rows->count; i++)
		assert_true(rows->item[i].start > rows->item[i - 1].start);
	assert_int_equal(rows->item[rows->count - 1].kind, ROW_NONE);
	assert_int_equal(rows->item[rows->count - 1].start, rows->text.end - rows->text.start);
	assert_null(rows_find(rows, rows->text.end));
	assert_null(rows_find(rows, rows->text.start - 1));
	assert_int_equal(rows_find(rows, rows->text.start)->kind, ROW_NONE);
	validated_free(built);
}

static void know_the_forms_of_real_binaries(void **state)
{
	struct validated *built = validated_build(
		".text\n.globl start\nstart:\n .cfi_startproc\n .cfi_undefined rip\n nop\n ret\n .cfi_endproc\n"
		".globl in_register\nin_register:\n .cfi_startproc\n pop %rdi\n .cfi_def_cfa_offset 0\n .cfi_register rip,rdi\n jmp *%rdi\n"
		".cfi_endproc\n"
		".globl drap\ndrap:\n .cfi_startproc\n .cfi_escape 0x10,0x06,0x02,0x76,0x00\n .cfi_escape 0x10,0x0f,0x02,0x76,0x70\n"
		".cfi_escape 0x0f,0x03,0x76,0x78,0x06\n ret\n .cfi_endproc\n"
		".globl mixed\nmixed:\n .cfi_startproc\n .cfi_escape 0x10,0x06,0x02,0x76,0x00\n .cfi_offset rbx,-16\n ret\n .cfi_endproc\n"
		".globl stub\nstub:\n .cfi_startproc\n"
		".cfi_escape 0x0f,0x0b,0x77,0x08,0x80,0x00,0x3f,0x1a,0x3b,0x2a,0x33,0x24,0x22\n jmp *%rax\n .cfi_endproc\n"
		".globl caller\ncaller:\n .cfi_startproc\n call start@plt\n ret\n .cfi_endproc\n",
		"s", "-Wl,-z,lazy");
	const struct row *row = rows_find(built->rows, validated_symbol(built, "start"));

	(void)state;
	assert_int_equal(row->kind, ROW_END);
	row = rows_find(built->rows, validated_symbol(built, "in_register") + 1);
	assert_int_equal(row->kind, ROW_REGISTER);
	assert_int_equal(row->offset, 0);
	assert_true(row->flags & ROW_RETURN_IN_REGISTER);
	assert_int_equal(row->return_at, 5);
	row = rows_find(built->rows, validated_symbol(built, "drap"));
	assert_int_equal(row->kind, ROW_INDIRECT);
	assert_int_equal(row->base, 6);
	assert_int_equal(row->offset, -8);
	assert_true(row->flags & ROW_SAVED_AT_FRAME);
	assert_int_equal(row->saved[0], ROW_SAME);	/* rbx */
	assert_int_equal(row->saved[1], 0);		/* rbp at rbp + 0 */
	assert_int_equal(row->saved[5], -2);		/* r15 at rbp - 16 */
	row = rows_find(built->rows, validated_symbol(built, "mixed"));
	assert_int_equal(row->kind, ROW_UNRELIABLE);
	assert_int_equal(row->reason, REASON_SAVED_RULE);
	row = rows_find(built->rows, validated_symbol(built, "stub"));
	assert_int_equal(row->kind, ROW_STUB);
	assert_int_equal(row->base, 7);
	assert_int_equal(row->offset, 11);

	/* The linker's own stubs are exact. */
	for (size_t i = 0; i < built->image.sections.count; i++) {
		const struct section *section = &built->image.sections.item[i];

		if (strcmp(section->name, ".plt") != 0)
			continue;
		for (uint64_t at = section->span.start; at < section->span.end; at++)
			assert_int_equal(rows_find(built->rows, at)->verdict, ROW_EXACT);
	}
	validated_free(built);
}

/* A section of one CIE (rsp + 8, return address at CFA - 8) and one FDE per range, absolute addresses. */
struct section_builder {
	uint8_t data[512];
	size_t size;
};

static void append(struct section_builder *builder, const void *bytes, size_t size)
{
	memcpy(builder->data + builder->size, bytes, size);
	builder->size += size;
}

static void append_fde(struct section_builder *builder, uint64_t start, uint64_t size, const char *program, size_t program_size)
{
	uint32_t length = (uint32_t)(4 + 16 + 1 + program_size), pointer = (uint32_t)builder->size + 4;
	uint8_t augmentation = 0;

	append(builder, &length, 4);
	append(builder, &pointer, 4);
	append(builder, &start, 8);
	append(builder, &size, 8);
	append(builder, &augmentation, 1);
	append(builder, program, program_size);
}

static void start_section(struct section_builder *builder)
{
	/* Version 1, "zR", alignment 1 and -8, return address 16, one byte of augmentation: absolute addresses.
	 * DW_CFA_def_cfa rsp 8; DW_CFA_offset 16 1. */
	static const uint8_t cie[] = { 18, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0, 0x0c, 7, 8, 0x90, 1 };

	memset(builder, 0, sizeof(*builder));
	append(builder, cie, sizeof(cie));
}

static struct rows *build(const struct section_builder *builder, struct range text)
{
	struct eh_frame section = { builder->data, builder->size, 0x10000 };

	return rows_build(&section, text);
}

static void gaps_inherit_nothing(void **state)
{
	struct section_builder builder;
	struct rows *rows;

	(void)state;
	start_section(&builder);
	append_fde(&builder, 0x2000, 0x10, "\x41\x0e\x10", 3);	/* out of order */
	append_fde(&builder, 0x1000, 0x20, "\x41\x0e\x10", 3);
	append_fde(&builder, 0x1020, 0x10, "", 0);
	append_fde(&builder, 0x5000, 0x10, "", 0);		/* beyond the text */
	append_fde(&builder, 0x1500, 0, "", 0);			/* empty */
	rows = build(&builder, (struct range){ 0x800, 0x3000 });
	assert_null(rows->damage);
	assert_int_equal(rows->fdes, 3);
	assert_int_equal(rows_find(rows, 0xfff)->kind, ROW_NONE);
	assert_int_equal(rows_find(rows, 0x1000)->offset, 8);
	assert_int_equal(rows_find(rows, 0x1001)->offset, 16);
	assert_int_equal(rows_find(rows, 0x101f)->offset, 16);
	assert_int_equal(rows_find(rows, 0x1020)->offset, 8);
	assert_true(rows_find(rows, 0x1020)->flags & ROW_STARTS_FDE);
	assert_int_equal(rows_find(rows, 0x1030)->kind, ROW_NONE);
	assert_int_equal(rows_find(rows, 0x1fff)->kind, ROW_NONE);
	assert_int_equal(rows_find(rows, 0x200f)->offset, 16);
	assert_int_equal(rows_find(rows, 0x2010)->kind, ROW_NONE);
	rows_free(rows);
}

static void disputed_code_has_no_row(void **state)
{
	struct section_builder builder;
	struct rows *rows;

	(void)state;
	start_section(&builder);
	append_fde(&builder, 0x1000, 0x100, "", 0);
	append_fde(&builder, 0x1010, 0x10, "", 0);
	append_fde(&builder, 0x10f0, 0x40, "", 0);
	append_fde(&builder, 0x1130, 0x10, "", 0);
	rows = build(&builder, (struct range){ 0x1000, 0x2000 });
	for (uint64_t at = 0x1000; at < 0x1130; at++) {
		assert_int_equal(rows_find(rows, at)->kind, ROW_UNRELIABLE);
		assert_int_equal(rows_find(rows, at)->reason, REASON_DISPUTED);
	}
	assert_int_equal(rows_find(rows, 0x1130)->kind, ROW_REGISTER);
	rows_free(rows);
}

static void bad_programs_spoil_their_rest(void **state)
{
	struct section_builder builder;
	struct rows *rows;

	(void)state;
	start_section(&builder);
	append_fde(&builder, 0x1000, 0x100, "\x48\x0e\x10\x48\x3f", 5);	/* an unknown instruction at 0x1010 */
	append_fde(&builder, 0x1100, 0x10, "\x41\x0b", 2);		/* restores a state that was not remembered */
	rows = build(&builder, (struct range){ 0x1000, 0x2000 });
	assert_int_equal(rows_find(rows, 0x100f)->offset, 16);
	assert_int_equal(rows_find(rows, 0x1010)->kind, ROW_UNRELIABLE);
	assert_int_equal(rows_find(rows, 0x10ff)->reason, REASON_PROGRAM);
	assert_int_equal(rows_find(rows, 0x1100)->kind, ROW_REGISTER);
	assert_int_equal(rows_find(rows, 0x1101)->kind, ROW_UNRELIABLE);
	rows_free(rows);
}

static void damage_leaves_nothing(void **state)
{
	struct section_builder builder;
	struct rows *rows;

	(void)state;
	start_section(&builder);
	append_fde(&builder, 0x1000, 0x100, "", 0);
	append(&builder, "\xff\0\0\0\x01", 5);
	rows = build(&builder, (struct range){ 0x1000, 0x2000 });
	assert_non_null(rows->damage);
	assert_int_equal(rows_find(rows, 0x1000)->kind, ROW_NONE);
	assert_int_equal(rows_find(rows, 0x1fff)->kind, ROW_NONE);
	rows_free(rows);

	/* A text of 4 GiB does not fit, an empty one is no problem. */
	start_section(&builder);
	rows = build(&builder, (struct range){ 0, UINT64_C(1) << 32 });
	assert_non_null(rows->damage);
	rows_free(rows);
	rows = build(&builder, (struct range){ 0x1000, 0x1000 });
	assert_null(rows->damage);
	assert_null(rows_find(rows, 0x1000));
	rows_free(rows);
	rows_free(NULL);
}

static void rows_are_small(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct row), 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_the_machine_at_every_address),
		cmocka_unit_test(are_sorted_and_end_with_the_text),
		cmocka_unit_test(know_the_forms_of_real_binaries),
		cmocka_unit_test(gaps_inherit_nothing),
		cmocka_unit_test(disputed_code_has_no_row),
		cmocka_unit_test(bad_programs_spoil_their_rest),
		cmocka_unit_test(damage_leaves_nothing),
		cmocka_unit_test(rows_are_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
