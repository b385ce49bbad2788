/* Rows come back from their file as they were, or not at all. */
#include "rows_example.h"

/* Offsets of docs/format.md, "The rows cache". */
enum {
	FILE_VERSION = 8, FILE_ROWS = 12, FILE_MAKER = 16, FILE_TEXT = 24, FILE_FDES = 40, FILE_SWITCHES = 48, FILE_ZERO = 52, FILE_OF = 56,
	FILE_CHECKSUM = 88, FILE_BODY = 120,
	ROW_SIZE = 20, ROW_OFFSET = 4, ROW_KIND = 8, ROW_BASE = 9, ROW_FLAGS = 10, ROW_VERDICT = 11, ROW_REASON = 12, ROW_RETURN_AT = 13,
	ROW_SAVED_AT = 14,
};

#define SWITCHES 3

struct example {
	struct validated *built;
	struct code_rows code;
	struct rows_digest of;
	uint8_t *bytes;
	size_t size;
};

static int example_set_up(void **state)
{
	struct example *example = memory_zeroed(1, sizeof(*example));
	const struct image *image;

	example->built = example_build(1);
	image = &example->built->image;
	example->of = rows_file_digest(image->file, image->file_size);
	example->code.rows = example->built->rows;
	for (uint64_t i = 0; i < SWITCHES; i++)
		*array_add(&example->code.switches) = image->span.start + 16 * i;
	example->bytes = rows_file_encode(&example->code, &example->of, &example->size);
	assert_non_null(example->bytes);
	*state = example;
	return 0;
}

static int example_tear_down(void **state)
{
	struct example *example = *state;

	free(example->bytes);
	array_free(&example->code.switches);
	validated_free(example->built);
	free(example);
	return 0;
}

static struct code_rows *decode(const struct example *example, const uint8_t *bytes, size_t size)
{
	return rows_file_decode(bytes, size, &example->of, example->built->image.span);
}

/* Row `kind` of the example, in the file's bytes. */
static uint8_t *row_of_kind(const struct example *example, uint8_t *bytes, uint8_t kind)
{
	uint8_t *row = bytes + FILE_BODY + SWITCHES * 8;

	while (row < bytes + example->size && row[ROW_KIND] != kind)
		row += ROW_SIZE;
	assert_true(row < bytes + example->size);
	return row;
}

static void come_back_as_they_were(void **state)
{
	const struct example *example = *state;
	struct code_rows *again = decode(example, example->bytes, example->size);

	assert_non_null(again);
	assert_true(again->rows->count > 5);
	assert_true(same_rows(again->rows, example->code.rows));
	assert_int_equal(again->switches.count, SWITCHES);
	assert_memory_equal(again->switches.item, example->code.switches.item, SWITCHES * sizeof(uint64_t));
	code_rows_free(again);
}

static void any_changed_byte_is_noticed(void **state)
{
	const struct example *example = *state;

	for (size_t i = 0; i < example->size; i++) {
		for (unsigned int bit = 0; bit < 8; bit++) {
			example->bytes[i] ^= (uint8_t)(1u << bit);
			if (decode(example, example->bytes, example->size))
				give_up("byte %zu, bit %u", i, bit);
			example->bytes[i] ^= (uint8_t)(1u << bit);
		}
	}
}

static void any_other_size_is_noticed(void **state)
{
	const struct example *example = *state;
	uint8_t *larger = memory_zeroed(example->size + ROW_SIZE, 1);

	memcpy(larger, example->bytes, example->size);
	for (size_t size = 0; size <= example->size + ROW_SIZE; size++) {
		uint8_t *exactly = memory_copy(larger, size);	/* so that the sanitizer sees what is read behind it */

		if (size != example->size)
			assert_null(decode(example, exactly, size));
		if (size >= ROWS_FILE_MIN && size != example->size) {
			rows_file_seal(exactly, size);
			assert_null(decode(example, exactly, size));
		}
		free(exactly);
	}
	free(larger);
}

static void belong_to_one_image(void **state)
{
	const struct example *example = *state;
	struct rows_digest other = example->of;
	struct range text = example->built->image.span;

	other.bytes[ROWS_FILE_DIGEST - 1] ^= 1;
	assert_null(rows_file_decode(example->bytes, example->size, &other, text));
	text.end += 4096;
	assert_null(rows_file_decode(example->bytes, example->size, &example->of, text));
}

/* One change, with the checksum put right: only the rules for the content can object. */
struct change {
	const char *what;
	uint8_t kind;		/* of the row; NO_ROW: `at` is counted from the file's start */
	size_t at;
	uint8_t value;
};

#define NO_ROW 255

static const struct change changes[] = {
	{ "another magic", NO_ROW, 0, 'S' },
	{ "another version", NO_ROW, FILE_VERSION, 2 },
	{ "fewer rows", NO_ROW, FILE_ROWS, 1 },
	{ "no rows", NO_ROW, FILE_ROWS, 0 },
	{ "text that begins elsewhere", NO_ROW, FILE_TEXT, 1 },
	{ "text that ends elsewhere", NO_ROW, FILE_TEXT + 8, 1 },
	{ "fewer FDEs than have a first row", NO_ROW, FILE_FDES, 1 },
	{ "fewer switches", NO_ROW, FILE_SWITCHES, SWITCHES - 1 },
	{ "a byte that must be zero", NO_ROW, FILE_ZERO, 1 },
	{ "another image", NO_ROW, FILE_OF, 1 },
	{ "a switch outside of the text", NO_ROW, FILE_BODY + 7, 1 },
	{ "a switch that is there twice", NO_ROW, FILE_BODY + 8, 0 },
	{ "switches in disorder", NO_ROW, FILE_BODY, 17 },
	{ "a first row behind the start", NO_ROW, FILE_BODY + 8 * SWITCHES, 1 },
	{ "a row that begins with the one before it", ROW_REGISTER, 3, 0 },
	{ "a row out of order", ROW_REGISTER, 3, 1 },
	{ "a kind that is none", ROW_REGISTER, ROW_KIND, ROW_UNRELIABLE + 1 },
	{ "a claim without unwind data", ROW_REGISTER, ROW_KIND, ROW_NONE },
	{ "no claim, but exact", ROW_REGISTER, ROW_KIND, ROW_UNRELIABLE },
	{ "a signal frame with saved registers", ROW_REGISTER, ROW_KIND, ROW_SIGNAL },
	{ "a thread's entry with a frame", ROW_REGISTER, ROW_KIND, ROW_END },
	{ "a base that is no register", ROW_REGISTER, ROW_BASE, 16 },
	{ "a stub's row of another register", ROW_STUB, ROW_BASE, 6 },
	{ "a stub without a threshold", ROW_STUB, ROW_OFFSET, 0 },
	{ "a stub that never pushes", ROW_STUB, ROW_OFFSET, 16 },
	{ "a flag that is none", ROW_REGISTER, ROW_FLAGS, 8 },
	{ "a return address in no register", ROW_REGISTER, ROW_FLAGS, ROW_RETURN_IN_REGISTER },
	{ "a return address that is nowhere", ROW_REGISTER, ROW_RETURN_AT, (uint8_t)ROW_LOST },
	{ "a verdict that is none", ROW_REGISTER, ROW_VERDICT, ROW_CONTRADICTED + 1 },
	{ "a row that was not validated", ROW_REGISTER, ROW_VERDICT, ROW_UNCHECKED },
	{ "unverifiable without a reason", ROW_REGISTER, ROW_VERDICT, ROW_UNVERIFIABLE },
	{ "exact, with a reason", ROW_REGISTER, ROW_REASON, REASON_FRAME },
	{ "a verdict where there is no claim", ROW_NONE, ROW_VERDICT, ROW_EXACT },
	{ "an offset where there is no claim", ROW_NONE, ROW_OFFSET, 8 },
	{ "a register where there is no claim", ROW_NONE, ROW_BASE, 7 },
	{ "an FDE where there is none", ROW_NONE, ROW_FLAGS, ROW_STARTS_FDE },
	{ "a return address where there is no claim", ROW_NONE, ROW_RETURN_AT, 0xff },
	{ "a saved register where there is no claim", ROW_NONE, ROW_SAVED_AT, 1 },
};

static void every_rule_is_enforced(void **state)
{
	const struct example *example = *state;

	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		const struct change *change = &changes[i];
		uint8_t *bytes = memory_copy(example->bytes, example->size);
		uint8_t *at = (change->kind == NO_ROW ? bytes : row_of_kind(example, bytes, change->kind)) + change->at;
		bool row_before = change->kind == ROW_REGISTER && change->at == 3;

		if (row_before && change->value == 0)
			memcpy(at - 3, at - 3 - ROW_SIZE, 4);	/* its start is that of the row before */
		else if (!row_before && *at == change->value)
			give_up("%s: no change", change->what);
		else
			*at = change->value;
		rows_file_seal(bytes, example->size);
		if (decode(example, bytes, example->size))
			give_up("%s", change->what);
		free(bytes);
	}
}

static void another_stents_rows_are_stale(void **state)
{
	const struct example *example = *state;
	struct code_rows *own;

	assert_int_not_equal(load64(example->bytes + FILE_MAKER), 0);
	example->bytes[FILE_MAKER + 7] ^= 1;
	rows_file_seal(example->bytes, example->size);
	assert_null(decode(example, example->bytes, example->size));
	example->bytes[FILE_MAKER + 7] ^= 1;
	rows_file_seal(example->bytes, example->size);
	own = decode(example, example->bytes, example->size);
	assert_non_null(own);
	code_rows_free(own);
}

static void a_last_row_that_claims_is_refused(void **state)
{
	const struct example *example = *state;
	uint8_t *bytes = memory_copy(example->bytes, example->size);
	uint8_t *last = bytes + example->size - ROW_SIZE, *claim = row_of_kind(example, bytes, ROW_REGISTER);

	memcpy(last + 4, claim + 4, ROW_SIZE - 4);
	last[ROW_FLAGS] = 0;
	rows_file_seal(bytes, example->size);
	assert_null(decode(example, bytes, example->size));

	memcpy(bytes, example->bytes, example->size);
	store32(last, load32(last) - 1);
	rows_file_seal(bytes, example->size);
	assert_null(decode(example, bytes, example->size));
	free(bytes);
}

static void a_file_without_rows_is_refused(void **state)
{
	const struct example *example = *state;
	const size_t size = FILE_BODY + SWITCHES * 8;

	store32(example->bytes + FILE_ROWS, 0);
	store64(example->bytes + FILE_FDES, 0);
	rows_file_seal(example->bytes, size);
	assert_null(decode(example, example->bytes, size));
}

/* Rows that say nothing of a frame: one with nothing else in it is taken, one with a place of a saved register is not. */
static void rows_without_a_frame_have_no_places(void **state)
{
	static const struct { uint8_t kind, base, verdict, reason; int32_t offset; } bare[] = {
		{ ROW_END, 0, ROW_EXACT, REASON_NONE, 0 }, { ROW_SIGNAL, 7, ROW_EXACT, REASON_NONE, 40 },
		{ ROW_UNRELIABLE, 0, ROW_UNVERIFIABLE, REASON_PROGRAM, 0 },
	};
	const struct example *example = *state;
	uint8_t *row = row_of_kind(example, example->bytes, ROW_REGISTER);

	for (size_t i = 0; i < sizeof(bare) / sizeof(*bare); i++) {
		struct code_rows *code;

		memset(row + ROW_OFFSET, 0, ROW_SIZE - ROW_OFFSET);
		store32(row + ROW_OFFSET, (uint32_t)bare[i].offset);
		row[ROW_KIND] = bare[i].kind;
		row[ROW_BASE] = bare[i].base;
		row[ROW_FLAGS] = ROW_STARTS_FDE;
		row[ROW_VERDICT] = bare[i].verdict;
		row[ROW_REASON] = bare[i].reason;
		rows_file_seal(example->bytes, example->size);
		code = decode(example, example->bytes, example->size);
		assert_non_null(code);
		code_rows_free(code);
		for (size_t at = ROW_OFFSET; at < ROW_SIZE; at++) {
			/* A signal frame's offset may be any, and a reason may be another. */
			if (at == ROW_FLAGS || at == ROW_REASON || (bare[i].kind == ROW_SIGNAL && at < ROW_KIND))
				continue;
			row[at] ^= 0x40;
			rows_file_seal(example->bytes, example->size);
			if (decode(example, example->bytes, example->size))
				give_up("kind %d, byte %zu", bare[i].kind, at);
			row[at] ^= 0x40;
		}
	}
}

/* What each kind's verdict may be. */
static void verdicts_fit_the_kind(void **state)
{
	static const struct { uint8_t kind, verdict, reason; bool sound; } rows[] = {
		{ ROW_END, ROW_EXACT, REASON_NONE, true }, { ROW_END, ROW_CONTRADICTED, REASON_NONE, true },
		{ ROW_END, ROW_UNVERIFIABLE, REASON_ENTRY, true }, { ROW_END, ROW_UNVERIFIABLE, REASON_STACK_RULE, false },
		{ ROW_END, ROW_UNVERIFIABLE, REASON_COUNT - 1, true }, { ROW_END, ROW_UNVERIFIABLE, REASON_COUNT, false },
		{ ROW_END, ROW_UNVERIFIABLE, REASON_NONE, false }, { ROW_END, ROW_CONTRADICTED, REASON_ENTRY, false },
		{ ROW_UNRELIABLE, ROW_UNVERIFIABLE, REASON_STACK_RULE, true }, { ROW_UNRELIABLE, ROW_UNVERIFIABLE, REASON_NOT_REACHED, false },
		{ ROW_UNRELIABLE, ROW_UNVERIFIABLE, REASON_NONE, false }, { ROW_UNRELIABLE, ROW_EXACT, REASON_NONE, false },
		{ ROW_UNRELIABLE, ROW_UNCHECKED, REASON_NONE, false }, { ROW_UNRELIABLE, ROW_CONTRADICTED, REASON_NONE, false },
	};
	const struct example *example = *state;
	uint8_t *row = row_of_kind(example, example->bytes, ROW_REGISTER);

	memset(row + ROW_OFFSET, 0, ROW_SIZE - ROW_OFFSET);
	row[ROW_FLAGS] = ROW_STARTS_FDE;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct code_rows *code;

		row[ROW_KIND] = rows[i].kind;
		row[ROW_VERDICT] = rows[i].verdict;
		row[ROW_REASON] = rows[i].reason;
		rows_file_seal(example->bytes, example->size);
		code = decode(example, example->bytes, example->size);
		if ((code != NULL) != rows[i].sound)
			give_up("kind %d, verdict %d, reason %d", rows[i].kind, rows[i].verdict, rows[i].reason);
		code_rows_free(code);
	}
}

/* The offset of a signal frame: from the stack pointer up to where row_compile() gives up. */
static void a_signal_frame_is_near(void **state)
{
	static const struct { int32_t offset; bool sound; } offsets[] = {
		{ -120, true }, { -121, false }, { INT16_MAX, true }, { INT16_MAX + 1, false },
	};
	const struct example *example = *state;
	uint8_t *row = row_of_kind(example, example->bytes, ROW_REGISTER);

	memset(row + ROW_OFFSET, 0, ROW_SIZE - ROW_OFFSET);
	row[ROW_KIND] = ROW_SIGNAL;
	row[ROW_BASE] = 7;
	row[ROW_VERDICT] = ROW_EXACT;
	for (size_t i = 0; i < sizeof(offsets) / sizeof(*offsets); i++) {
		struct code_rows *code;

		store32(row + ROW_OFFSET, (uint32_t)offsets[i].offset);
		rows_file_seal(example->bytes, example->size);
		code = decode(example, example->bytes, example->size);
		assert_int_equal(code != NULL, offsets[i].sound);
		code_rows_free(code);
	}
}

static void damaged_rows_are_not_kept(void **state)
{
	const struct example *example = *state;
	struct rows damaged = *example->code.rows;
	struct code_rows code = { .rows = &damaged };
	size_t size;

	damaged.damage = "the section is cut off";
	assert_null(rows_file_encode(&code, &example->of, &size));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, example_set_up, example_tear_down)
		TEST(come_back_as_they_were),
		TEST(any_changed_byte_is_noticed),
		TEST(any_other_size_is_noticed),
		TEST(belong_to_one_image),
		TEST(every_rule_is_enforced),
		TEST(another_stents_rows_are_stale),
		TEST(a_last_row_that_claims_is_refused),
		TEST(a_file_without_rows_is_refused),
		TEST(rows_without_a_frame_have_no_places),
		TEST(verdicts_fit_the_kind),
		TEST(a_signal_frame_is_near),
		TEST(damaged_rows_are_not_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
