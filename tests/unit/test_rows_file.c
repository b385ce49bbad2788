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

	for (; row < bytes + example->size; row += ROW_SIZE)
		if (row[ROW_KIND] == kind)
			return row;
	give_up("the example has no row of kind %d", kind);
	return NULL;
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
		TEST(damaged_rows_are_not_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
