#include "cmd/show_json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/listing.h"

/*
 * jansson passes a failed allocation on as NULL, and the *_new() setters take that as their failure. Those are
 * counted here once, so that the code below need not look at each.
 */
struct builder {
	bool failed;
};

static void set(struct builder *builder, json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value))
		builder->failed = true;
}

static void append(struct builder *builder, json_t *array, json_t *value)
{
	if (json_array_append_new(array, value))
		builder->failed = true;
}

static json_t *address(uint64_t value)
{
	char text[20];

	snprintf(text, sizeof(text), "0x%" PRIx64, value);
	return json_string(text);
}

static json_t *build_id(const struct build_id *id)
{
	char text[2 * BUILD_ID_MAX + 1] = "";

	for (size_t i = 0; i < id->size; i++)
		snprintf(text + 2 * i, 3, "%02x", id->bytes[i]);
	return json_string(text);
}

static json_t *ranges(struct builder *builder, const struct range *range, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++) {
		json_t *object = json_object();

		set(builder, object, "start", address(range[i].start));
		set(builder, object, "size", json_integer((json_int_t)(range[i].end - range[i].start)));
		append(builder, array, object);
	}
	return array;
}

static json_t *function_object(struct builder *builder, const struct patch_function *function)
{
	json_t *object = json_object();
	bool old = function->old_ranges.count;

	set(builder, object, "name", json_string(function->name));
	set(builder, object, "change", json_string(change_name(function->change)));
	set(builder, object, "action", json_string(action_name(function->action)));
	set(builder, object, "detail", function->detail ? json_string(function->detail) : json_null());
	set(builder, object, "old_entry", old ? address(function->old_entry) : json_null());
	set(builder, object, "new_entry", address(function->new_entry));
	set(builder, object, "old_ranges", ranges(builder, function->old_ranges.item, function->old_ranges.count));
	set(builder, object, "new_ranges", ranges(builder, function->new_ranges.item, function->new_ranges.count));
	return object;
}

static json_t *side_object(struct builder *builder, const struct listing_side *side)
{
	json_t *object;

	if (!side->text)
		return json_null();
	object = json_object();
	set(builder, object, "address", address(side->address));
	set(builder, object, "text", json_string(side->text));
	set(builder, object, "refers_to", side->names ? json_string(side->names) : json_null());
	return object;
}

static json_t *listing_array(struct builder *builder, const struct patch *patch, const struct patch_function *function,
			     const struct old_code *old)
{
	static const char *const marks[] = { [' '] = "same", ['|'] = "differs", ['<'] = "old", ['>'] = "new" };
	json_t *array = json_array();
	struct listing listing;

	listing_make(patch, function, old, &listing);
	for (size_t i = 0; i < listing.rows.count; i++) {
		const struct listing_row *row = &listing.rows.item[i];
		json_t *object = json_object();

		set(builder, object, "mark", json_string(marks[(unsigned char)row->mark]));
		set(builder, object, "old", side_object(builder, &row->old));
		set(builder, object, "new", side_object(builder, &row->new));
		append(builder, array, object);
	}
	listing_free(&listing);
	return array;
}

static json_t *segment_object(struct builder *builder, const struct patch_segment *segment)
{
	char flags[4];
	json_t *object = json_object();

	snprintf(flags, sizeof(flags), "%c%c%c", segment->flags & SEGMENT_READ ? 'r' : '-',
		 segment->flags & SEGMENT_WRITE ? 'w' : '-', segment->flags & SEGMENT_EXECUTE ? 'x' : '-');
	set(builder, object, "address", address(segment->address));
	set(builder, object, "size", json_integer((json_int_t)segment->size));
	set(builder, object, "flags", json_string(flags));
	return object;
}

static void set_lists(struct builder *builder, json_t *root, const struct patch *patch, const struct old_code *old)
{
	json_t *functions = json_array(), *segments = json_array(), *notes = json_array();

	for (size_t i = 0; i < patch->functions.count; i++) {
		const struct patch_function *function = &patch->functions.item[i];
		json_t *object = function_object(builder, function);

		if (old && function->new_ranges.count)
			set(builder, object, "listing", listing_array(builder, patch, function, old));
		append(builder, functions, object);
	}
	for (size_t i = 0; i < patch->segments.count; i++)
		append(builder, segments, segment_object(builder, &patch->segments.item[i]));
	for (size_t i = 0; i < patch->notes.count; i++)
		append(builder, notes, json_string(patch->notes.item[i]));
	set(builder, root, "functions", functions);
	set(builder, root, "segments", segments);
	set(builder, root, "bindings", json_integer((json_int_t)patch->bindings.count));
	set(builder, root, "notes", notes);
}

static void set_image(struct builder *builder, json_t *object, const struct patch *patch, const struct old_code *old)
{
	set(builder, object, "image", json_string(patch->image));
	set(builder, object, "machine", json_string(arch_by_machine(patch->machine)->name));
	set(builder, object, "fixed_address", json_boolean(patch->fixed_address));
	set(builder, object, "old_version", json_string(patch->old_version));
	set(builder, object, "new_version", json_string(patch->new_version));
	set(builder, object, "old_build_id", build_id(&patch->old_id));
	set(builder, object, "new_build_id", build_id(&patch->new_id));
	set_lists(builder, object, patch, old);
}

static json_t *images_array(struct builder *builder, const struct bundle *bundle, const struct old_code *old, const bool *known)
{
	json_t *images = json_array();

	for (size_t i = 0; i < bundle->count; i++) {
		json_t *image = json_object();

		set_image(builder, image, &bundle->item[i], known[i] ? &old[i] : NULL);
		append(builder, images, image);
	}
	return images;
}

enum status show_json(const struct bundle *bundle, const struct old_code *old, const bool *known, struct error *error)
{
	const struct patch *first = &bundle->item[0];
	struct builder builder = { 0 };
	json_t *root = json_object();

	set(&builder, root, "name", json_string(first->name));
	set(&builder, root, "description", json_string(first->description));
	set(&builder, root, "tool", json_string(first->tool));
	if (bundle->count == 1)
		set_image(&builder, root, first, known[0] ? &old[0] : NULL);
	else
		set(&builder, root, "images", images_array(&builder, bundle, old, known));

	if (!builder.failed)
		return cmd_print_json(root, error);
	json_decref(root);
	return fail(error, "%s: no memory for its JSON form", first->name);
}
