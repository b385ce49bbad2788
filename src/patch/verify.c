/*
 * verify.c: what must hold for a patch, whether it comes from a file or is about to become one:
 * identity, text, segments and bindings here; functions in verify_function.c.
 *
 * The run side relies on every line of this: it writes to processes by these addresses and sizes.
 */
#include <string.h>

#include "base/utf8.h"
#include "patch/format.h"
#include "patch/verify.h"

#define NAME_MAX_LENGTH 200

size_t binding_size(uint32_t type)
{
	switch (type) {
	case BINDING_ABSOLUTE64:
		return 8;
	case BINDING_PC32:
	case BINDING_ABSOLUTE32:
	case BINDING_ABSOLUTE32S:
		return 4;
	default:
		return 0;
	}
}

/*
 * Text goes to terminals and into JSON as it is, so it is one line of UTF-8 without control characters, the
 * C1 set included (a terminal may take U+009B for the start of an escape sequence).
 */
bool patch_text_valid(const char *text)
{
	const uint8_t *at = (const uint8_t *)text, *end = at + strlen(text);

	while (at < end) {
		size_t length = utf8_length(at, end);

		if (!length || *at < 0x20 || *at == 0x7f || (*at == 0xc2 && at[1] < 0xa0))
			return false;
		at += length;
	}
	return true;
}

static bool name_valid(const char *name)
{
	size_t length = strlen(name);

	return length >= 1 && length <= NAME_MAX_LENGTH &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+:~@-") == length;
}

static enum status verify_text(const struct patch *patch, struct error *error)
{
	const struct {
		const char *what, *text;
	} texts[] = {
		{ "description", patch->description ? patch->description : "" },
		{ "tool", patch->tool },
		{ "image", patch->image },
		{ "old version", patch->old_version },
		{ "new version", patch->new_version },
	};

	if (!patch->name || !name_valid(patch->name))
		return fail(error, "the patch's name is not 1 to %d letters, digits and \"._+:~@-\"", NAME_MAX_LENGTH);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (!texts[i].text || !patch_text_valid(texts[i].text))
			return fail(error, "the patch's %s is not one line of printable UTF-8", texts[i].what);
	if (!*patch->image || strchr(patch->image, '/'))
		return fail(error, "the patch's image is not a file name without a folder");
	for (size_t i = 0; i < patch->notes.count; i++)
		if (!patch->notes.item[i] || !*patch->notes.item[i] || !patch_text_valid(patch->notes.item[i]))
			return fail(error, "note %zu is not one line of printable UTF-8", i);
	return STATUS_OK;
}

static enum status verify_imports(const struct patch *patch, struct error *error)
{
	for (size_t i = 0; i < patch->imports.count; i++) {
		const struct patch_import *import = &patch->imports.item[i];

		if (!import->name || !*import->name || !import->version || !patch_text_valid(import->name) || !patch_text_valid(import->version))
			return fail(error, "the name of import %zu is not one line of printable UTF-8", i);
	}
	return STATUS_OK;
}

static bool span_valid(struct range span)
{
	return span.start < span.end && span.start % PATCH_PAGE == 0 && span.end % PATCH_PAGE == 0;
}

static enum status verify_identity(const struct patch *patch, struct error *error)
{
	const struct build_id *old = &patch->old_id, *new = &patch->new_id;

	if (!arch_by_machine(patch->machine))
		return fail(error, "the patch is for machine %u, which stent does not know", patch->machine);
	if (!old->size || old->size > BUILD_ID_MAX || !new->size || new->size > BUILD_ID_MAX)
		return fail(error, "a build-id of the patch is not 1 to %d bytes long", BUILD_ID_MAX);
	if (build_id_equal(old, new))
		return fail(error, "the patch's old and new build-id are the same");
	if (!span_valid(patch->old_span) || !span_valid(patch->new_span))
		return fail(error, "the span of the %s image is empty or not page aligned",
			    span_valid(patch->old_span) ? "new" : "old");
	return STATUS_OK;
}

static enum status verify_segments(const struct patch *patch, struct error *error)
{
	const uint32_t both = SEGMENT_WRITE | SEGMENT_EXECUTE;
	uint64_t end = patch->new_span.start;

	if (patch->segments.count > FORMAT_SEGMENTS_MAX)
		return fail(error, "%zu segments are too many", patch->segments.count);
	for (size_t i = 0; i < patch->segments.count; i++) {
		const struct patch_segment *segment = &patch->segments.item[i];

		if (segment->address % PATCH_PAGE || segment->size % PATCH_PAGE || !segment->size)
			return fail(error, "segment %zu is empty or not page aligned", i);
		if (segment->address < end || segment->address >= patch->new_span.end ||
		    segment->size > patch->new_span.end - segment->address)
			return fail(error, "segment %zu at 0x%jx is outside of the new image's span or not behind the one before it",
				    i, (uintmax_t)segment->address);
		/* Targets under a write-xor-execute policy cannot map both, and nothing needs it. */
		if (segment->flags & ~(both | SEGMENT_READ) || !(segment->flags & SEGMENT_READ) ||
		    (segment->flags & both) == both)
			return fail(error, "segment %zu has flags 0x%x: not readable, or unknown, or both writable and executable",
				    i, segment->flags);
		end = segment->address + segment->size;
	}
	return STATUS_OK;
}

/* The last segment that starts at or before the address. Segments are sorted. */
static const struct patch_segment *segment_before(const struct patch *patch, uint64_t address)
{
	size_t low = 0, high = patch->segments.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (patch->segments.item[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &patch->segments.item[low - 1] : NULL;
}

const struct patch_segment *patch_find_segment(const struct patch *patch, struct range range)
{
	const struct patch_segment *segment = segment_before(patch, range.start);

	if (!segment || range.end < range.start || range.end > segment->address + segment->size)
		return NULL;
	return segment;
}

static enum status verify_eh_frame(const struct patch *patch, struct error *error)
{
	struct range tables = patch->eh_frame;

	if (!tables.start && !tables.end)
		return STATUS_OK;
	if (tables.start >= tables.end || !patch_find_segment(patch, tables))
		return fail(error, "the unwind tables at 0x%jx are not inside one segment", (uintmax_t)tables.start);
	return STATUS_OK;
}

/*
 * A target may be the end of what it points into: programs take the address of the end of an array or a section.
 * The old span's end stands for the end of .bss there.
 */
static bool binding_target_valid(const struct patch *patch, const struct patch_binding *binding)
{
	struct range target = { binding->target, binding->target };

	switch (binding->anchor) {
	case ANCHOR_OLD:
		return target.start >= patch->old_span.start && target.start <= patch->old_span.end;
	case ANCHOR_SLICE:
		return patch_find_segment(patch, target);
	case ANCHOR_IMPORT:
		return binding->target < patch->imports.count && binding->type == BINDING_ABSOLUTE64;
	default:
		return false;
	}
}

static enum status verify_bindings(const struct patch *patch, struct error *error)
{
	uint64_t end = 0;

	for (size_t i = 0; i < patch->bindings.count; i++) {
		const struct patch_binding *binding = &patch->bindings.item[i];
		size_t size = binding_size(binding->type);
		struct range field = { binding->where, binding->where + size };

		if (!size)
			return fail(error, "binding %zu at 0x%jx has the unknown type %u", i, (uintmax_t)field.start,
				    binding->type);
		if (field.start < end)
			return fail(error, "binding %zu at 0x%jx is not behind the one before it", i,
				    (uintmax_t)field.start);
		if (!patch_find_segment(patch, field))
			return fail(error, "binding %zu at 0x%jx is not inside one segment", i, (uintmax_t)field.start);
		if (!binding_target_valid(patch, binding))
			return fail(error, "binding %zu at 0x%jx has target 0x%jx, which is outside of what it is relative to",
				    i, (uintmax_t)field.start, (uintmax_t)binding->target);
		if (size == 4 && binding->type != BINDING_PC32 && !patch->fixed_address)
			return fail(error, "binding %zu at 0x%jx is a 32-bit address, but the image is not linked at a fixed one",
				    i, (uintmax_t)field.start);
		end = field.end;
	}
	return STATUS_OK;
}

enum status patch_verify(const struct patch *patch, struct error *error)
{
	enum status status = verify_identity(patch, error);

	if (!status)
		status = verify_text(patch, error);
	if (!status)
		status = verify_imports(patch, error);
	if (!status)
		status = verify_segments(patch, error);
	if (!status)
		status = verify_eh_frame(patch, error);
	if (!status)
		status = verify_bindings(patch, error);
	if (!status)
		status = patch_verify_functions(patch, error);
	return status;
}
