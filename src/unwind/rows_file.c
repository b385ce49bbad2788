#include "unwind/rows_file.h"

#include <sodium/crypto_generichash.h>
#include <stdlib.h>

#include "arch/frame.h"

#define FORMAT_VERSION 1

static const uint8_t magic[8] = { 's', 't', 'e', 'n', 't', 'r', 'o', 'w' };

/* At the file's start. Behind it the switches, then the rows. */
struct header {
	uint8_t magic[8];
	uint32_t version;
	uint32_t rows;
	uint64_t maker;		/* STENT_ROWS_VERSION */
	uint64_t text_start, text_end;
	uint64_t fdes;
	uint32_t switches;
	uint32_t zero;
	struct rows_digest of;		/* the image's file */
	uint8_t checksum[ROWS_FILE_DIGEST];
};

_Static_assert(sizeof(struct header) == 120 && offsetof(struct header, of) == 56, "as docs/format.md says");
_Static_assert(sizeof(struct header) % sizeof(uint64_t) == 0, "the switches are aligned");
_Static_assert(ROWS_FILE_MIN == sizeof(struct header) + sizeof(struct row), "the text's end");

/* A row has the same bytes in the file as in memory. */
_Static_assert(sizeof(struct row) == 20 && offsetof(struct row, offset) == 4 && offsetof(struct row, kind) == 8 &&
	       offsetof(struct row, base) == 9 && offsetof(struct row, flags) == 10 && offsetof(struct row, verdict) == 11 &&
	       offsetof(struct row, reason) == 12 && offsetof(struct row, return_at) == 13 && offsetof(struct row, saved) == 14,
	       "as docs/format.md says");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "as base/bytes.h says");

void code_rows_free(struct code_rows *code)
{
	if (!code)
		return;
	rows_free(code->rows);
	array_free(&code->switches);
	free(code);
}

struct rows_digest rows_file_digest(const void *bytes, size_t size)
{
	struct rows_digest digest;

	crypto_generichash(digest.bytes, sizeof(digest.bytes), bytes, size, NULL, 0);
	return digest;
}

static void find_checksum(const uint8_t *bytes, size_t size, uint8_t *checksum)
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, ROWS_FILE_DIGEST);
	crypto_generichash_update(&state, bytes, offsetof(struct header, checksum));
	crypto_generichash_update(&state, bytes + sizeof(struct header), size - sizeof(struct header));
	crypto_generichash_final(&state, checksum, ROWS_FILE_DIGEST);
}

void rows_file_seal(uint8_t *bytes, size_t size)
{
	find_checksum(bytes, size, bytes + offsetof(struct header, checksum));
}

static uint64_t file_size(uint32_t rows, uint32_t switches)
{
	return sizeof(struct header) + switches * (uint64_t)sizeof(uint64_t) + rows * (uint64_t)sizeof(struct row);
}

uint8_t *rows_file_encode(const struct code_rows *code, const struct rows_digest *of, size_t *size)
{
	const struct rows *rows = code->rows;
	struct header header = {
		.version = FORMAT_VERSION, .rows = rows->count, .maker = STENT_ROWS_VERSION, .text_start = rows->text.start,
		.text_end = rows->text.end, .fdes = rows->fdes, .switches = (uint32_t)code->switches.count, .of = *of,
	};
	uint8_t *bytes, *at;

	if (rows->damage || code->switches.count > ROWS_FILE_MAX || file_size(rows->count, header.switches) > ROWS_FILE_MAX)
		return NULL;
	memcpy(header.magic, magic, sizeof(magic));
	*size = (size_t)file_size(rows->count, header.switches);
	bytes = memory_zeroed(*size, 1);
	memcpy(bytes, &header, sizeof(header));
	at = bytes + sizeof(header);
	if (code->switches.count)
		memcpy(at, code->switches.item, code->switches.count * sizeof(uint64_t));
	at += code->switches.count * sizeof(uint64_t);
	memcpy(at, rows->item, rows->count * sizeof(struct row));
	rows_file_seal(bytes, *size);
	return bytes;
}

static bool is_header_ours(const struct header *header, size_t size, const struct rows_digest *of, struct range text)
{
	return !memcmp(header->magic, magic, sizeof(magic)) && header->version == FORMAT_VERSION &&
	       header->maker == STENT_ROWS_VERSION && !memcmp(&header->of, of, sizeof(*of)) &&
	       header->text_start == text.start && header->text_end == text.end && text.start <= text.end &&
	       text.end - text.start < UINT32_MAX && header->zero == 0 && header->rows > 0 &&
	       file_size(header->rows, header->switches) == size;
}

/* Has it no place of a return address and of saved registers? */
static bool is_frameless(const struct row *row)
{
	static const int8_t none[FRAME_SAVED];

	return !(row->flags & ~ROW_STARTS_FDE) && row->return_at == 0 && !memcmp(row->saved, none, sizeof(none));
}

/* A row without a claim has a reason of the unwind data's, one with a claim has one of the validation's. */
static bool is_verdict_sound(const struct row *row)
{
	switch (row->verdict) {
	case ROW_UNCHECKED:
		return row->kind == ROW_NONE && row->reason == REASON_NONE;
	case ROW_EXACT:
	case ROW_CONTRADICTED:
		return row->kind != ROW_NONE && row->kind != ROW_UNRELIABLE && row->reason == REASON_NONE;
	case ROW_UNVERIFIABLE:
		if (row->kind == ROW_UNRELIABLE)
			return row->reason >= REASON_DISPUTED && row->reason <= REASON_STACK_RULE;
		return row->kind != ROW_NONE && row->reason >= REASON_NOT_REACHED && row->reason < REASON_COUNT;
	default:
		return false;
	}
}

/* Where the return address and the saved registers are. Of the words that a row can name, 126 and 127 stand for none. */
static bool is_frame_sound(const struct row *row)
{
	if (row->flags & ~(ROW_STARTS_FDE | ROW_SAVED_AT_FRAME | ROW_RETURN_IN_REGISTER))
		return false;
	if (row->flags & ROW_RETURN_IN_REGISTER)
		return row->return_at >= 0 && row->return_at < REGISTER_RETURN_ADDRESS;
	return row->return_at < ROW_LOST;
}

/* As row_compile() makes it. */
static bool is_claim_sound(const struct row *row)
{
	switch (row->kind) {
	case ROW_NONE:
		return is_frameless(row) && row->base == 0 && row->offset == 0 && row->flags == 0;
	case ROW_END:
	case ROW_UNRELIABLE:
		return is_frameless(row) && row->base == 0 && row->offset == 0;
	case ROW_SIGNAL:
		return is_frameless(row) && row->base == REGISTER_STACK_POINTER &&
		       row->offset >= -frame_signal_slot[REGISTER_STACK_POINTER] && row->offset <= INT16_MAX;
	case ROW_STUB:
		return row->base == REGISTER_STACK_POINTER && row->offset > 0 && row->offset < 16 && is_frame_sound(row);
	case ROW_REGISTER:
	case ROW_INDIRECT:
		return row->base < REGISTER_RETURN_ADDRESS && is_frame_sound(row);
	default:
		return false;
	}
}

static bool are_rows_sound(const struct row *row, uint32_t count, const struct header *header)
{
	uint64_t fdes = 0;

	if (row[0].start != 0 || row[count - 1].kind != ROW_NONE || row[count - 1].start != header->text_end - header->text_start)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		if ((i && row[i].start <= row[i - 1].start) || !is_claim_sound(&row[i]) || !is_verdict_sound(&row[i]))
			return false;
		fdes += row[i].flags & ROW_STARTS_FDE ? 1 : 0;
	}
	return fdes <= header->fdes;	/* disputed ones have no first row */
}

static bool are_switches_sound(const uint64_t *address, uint32_t count, struct range text)
{
	for (uint32_t i = 0; i < count; i++)
		if (!range_holds(text, address[i]) || (i && address[i] <= address[i - 1]))
			return false;
	return true;
}

static struct code_rows *take(const struct header *header, const uint8_t *body)
{
	struct code_rows *code = memory_zeroed(1, sizeof(*code));
	size_t switches_size = header->switches * sizeof(uint64_t);

	code->rows = memory_zeroed(1, sizeof(*code->rows));
	code->rows->text = (struct range){ header->text_start, header->text_end };
	code->rows->fdes = (size_t)header->fdes;
	code->rows->count = header->rows;
	code->rows->item = memory_copy(body + switches_size, header->rows * sizeof(struct row));
	code->switches.item = memory_copy(body, switches_size);
	code->switches.count = code->switches.room = header->switches;
	return code;
}

struct code_rows *rows_file_decode(const uint8_t *bytes, size_t size, const struct rows_digest *of, struct range text)
{
	uint8_t checksum[ROWS_FILE_DIGEST];
	struct header header;
	struct code_rows *code;

	if (size < ROWS_FILE_MIN)
		return NULL;
	memcpy(&header, bytes, sizeof(header));
	if (!is_header_ours(&header, size, of, text))
		return NULL;
	find_checksum(bytes, size, checksum);
	if (memcmp(checksum, header.checksum, sizeof(checksum)) != 0)
		return NULL;
	code = take(&header, bytes + sizeof(header));
	if (!are_rows_sound(code->rows->item, code->rows->count, &header) ||
	    !are_switches_sound(code->switches.item, header.switches, text)) {
		code_rows_free(code);
		return NULL;
	}
	rows_index(code->rows);
	return code;
}
