/*
 * decode.c: the bytes of a patch file become a patch, or an error.
 *
 * The bytes may be hostile. So: every table is bounds-checked before it is touched, nothing is
 * allocated that is larger than a small multiple of the file, the patch is verified, and what it
 * encodes to must be the file, byte for byte (format.h). libelf is not used because that leaves
 * nothing for it to do, and it is not made for such input.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/format.h"

#define HEADERS_SIZE (sizeof(Elf64_Ehdr) + sizeof(struct format_info))

struct decoder {
	const uint8_t *bytes;
	size_t size;
	struct format_info info;
	uint64_t segments, functions, ranges, bindings, imports, notes, strings;	/* file offsets of the tables */
	uint32_t next_range, next_string;
	struct error *error;
};

static enum status read_info(struct decoder *decoder)
{
	struct format_info *info = &decoder->info;

	if (decoder->size < HEADERS_SIZE)
		return fail(decoder->error, "too short for a stent patch: %zu bytes", decoder->size);
	memcpy(info, decoder->bytes + sizeof(Elf64_Ehdr), sizeof(*info));
	if (memcmp(decoder->bytes, ELFMAG, SELFMAG) || memcmp(info->magic, FORMAT_MAGIC, sizeof(info->magic)))
		return fail(decoder->error, "not a stent patch");
	if (info->version != FORMAT_VERSION)
		return fail(decoder->error, "format version %u, this stent reads version %d", info->version, FORMAT_VERSION);
	if (info->file_size != decoder->size)
		return fail(decoder->error, "damaged: %zu bytes long instead of %ju", decoder->size,
			    (uintmax_t)info->file_size);
	if (info->checksum != format_checksum(decoder->bytes, decoder->size))
		return fail(decoder->error, "damaged: its checksum does not match its content");
	return STATUS_OK;
}

/* Reserve the next table of the front part. Counts and sizes have 32 bits or less, so nothing overflows. */
static uint64_t place(uint64_t *end, uint64_t count, uint64_t size)
{
	uint64_t start = (*end + 7) & ~UINT64_C(7);

	*end = start + count * size;
	return start;
}

static enum status place_tables(struct decoder *decoder)
{
	const struct format_info *info = &decoder->info;
	uint64_t end = HEADERS_SIZE;

	decoder->segments = place(&end, info->segments, sizeof(Elf64_Phdr));
	decoder->functions = place(&end, info->functions, sizeof(struct format_function));
	decoder->ranges = place(&end, info->ranges, sizeof(struct format_range));
	decoder->bindings = place(&end, info->bindings, sizeof(struct format_binding));
	decoder->imports = place(&end, info->imports, sizeof(struct format_import));
	decoder->notes = place(&end, info->notes, sizeof(uint32_t));
	decoder->strings = place(&end, info->strings, 1);
	if (end > decoder->size)
		return fail(decoder->error, "its tables are longer than the file");
	decoder->next_string = 1;
	return STATUS_OK;
}

/*
 * Copy the string at the offset. Strings are in the order in which they are referred to, one reference each, so
 * copies cannot take more memory than the table. *text stays NULL on failure.
 */
static enum status read_string(struct decoder *decoder, uint32_t offset, char **text)
{
	const uint8_t *table = decoder->bytes + decoder->strings, *end;

	*text = NULL;
	if (!offset) {
		*text = text_copy("");
		return STATUS_OK;
	}
	if (offset != decoder->next_string || offset >= decoder->info.strings)
		return fail(decoder->error, "string at offset %u is not in its place", offset);
	end = memchr(table + offset, 0, decoder->info.strings - offset);
	if (!end)
		return fail(decoder->error, "string at offset %u does not end", offset);
	*text = memory_copy(table + offset, (size_t)(end - table) - offset + 1);
	decoder->next_string = (uint32_t)(end - table) + 1;
	return STATUS_OK;
}

static enum status read_identity(struct decoder *decoder, struct patch *patch)
{
	const struct format_info *info = &decoder->info;
	const struct {
		uint32_t offset;
		char **text;
	} strings[] = {
		{ info->name, &patch->name },
		{ info->description, &patch->description },
		{ info->tool, &patch->tool },
		{ info->image, &patch->image },
		{ info->old_version, &patch->old_version },
		{ info->new_version, &patch->new_version },
	};

	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
		enum status status = read_string(decoder, strings[i].offset, strings[i].text);

		if (status)
			return status;
	}
	patch->machine = info->machine;
	patch->fixed_address = info->flags & FORMAT_FIXED_ADDRESS;
	patch->old_id.size = info->old_id_size;
	patch->new_id.size = info->new_id_size;
	memcpy(patch->old_id.bytes, info->old_id, BUILD_ID_MAX);
	memcpy(patch->new_id.bytes, info->new_id, BUILD_ID_MAX);
	patch->old_span = (struct range){ info->old_start, info->old_end };
	patch->new_span = (struct range){ info->new_start, info->new_end };
	patch->eh_frame = (struct range){ info->eh_frame_start, info->eh_frame_end };
	return STATUS_OK;
}

static enum status read_segments(struct decoder *decoder, struct patch *patch)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < decoder->info.segments; i++) {
		struct patch_segment *segment;
		Elf64_Phdr header;

		memcpy(&header, decoder->bytes + decoder->segments + i * sizeof(header), sizeof(header));
		/* The total: headers that share one part of the file must not take memory for each. */
		if (header.p_offset > decoder->size || header.p_filesz > decoder->size - header.p_offset ||
		    header.p_filesz > decoder->size - total)
			return fail(decoder->error, "segment %u is not inside the file", i);
		total += header.p_filesz;
		segment = array_add(&patch->segments);
		*segment = (struct patch_segment){
			.address = header.p_vaddr,
			.size = header.p_filesz,
			.flags = header.p_flags,
			.data = memory_copy(decoder->bytes + header.p_offset, header.p_filesz),
		};
	}
	return STATUS_OK;
}

static struct range next_range(struct decoder *decoder)
{
	struct range range;

	memcpy(&range, decoder->bytes + decoder->ranges + decoder->next_range * sizeof(struct format_range),
	       sizeof(range));
	decoder->next_range++;
	return range;
}

static enum status read_function(struct decoder *decoder, uint32_t index, struct patch_function *function)
{
	struct format_function record;
	enum status status;

	memcpy(&record, decoder->bytes + decoder->functions + index * sizeof(record), sizeof(record));
	*function = (struct patch_function){
		.change = record.change,
		.action = record.action,
		.old_entry = record.old_entry,
		.new_entry = record.new_entry,
		.plan = { .offset = record.jump_offset, .jump = record.jump_size, .span = record.span },
	};
	memcpy(function->old_bytes, record.old_bytes, sizeof(record.old_bytes));
	status = read_string(decoder, record.name, &function->name);
	if (!status && record.detail)
		status = read_string(decoder, record.detail, &function->detail);
	if (status)
		return status;

	if (record.first_range != decoder->next_range ||
	    (uint64_t)record.old_ranges + record.new_ranges > decoder->info.ranges - decoder->next_range)
		return fail(decoder->error, "function %u: its ranges are not in their place", index);
	for (uint32_t i = 0; i < record.old_ranges; i++)
		*array_add(&function->old_ranges) = next_range(decoder);
	for (uint32_t i = 0; i < record.new_ranges; i++)
		*array_add(&function->new_ranges) = next_range(decoder);
	return STATUS_OK;
}

static enum status read_functions(struct decoder *decoder, struct patch *patch)
{
	enum status status = STATUS_OK;

	for (uint32_t i = 0; i < decoder->info.functions && !status; i++)
		status = read_function(decoder, i, array_add(&patch->functions));
	return status;
}

static void read_bindings(const struct decoder *decoder, struct patch *patch)
{
	for (uint32_t i = 0; i < decoder->info.bindings; i++) {
		struct format_binding record;

		memcpy(&record, decoder->bytes + decoder->bindings + i * sizeof(record), sizeof(record));
		*array_add(&patch->bindings) = (struct patch_binding){
			.where = record.where,
			.type = record.type,
			.anchor = record.anchor,
			.target = record.target,
			.addend = record.addend,
		};
	}
}

static enum status read_imports(struct decoder *decoder, struct patch *patch)
{
	enum status status = STATUS_OK;

	for (uint32_t i = 0; i < decoder->info.imports && !status; i++) {
		struct patch_import *import = array_add(&patch->imports);
		struct format_import record;

		memcpy(&record, decoder->bytes + decoder->imports + i * sizeof(record), sizeof(record));
		*import = (struct patch_import){ .weak = record.flags & FORMAT_WEAK };
		status = read_string(decoder, record.name, &import->name);
		if (!status)
			status = read_string(decoder, record.version, &import->version);
	}
	return status;
}

static enum status read_notes(struct decoder *decoder, struct patch *patch)
{
	enum status status = STATUS_OK;

	for (uint32_t i = 0; i < decoder->info.notes && !status; i++) {
		uint32_t offset = load32(decoder->bytes + decoder->notes + i * sizeof(offset));

		status = read_string(decoder, offset, array_add(&patch->notes));
	}
	return status;
}

/* Whatever the tables did not say: padding, ELF headers, symbols, reserved and unused fields, bytes behind the end. */
static enum status compare_encoding(const struct decoder *decoder, const struct patch *patch)
{
	enum status status = STATUS_OK;
	size_t size, same = 0;
	uint8_t *encoded = patch_encode(patch, &size);

	while (same < size && same < decoder->size && encoded[same] == decoder->bytes[same])
		same++;
	if (same < size || same < decoder->size)
		status = fail(decoder->error, "byte 0x%zx is not what the format says for this patch", same);
	free(encoded);
	return status;
}

enum status patch_parse(const uint8_t *bytes, size_t size, struct patch *patch, struct error *error)
{
	struct decoder decoder = { .bytes = bytes, .size = size, .error = error };
	enum status status = STATUS_OK;

	*patch = (struct patch){ 0 };
	status = read_info(&decoder);
	if (!status)
		status = place_tables(&decoder);
	if (!status)
		status = read_identity(&decoder, patch);
	if (!status)
		status = read_segments(&decoder, patch);
	if (!status)
		status = read_functions(&decoder, patch);
	if (status)
		return status;
	read_bindings(&decoder, patch);
	status = read_imports(&decoder, patch);
	if (!status)
		status = read_notes(&decoder, patch);
	if (!status)
		status = patch_verify(patch, error);
	if (!status)
		status = compare_encoding(&decoder, patch);
	return status;
}
