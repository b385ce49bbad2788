/*
 * Hostile patch files. Size and checksum of a single patch are put right, so that the reader looks further. What is accepted encodes to the bytes that it came from,
 * and what the run side relies on holds: entries inside of the images, segments in order, fields of bindings inside of segments.
 */
#include <elf.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "patch/bundle.h"
#include "patch/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_function(const struct patch *patch, const struct patch_function *function)
{
	expect(function->name[0], "a function has no name");
	if (function->action != ACTION_REDIRECT)
		return;
	expect(function->plan.span && function->plan.jump && patch_site_size(&function->plan) <= ARCH_ENTRY_MAX, "a site has no size");
	expect(function->old_entry >= patch->old_span.start &&
	       function->old_entry + patch_site_size(&function->plan) <= patch->old_span.end, "a site is outside of the image");
	expect(range_holds(function->old_ranges.item[0], function->old_entry) && range_holds(function->new_ranges.item[0], function->new_entry),
	       "an entry is not in its function");
}

static void use_patch(struct patch *patch)
{
	uint64_t end = patch->new_span.start;
	size_t at = 0;

	for (size_t i = 0; i < patch->functions.count; i++)
		use_function(patch, &patch->functions.item[i]);
	for (size_t i = 0; i < patch->segments.count; i++) {
		const struct patch_segment *segment = &patch->segments.item[i];

		expect(segment->address >= end && segment->size && segment->size <= patch->new_span.end - segment->address, "segments are out of order");
		end = segment->address + segment->size;
	}
	for (size_t i = 0; i < patch->bindings.count; i++) {
		const struct patch_binding *binding = &patch->bindings.item[i];

		while (at < patch->segments.count && binding->where - patch->segments.item[at].address >= patch->segments.item[at].size)
			at++;
		expect(at < patch->segments.count, "a binding is in no segment");
		memset(patch->segments.item[at].data + (binding->where - patch->segments.item[at].address), 0, binding_size(binding->type));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const size_t info = sizeof(Elf64_Ehdr);
	uint8_t *bytes = memory_copy(data, size), *encoded;
	struct error error = { 0 };
	struct bundle bundle;
	size_t encoded_size;

	if (size >= info + sizeof(struct format_info) && bytes[0] == ELFMAG0) {
		store64(bytes + info + offsetof(struct format_info, file_size), size);
		store64(bytes + info + offsetof(struct format_info, checksum), format_checksum(bytes, size));
	}
	if (bundle_parse(bytes, size, &bundle, &error) == STATUS_OK) {
		encoded = bundle_encode(&bundle, &encoded_size);
		expect(encoded_size == size && !memcmp(encoded, bytes, size), "what was accepted has another encoding");
		free(encoded);
		for (size_t i = 0; i < bundle.count; i++)
			use_patch(&bundle.item[i]);
	} else {
		expect(error.length, "a refusal has no reason");
	}
	bundle_free(&bundle);
	error_clear(&error);
	free(bytes);
	return 0;
}
