#include "live/digest.h"

#include <string.h>

#include "live/link.h"
#include "process/maps.h"

static uint64_t digest_id(uint64_t digest, const struct build_id *id)
{
	return digest_bytes(digest_number(digest, id->size), id->bytes, id->size);
}

/* All that decides what is written into a process; not the texts for people, but for the name. */
static uint64_t digest_patch(uint64_t digest, const struct patch *patch)
{
	digest = digest_bytes(digest, patch->name, strlen(patch->name));

	digest = digest_id(digest_id(digest, &patch->old_id), &patch->new_id);
	for (size_t i = 0; i < patch->functions.count; i++) {
		const struct patch_function *function = &patch->functions.item[i];

		digest = digest_number(digest, function->action);
		digest = digest_number(digest, function->old_entry);
		digest = digest_number(digest, function->new_entry);
		digest = digest_bytes(digest, function->old_bytes, sizeof(function->old_bytes));
	}
	for (size_t i = 0; i < patch->segments.count; i++) {
		const struct patch_segment *segment = &patch->segments.item[i];

		digest = digest_number(digest_number(digest, segment->address), segment->flags);
		digest = digest_bytes(digest_number(digest, segment->size), segment->data, segment->size);
	}
	for (size_t i = 0; i < patch->bindings.count; i++) {
		const struct patch_binding *binding = &patch->bindings.item[i];

		digest = digest_number(digest_number(digest, binding->where), binding->type);
		digest = digest_number(digest_number(digest, binding->anchor), binding->target);
		digest = digest_number(digest, (uint64_t)binding->addend);
	}
	for (size_t i = 0; i < patch->imports.count; i++) {
		const struct patch_import *import = &patch->imports.item[i];

		digest = digest_bytes(digest, import->name, strlen(import->name) + 1);
		digest = digest_bytes(digest_number(digest, import->weak), import->version, strlen(import->version) + 1);
	}
	return digest;
}

uint64_t bundle_digest(const struct bundle *bundle)
{
	uint64_t digest = DIGEST_START;

	for (size_t i = 0; i < bundle->count; i++)
		digest = digest_patch(digest, &bundle->item[i]);
	return digest;
}

uint64_t digest_code_files(const struct maps *maps)
{
	const struct mapping *mapping;
	uint64_t digest = DIGEST_START;

	for (uint64_t at = 0; (mapping = maps_next_code(maps, at)); at = mapping->range.end) {
		digest = digest_number(digest_number(digest, mapping->range.start), mapping->range.end);
		digest = digest_number(digest_number(digest, mapping->device), mapping->inode);
		digest = digest_number(digest, mapping->offset);
	}
	return digest;
}
