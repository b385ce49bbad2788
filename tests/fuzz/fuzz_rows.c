/*
 * Rows from hostile bytes: the input is an .eh_frame section at 0x100000, before a text of 64 KiB. For a sample of addresses
 * the rows must say what the CFA machine says of the one FDE that holds the address.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../cfi_oracle.h"
#include "unwind/row_compile.h"
#include "expect.h"

#define SECTION UINT64_C(0x100000)
#define TEXT UINT64_C(0x200000)
#define TEXT_SIZE UINT64_C(0x10000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_as_expected(const struct unwind_table *table, uint64_t address, const struct row *row)
{
	struct row expected = { .kind = ROW_UNRELIABLE, .reason = REASON_PROGRAM };
	struct eh_fde fde;
	struct cfi_row found;

	/* The table does not tell code that is claimed twice from a gap behind it. */
	if (unwind_table_find(table, address, &fde))
		return row->kind == ROW_NONE || (row->kind == ROW_UNRELIABLE && row->reason == REASON_DISPUTED);
	if (!cfi_find_row(&fde, address, &found))
		expected = row_compile(&found, fde.cie.signal_frame);
	return row_same(row, &expected);
}

/* The table knows all FDEs, the rows only those inside of the text: they agree where every FDE is inside. */
static bool all_inside(const struct eh_frame *section, struct range text)
{
	size_t offset = 0;
	struct eh_fde fde;
	const char *why;

	while (eh_frame_next(section, &offset, &fde, &why))
		if (fde.code.start < text.start || fde.code.end > text.end)
			return false;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct eh_frame section = { data, size, SECTION };
	const struct range text = { TEXT, TEXT + TEXT_SIZE };
	struct rows *rows = rows_build(&section, text);
	struct unwind_table *table = unwind_table_build(&section);
	bool comparable = !rows->damage && all_inside(&section, text);

	for (uint32_t i = 0; i < rows->count; i++) {
		expect(i == 0 || rows->item[i].start > rows->item[i - 1].start, "the rows are not sorted");
		expect(rows->item[i].kind <= ROW_UNRELIABLE && rows->item[i].reason < REASON_COUNT, "a row is of no kind");
	}
	expect(rows->count && rows->item[0].start == 0, "the rows do not begin with the text");
	expect(rows->item[rows->count - 1].start == TEXT_SIZE, "the rows do not end with the text");
	for (uint64_t at = TEXT; at < text.end; at += at < TEXT + 512 ? 1 : 509) {
		const struct row *row = rows_find(rows, at);

		expect(row && TEXT + row->start <= at && at < row_end(rows, row), "an address has no row");
		expect(!comparable || is_as_expected(table, at, row), "a row is not what the CFA machine says");
	}
	unwind_table_free(table);
	rows_free(rows);
	return 0;
}
