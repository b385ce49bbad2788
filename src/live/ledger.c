/*
 * The bytes of a ledger, little-endian:
 *
 *	 0	magic, 16 bytes
 *	16	version, 4 bytes
 *	20	size of all that follows the header, 4 bytes
 *	24	checksum of that, 8 bytes (against damage, not against malice)
 *	32	state, 8 bytes
 *	40	when it was last applied, 8 bytes
 *	48	flags, 8 bytes: 1 forced, 2 detached, 4 SIGTRAP ignored, 8 being unmapped; with the two before the only parts that ever change
 *	56	nonce, 8 bytes, the first of the numbers
 *		numbers (8 bytes each), texts and byte strings (4 bytes of length, then the bytes), lists (count, then items) in the
 *		order of walk_ledger(), which both reads and writes them
 */
#include "live/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "live/digest.h"

enum { VERSION_AT = 16, SIZE_AT = 20, CHECKSUM_AT = 24, STATE_AT = 32, APPLIED_AT = 40, FLAGS_AT = 48, HEADER_SIZE = 56, VERSION = 6, PAGE = 4096 };
static const uint8_t magic[16] = LEDGER_MAGIC;

#define TEXT_MAX (1u << 16)
#define ITEMS_MAX 100000u	/* functions, or ranges of one function */

/* One pass over the fields, in either direction; after the first error nothing more is read. */
struct stream {
	bool reading;
	const uint8_t *from;	/* reading */
	ARRAY(uint8_t) to;	/* writing */
	size_t at, size;
	const char *why;
};

static void stream_bytes(struct stream *stream, void *bytes, size_t size)
{
	if (stream->reading) {
		if (stream->why || size > stream->size - stream->at) {
			stream->why = stream->why ? stream->why : "it is cut short";
			memset(bytes, 0, size);
			return;
		}
		memcpy(bytes, stream->from + stream->at, size);
		stream->at += size;
		return;
	}
	for (size_t i = 0; i < size; i++)
		*array_add(&stream->to) = ((const uint8_t *)bytes)[i];
}

static void stream_number(struct stream *stream, uint64_t *number)
{
	stream_bytes(stream, number, sizeof(*number));
}

/* A number that is kept in a smaller type. */
static uint64_t stream_small(struct stream *stream, uint64_t number, uint64_t max)
{
	stream_number(stream, &number);
	if (number <= max)
		return number;
	if (!stream->why)
		stream->why = "a number in it is out of range";
	return 0;
}

static void stream_range(struct stream *stream, struct range *range)
{
	stream_number(stream, &range->start);
	stream_number(stream, &range->end);
	if (range->start > range->end && !stream->why)
		stream->why = "a range in it ends before it starts";
}

static void stream_text(struct stream *stream, char **text)
{
	uint64_t length = stream->reading ? 0 : strlen(*text);

	length = stream_small(stream, length, TEXT_MAX);
	if (stream->reading) {
		*text = memory_zeroed(length + 1, 1);
		if (length > stream->size - stream->at)
			length = 0, stream->why = stream->why ? stream->why : "it is cut short";
	}
	stream_bytes(stream, *text, length);
	if (stream->reading)
		utf8_make_printable(*text);	/* it comes from another program's memory */
}

static void stream_id(struct stream *stream, struct build_id *id)
{
	id->size = (uint8_t)stream_small(stream, id->size, BUILD_ID_MAX);
	stream_bytes(stream, id->bytes, sizeof(id->bytes));
}

/* The count of a list; when reading, room is made for that many zeroed items, which `least` bytes each must back. */
static size_t stream_count(struct stream *stream, size_t count, size_t least)
{
	count = stream_small(stream, count, ITEMS_MAX);
	if (stream->reading && !stream->why && count > (stream->size - stream->at) / least)
		stream->why = "a list in it is cut short";
	return stream->why ? 0 : count;
}

#define stream_list(stream, array, least)                                                               \
	do {                                                                                            \
		size_t stream_items = stream_count(stream, (array)->count, least);                      \
		if ((stream)->reading) {                                                                \
			(array)->item = memory_zeroed(stream_items, sizeof(*(array)->item));            \
			(array)->count = (array)->room = stream_items;                                  \
		}                                                                                       \
	} while (0)

static void walk_function(struct stream *stream, struct ledger_function *function)
{
	stream_text(stream, &function->name);
	stream_number(stream, &function->image);
	function->redirected = stream_small(stream, function->redirected, 1);
	stream_number(stream, &function->change);
	stream_list(stream, &function->old_ranges, 16);
	for (size_t i = 0; i < function->old_ranges.count; i++)
		stream_range(stream, &function->old_ranges.item[i]);
	stream_list(stream, &function->new_ranges, 16);
	for (size_t i = 0; i < function->new_ranges.count; i++)
		stream_range(stream, &function->new_ranges.item[i]);
	stream_number(stream, &function->site);
	function->size = (uint8_t)stream_small(stream, function->size, ARCH_ENTRY_MAX);
	stream_bytes(stream, function->original, sizeof(function->original));
	stream_bytes(stream, function->jump, sizeof(function->jump));
	stream_bytes(stream, function->settled, sizeof(function->settled));
	function->span = (uint8_t)stream_small(stream, function->span, ARCH_ENTRY_MAX);
	stream_number(stream, &function->old_entry);
	stream_number(stream, &function->new_entry);
	stream_bytes(stream, function->base, sizeof(function->base));
	stream_number(stream, &function->base_entry);
}

static void walk_finder(struct stream *stream, struct ledger_finder *finder)
{
	stream_number(stream, &finder->image);
	stream_number(stream, &finder->site);
	finder->size = (uint8_t)stream_small(stream, finder->size, ARCH_ENTRY_MAX);
	finder->span = (uint8_t)stream_small(stream, finder->span, ARCH_ENTRY_MAX);
	stream_bytes(stream, finder->original, sizeof(finder->original));
	stream_bytes(stream, finder->jump, sizeof(finder->jump));
	stream_range(stream, &finder->code);
	stream_number(stream, &finder->copy);
	stream_number(stream, &finder->next);
}

static void walk_image(struct stream *stream, struct ledger_image *image)
{
	stream_text(stream, &image->name);
	stream_text(stream, &image->old_version);
	stream_text(stream, &image->new_version);
	stream_id(stream, &image->old_id);
	stream_id(stream, &image->new_id);
	stream_number(stream, &image->bias);
	stream_number(stream, &image->slice_bias);
	stream_range(stream, &image->region);
	stream_range(stream, &image->code);
	stream_range(stream, &image->eh_frame);
	stream_range(stream, &image->unwind_index);
}

/* Everything that belongs to an image names one that there is. */
static void check_images(struct stream *stream, const struct ledger *ledger)
{
	bool known = ledger->images.count && ledger->images.count <= LEDGER_IMAGES_MAX;

	for (size_t i = 0; i < ledger->functions.count; i++)
		known &= ledger->functions.item[i].image < ledger->images.count;
	for (size_t i = 0; i < ledger->finders.count; i++)
		known &= ledger->finders.item[i].image < ledger->images.count;
	if (!known && !stream->why)
		stream->why = "it names an image that there is not";
}

static void walk_ledger(struct stream *stream, struct ledger *ledger)
{
	stream_number(stream, &ledger->nonce);
	stream_text(stream, &ledger->name);
	stream_text(stream, &ledger->description);
	stream_text(stream, &ledger->tool);
	stream_number(stream, &ledger->digest);
	ledger->machine = (uint16_t)stream_small(stream, ledger->machine, UINT16_MAX);
	stream_list(stream, &ledger->images, 248);
	for (size_t i = 0; i < ledger->images.count; i++)
		walk_image(stream, &ledger->images.item[i]);
	stream_number(stream, &ledger->dispatch.selector);
	stream_number(stream, &ledger->dispatch.fallback);
	stream_number(stream, &ledger->dispatch.table);
	ledger->dispatch.table_bits = (uint8_t)stream_small(stream, ledger->dispatch.table_bits, DISPATCH_BITS_MAX);
	stream_number(stream, &ledger->dispatch.lookup);
	stream_number(stream, &ledger->old_table);
	stream_number(stream, &ledger->new_table);
	stream_number(stream, &ledger->scratch);
	stream_list(stream, &ledger->replaced, 8);
	for (size_t i = 0; i < ledger->replaced.count; i++)
		stream_number(stream, &ledger->replaced.item[i]);
	stream_list(stream, &ledger->parts, 24);
	for (size_t i = 0; i < ledger->parts.count; i++) {
		stream_range(stream, &ledger->parts.item[i].range);
		ledger->parts.item[i].flags = (uint32_t)stream_small(stream, ledger->parts.item[i].flags, 7);
	}
	stream_list(stream, &ledger->functions, 8);
	for (size_t i = 0; i < ledger->functions.count; i++)
		walk_function(stream, &ledger->functions.item[i]);
	stream_list(stream, &ledger->finders, 8);
	for (size_t i = 0; i < ledger->finders.count; i++)
		walk_finder(stream, &ledger->finders.item[i]);
}

enum { FLAG_FORCED = 1, FLAG_DETACHED = 2, FLAG_TRAPS_IGNORED = 4, FLAG_REMOVING = 8 };

static uint64_t flags_of(const struct ledger *ledger)
{
	return (ledger->forced ? FLAG_FORCED : 0u) | (ledger->detached ? FLAG_DETACHED : 0u) |
	       (ledger->traps_ignored ? FLAG_TRAPS_IGNORED : 0u) | (ledger->removing ? FLAG_REMOVING : 0u);
}

/* The words that change. */
static void load_header(const uint8_t *bytes, struct ledger *ledger)
{
	ledger->state = (enum ledger_state)load64(bytes + STATE_AT);
	ledger->applied = load64(bytes + APPLIED_AT);
	ledger->forced = load64(bytes + FLAGS_AT) & FLAG_FORCED;
	ledger->detached = load64(bytes + FLAGS_AT) & FLAG_DETACHED;
	ledger->traps_ignored = load64(bytes + FLAGS_AT) & FLAG_TRAPS_IGNORED;
	ledger->removing = load64(bytes + FLAGS_AT) & FLAG_REMOVING && ledger->state == LEDGER_PREPARED;
}

uint8_t *ledger_encode(const struct ledger *ledger, size_t *size)
{
	struct stream stream = { 0 };
	struct ledger *fields = memory_copy(ledger, sizeof(*ledger));	/* walked for both directions, not changed here */
	uint8_t *bytes;

	walk_ledger(&stream, fields);
	free(fields);
	*size = (HEADER_SIZE + stream.to.count + PAGE - 1) / PAGE * PAGE;
	bytes = memory_zeroed(*size, 1);
	memcpy(bytes, magic, sizeof(magic));
	store32(bytes + VERSION_AT, VERSION);
	store32(bytes + SIZE_AT, (uint32_t)stream.to.count);
	store64(bytes + CHECKSUM_AT, digest_bytes(DIGEST_START, stream.to.item, stream.to.count));
	store64(bytes + STATE_AT, ledger->state);
	store64(bytes + APPLIED_AT, ledger->applied);
	store64(bytes + FLAGS_AT, flags_of(ledger));
	memcpy(bytes + HEADER_SIZE, stream.to.item, stream.to.count);
	array_free(&stream.to);
	return bytes;
}

bool ledger_decode(const uint8_t *bytes, size_t size, struct ledger *ledger, const char **why)
{
	struct stream stream = { .reading = true };
	uint64_t state;

	*ledger = (struct ledger){ 0 };
	*why = NULL;
	if (size < HEADER_SIZE || memcmp(bytes, magic, sizeof(magic)) != 0)
		*why = "it has no ledger's header";
	else if (load32(bytes + VERSION_AT) != VERSION)
		*why = "it is of another version of stent";
	else if (load32(bytes + SIZE_AT) > size - HEADER_SIZE)
		*why = "it is cut short";
	if (*why)
		return false;

	state = load64(bytes + STATE_AT);
	if (state < LEDGER_PREPARED || state > LEDGER_REVERTED) {
		*why = "its state is none";
		return false;
	}
	load_header(bytes, ledger);	/* also known of a damaged one */
	stream.from = bytes + HEADER_SIZE;
	stream.size = load32(bytes + SIZE_AT);
	if (load64(bytes + CHECKSUM_AT) != digest_bytes(DIGEST_START, stream.from, stream.size)) {
		*why = "its checksum is wrong";
		return false;
	}
	walk_ledger(&stream, ledger);
	check_images(&stream, ledger);
	*why = stream.why;
	return !stream.why;
}

void ledger_free(struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->functions.count; i++) {
		free(ledger->functions.item[i].name);
		array_free(&ledger->functions.item[i].old_ranges);
		array_free(&ledger->functions.item[i].new_ranges);
	}
	array_free(&ledger->functions);
	array_free(&ledger->parts);
	array_free(&ledger->finders);
	array_free(&ledger->replaced);
	for (size_t i = 0; i < ledger->images.count; i++) {
		free(ledger->images.item[i].name);
		free(ledger->images.item[i].old_version);
		free(ledger->images.item[i].new_version);
	}
	array_free(&ledger->images);
	free(ledger->name);
	free(ledger->description);
	free(ledger->tool);
	*ledger = (struct ledger){ 0 };
}

void ledger_copy(const struct ledger *from, struct ledger *to)
{
	const char *why;
	size_t size;
	uint8_t *bytes = ledger_encode(from, &size);

	if (!ledger_decode(bytes, size, to, &why))
		abort();	/* our own bytes, a moment old */
	free(bytes);
	to->lost = from->lost;
	for (size_t i = 0; i < to->images.count; i++)
		to->images.item[i].lost = from->images.item[i].lost;
}

const char *ledger_state_name(enum ledger_state state)
{
	switch (state) {
	case LEDGER_PREPARED:
		return "prepared";
	case LEDGER_INSTALLING:
		return "installing";
	case LEDGER_ACTIVE:
		return "active";
	case LEDGER_REVERTING:
		return "reverting";
	case LEDGER_REVERTED:
		return "reverted";
	}
	return "?";
}

const char *ledger_condition(const struct ledger *ledger)
{
	return ledger->lost ? "lost" : ledger_state_name(ledger->state);
}

size_t ledger_redirected(const struct ledger *ledger)
{
	size_t count = 0;

	for (size_t i = 0; i < ledger->functions.count; i++)
		count += ledger->functions.item[i].redirected;
	return count;
}

bool ledger_half_done(const struct ledger *ledger)
{
	return ledger->state == LEDGER_INSTALLING || ledger->state == LEDGER_REVERTING;
}

const struct ledger_image *ledger_image_at(const struct ledger *ledger, uint64_t address)
{
	for (size_t i = 0; i < ledger->images.count; i++)
		if (range_holds(ledger->images.item[i].region, address))
			return &ledger->images.item[i];
	return NULL;
}

const struct ledger_image *ledger_find_image(const struct ledger *ledger, const struct build_id *old_id, uint64_t bias)
{
	for (size_t i = 0; i < ledger->images.count; i++)
		if (ledger->images.item[i].bias == bias && build_id_equal(&ledger->images.item[i].old_id, old_id))
			return &ledger->images.item[i];
	return NULL;
}

char *ledger_image_names(const struct ledger *ledger)
{
	char *names = text_copy("");

	for (size_t i = 0; i < ledger->images.count; i++) {
		char *longer = text_format("%s%s%s", names, i ? ", " : "", ledger->images.item[i].name);

		free(names);
		names = longer;
	}
	return names;
}

uint64_t ledger_address(const struct ledger *ledger)
{
	return ledger->images.item[0].region.start + PAGE;
}

bool ledger_peek(const struct process *process, uint64_t address, uint64_t nonce, struct ledger *header)
{
	uint8_t bytes[HEADER_SIZE + 8];

	*header = (struct ledger){ .nonce = nonce };
	if (!process_read(process, address, bytes, sizeof(bytes)) || memcmp(bytes, magic, sizeof(magic)) != 0 ||
	    load64(bytes + HEADER_SIZE) != nonce)
		return false;
	load_header(bytes, header);
	return header->state >= LEDGER_PREPARED && header->state <= LEDGER_REVERTED;
}

void ledger_list_header(const struct ledger *ledger, struct ledger_words *words, struct process_pieces *pieces)
{
	uint64_t address = ledger_address(ledger);

	*words = (struct ledger_words){ ledger->state, ledger->nonce };
	*array_add(pieces) = (struct process_bytes){ address, magic, sizeof(magic) };
	*array_add(pieces) = (struct process_bytes){ address + STATE_AT, &words->state, sizeof(words->state) };
	*array_add(pieces) = (struct process_bytes){ address + HEADER_SIZE, &words->nonce, sizeof(words->nonce) };
}

bool ledger_is_there(const struct process *process, const struct ledger *ledger)
{
	struct ledger header;

	return ledger_peek(process, ledger_address(ledger), ledger->nonce, &header) && header.state == ledger->state;
}

/* One of the words of the header that change. */
static enum status store_word(const struct process *process, const struct ledger *ledger, uint64_t at, uint64_t word,
			      struct error *error)
{
	return process_put(process, ledger_address(ledger) + at, &word, sizeof(word), error);
}

enum status ledger_store_state(const struct process *process, struct ledger *ledger, enum ledger_state state,
			       struct error *error)
{
	enum status status = store_word(process, ledger, STATE_AT, state, error);

	if (status == STATUS_OK)
		ledger->state = state;
	return status;
}

enum status ledger_store_active(const struct process *process, struct ledger *ledger, uint64_t applied, struct error *error)
{
	uint8_t words[APPLIED_AT + 8 - STATE_AT];
	enum status status;

	store64(words, LEDGER_ACTIVE);
	store64(words + (APPLIED_AT - STATE_AT), applied);
	status = process_put(process, ledger_address(ledger) + STATE_AT, words, sizeof(words), error);
	if (status != STATUS_OK)
		return status;
	ledger->state = LEDGER_ACTIVE;
	ledger->applied = applied;
	return STATUS_OK;
}

enum status ledger_store_forced(const struct process *process, struct ledger *ledger, bool forced, struct error *error)
{
	bool before = ledger->forced;
	enum status status;

	if (forced == before)
		return STATUS_OK;
	ledger->forced = forced;
	status = ledger_store_flags(process, ledger, error);
	if (status != STATUS_OK)
		ledger->forced = before;
	return status;
}

enum status ledger_store_flags(const struct process *process, const struct ledger *ledger, struct error *error)
{
	return store_word(process, ledger, FLAGS_AT, flags_of(ledger), error);
}

bool ledger_has_site(const struct ledger *ledger, const struct ledger_function *function)
{
	return function->redirected && !ledger->images.item[function->image].lost;
}

const uint8_t *ledger_below(const struct ledger *ledger, const struct ledger_function *function)
{
	return ledger->detached ? function->base : function->original;
}
