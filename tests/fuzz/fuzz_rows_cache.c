/*
 * Files of the rows cache from hostile bytes. The input begins behind the header's two digests, which are put right here (both
 * would stop the fuzzer, and neither keeps out who can write the file): 8 bytes of counts, then switches and rows. What is
 * accepted must be sound, and be encoded to the same bytes again.
 */
#include <stdio.h>
#include <stdlib.h>

#include "unwind/rows_file.h"
#include "expect.h"

#define TEXT UINT64_C(0x1000)
#define TEXT_SIZE UINT64_C(0x2000)
#define HEADER 120

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A header such as the encoder writes, with the input's counts. */
static uint8_t *complete(const uint8_t *data, size_t size, const struct rows_digest *of)
{
	struct row end = { .kind = ROW_NONE };
	struct rows rows = { .text = { TEXT, TEXT + TEXT_SIZE }, .item = &end, .count = 1, .fdes = 1000 };
	const struct code_rows code = { .rows = &rows };
	size_t encoded;
	uint8_t *header = rows_file_encode(&code, of, &encoded), *bytes = memory_zeroed(HEADER + size, 1);

	expect(header && encoded == ROWS_FILE_MIN, "the header is not what it was");
	memcpy(bytes, header, HEADER);
	free(header);
	memcpy(bytes + 12, data, 4);	/* rows */
	memcpy(bytes + 48, data + 4, 4);	/* switches */
	memcpy(bytes + HEADER, data + 8, size - 8);
	return bytes;
}

static void inspect(const struct code_rows *code)
{
	const struct rows *rows = code->rows;

	for (uint64_t at = TEXT; at < TEXT + TEXT_SIZE; at++) {
		const struct row *row = rows_find(rows, at);

		expect(row && TEXT + row->start <= at && at < row_end(rows, row), "an address has no row");
		expect(row->kind <= ROW_UNRELIABLE && row->reason < REASON_COUNT && row->base < 16, "a row is of no kind");
		expect(row->kind == ROW_NONE || row->verdict != ROW_UNCHECKED, "a row has no verdict");
		expect(row->verdict != ROW_EXACT || (row->kind != ROW_NONE && row->kind != ROW_UNRELIABLE), "a row without a claim is exact");
	}
	for (size_t i = 0; i < code->switches.count; i++)
		expect(range_holds(rows->text, code->switches.item[i]), "a switch is outside of the text");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct range text = { TEXT, TEXT + TEXT_SIZE };
	const struct rows_digest of = { { 1, 2, 3 } };
	struct code_rows *code = rows_file_decode(data, size, &of, text);
	uint8_t *bytes, *again;
	size_t length;

	expect(!code, "a digest was guessed");
	if (size < 8 + ROWS_FILE_MIN - HEADER)
		return 0;
	bytes = complete(data, size, &of);
	length = HEADER + size - 8;
	rows_file_seal(bytes, length);
	code = rows_file_decode(bytes, length, &of, text);
	if (code) {
		inspect(code);
		again = rows_file_encode(code, &of, &size);
		expect(again && size == length && !memcmp(again, bytes, size), "it is encoded to other bytes");
		free(again);
	}
	code_rows_free(code);
	free(bytes);
	return 0;
}
