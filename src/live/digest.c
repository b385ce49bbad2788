#include "live/digest.h"

#include <string.h>

#include "live/link.h"
#include "process/maps.h"

static uint64_t digest_id(uint64_t digest, const struct build_id *id)
{
	return digest_bytes(digest_number(digest, id->size), id->bytes, id->size);
}

/* All that decides what is written into a process; not the texts for people, but for the name. */
uint64_t patch_digest(const struct patch *patch)
{
	uint64_t digest = digest_bytes(DIGEST_START, patch->name, strlen(patch->name));

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
	return digest;
}

uint64_t digest_code_mappings(const struct maps *maps)
{
	uint64_t digest = DIGEST_START;

	for (size_t i = 0; i < maps->count; i++) {
		const struct mapping *mapping = &maps->item[i];

		if (!mapping->execute)
			continue;
		digest = digest_number(digest_number(digest, mapping->range.start), mapping->range.end);
		digest = digest_number(digest_number(digest, mapping->inode), mapping->offset);
	}
	return digest;
}
