/*
 * bundle.c: several patches in one file (docs/format.md, "Several images, one patch").
 *
 * The file is an ar archive, so that ar, readelf, objdump and gdb see its members. All of its headers follow from the members'
 * sizes; so a reader takes nothing from them: it takes the members by what these say of themselves, and compares the rest.
 */
#include <ar.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "patch/bundle.h"
#include "patch/format.h"

/* Of the member that is as long as this, in ar's common format: all but number and length never differ. */
static void make_header(size_t number, size_t size, struct ar_hdr *header)
{
	char text[sizeof(*header) + 1];

	snprintf(text, sizeof(text), "%-16s%-12d%-6d%-6d%-8s%-10zu%s", "", 0, 0, 0, "100644", size, ARFMAG);
	memcpy(header, text, sizeof(*header));
	snprintf(text, sizeof(text), "%zu.stent/", number);
	memcpy(header->ar_name, text, strlen(text));
}

static int compare_patches(const void *one, const void *other)
{
	const struct patch *a = one, *b = other;
	int order = strcmp(a->image, b->image);

	if (!order)
		order = (a->old_id.size > b->old_id.size) - (a->old_id.size < b->old_id.size);
	return order ? order : memcmp(a->old_id.bytes, b->old_id.bytes, a->old_id.size);
}

void bundle_sort(struct bundle *bundle)
{
	if (bundle->count)
		qsort(bundle->item, bundle->count, sizeof(*bundle->item), compare_patches);
}

static bool same_text(const char *one, const char *other)
{
	return !strcmp(one ? one : "", other ? other : "");
}

/* Patches of one name are one patch only if all of them say so. */
static enum status verify_member(const struct bundle *bundle, size_t index, struct error *error)
{
	const struct patch *first = &bundle->item[0], *patch = &bundle->item[index];

	if (!same_text(first->name, patch->name) || !same_text(first->description, patch->description) ||
	    !same_text(first->tool, patch->tool))
		return fail(error, "the patch of %s has another name, description or tool than that of %s", patch->image, first->image);
	if (index && compare_patches(patch - 1, patch) >= 0)
		return fail(error, "the patch of %s does not stand in its place", patch->image);
	for (size_t i = 0; i < index; i++)
		if (build_id_equal(&bundle->item[i].old_id, &patch->old_id))
			return fail(error, "two patches are for the same build of %s", patch->image);
	return STATUS_OK;
}

enum status bundle_verify(const struct bundle *bundle, struct error *error)
{
	enum status status = STATUS_OK;

	if (!bundle->count || bundle->count > BUNDLE_MAX)
		return fail(error, "it holds %zu patches, and not 1 to %d", bundle->count, BUNDLE_MAX);
	for (size_t i = 0; i < bundle->count && !status; i++)
		status = patch_verify(&bundle->item[i], error);
	for (size_t i = 0; i < bundle->count && !status; i++)
		status = verify_member(bundle, i, error);
	return status;
}

uint8_t *bundle_encode(const struct bundle *bundle, size_t *size)
{
	struct buffer file = { 0 };

	if (bundle->count == 1)
		return patch_encode(&bundle->item[0], size);
	buffer_append(&file, ARMAG, SARMAG);
	for (size_t i = 0; i < bundle->count; i++) {
		uint8_t *member = patch_encode(&bundle->item[i], size);
		struct ar_hdr header;

		make_header(i + 1, *size, &header);
		buffer_append(&file, &header, sizeof(header));
		buffer_append(&file, member, *size);
		free(member);
	}
	*size = file.count;
	return file.item;
}

/* The length of the patch that begins here, as it says itself: patch_parse() checks it. 0: it does not say so. */
static size_t member_size(const uint8_t *bytes, size_t size)
{
	struct format_info info;

	if (size < sizeof(Elf64_Ehdr) + sizeof(info))
		return 0;
	memcpy(&info, bytes + sizeof(Elf64_Ehdr), sizeof(info));
	return info.file_size <= size ? info.file_size : 0;
}

/* The member at *at: its header, and the patch, which is added to the bundle. */
static enum status parse_member(const uint8_t *bytes, size_t size, size_t *at, struct bundle *bundle, struct error *error)
{
	size_t number = bundle->count + 1, left = size - *at, length;
	struct error reason = { 0 };
	struct ar_hdr header;
	enum status status;

	if (number > BUNDLE_MAX)
		return fail(error, "more than %d patches in one file", BUNDLE_MAX);
	length = left > sizeof(header) ? member_size(bytes + *at + sizeof(header), left - sizeof(header)) : 0;
	make_header(number, length, &header);
	if (!length || memcmp(bytes + *at, &header, sizeof(header)) != 0)
		return fail(error, "not a stent patch, or damaged: patch %zu of the archive does not begin at byte %zu as it should", number, *at);
	status = patch_parse(bytes + *at + sizeof(header), length, array_add(bundle), &reason);
	if (status)
		error_add(error, status, "patch %zu of the file: %s", number, reason.text);
	error_clear(&reason);
	*at += sizeof(header) + length;
	return status;
}

enum status bundle_parse(const uint8_t *bytes, size_t size, struct bundle *bundle, struct error *error)
{
	enum status status = STATUS_OK;
	size_t at = SARMAG;

	*bundle = (struct bundle){ 0 };
	if (size < SARMAG || memcmp(bytes, ARMAG, SARMAG) != 0)
		return patch_parse(bytes, size, array_add(bundle), error);
	while (at < size && !status)
		status = parse_member(bytes, size, &at, bundle, error);
	if (status)
		return status;
	/* One alone stands for itself: there is one encoding only. */
	if (bundle->count < 2)
		return fail(error, "damaged: an archive of %zu patches", bundle->count);
	return bundle_verify(bundle, error);
}

void bundle_free(struct bundle *bundle)
{
	for (size_t i = 0; i < bundle->count; i++)
		patch_free(&bundle->item[i]);
	array_free(bundle);
}
