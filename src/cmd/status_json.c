#include <jansson.h>

#include "cmd/status.h"

uint64_t status_mapped_size(const struct ledger *ledger)
{
	uint64_t size = 0;

	for (size_t i = 0; i < ledger->parts.count; i++)
		size += ledger->parts.item[i].range.end - ledger->parts.item[i].range.start;
	return size;
}

const char *status_version_name(enum version version)
{
	return version == VERSION_NEW ? "new" : "old";
}

static json_t *function_object(const struct ledger_function *function)
{
	json_t *object = json_object();

	json_object_set_new(object, "name", json_string(function->name));
	json_object_set_new(object, "action", json_string(function->redirected ? "redirect" : "add"));
	if (function->redirected)
		json_object_set_new(object, "entry", json_integer((json_int_t)function->site));
	json_object_set_new(object, "new_entry", json_integer((json_int_t)function->new_entry));
	return object;
}

static json_t *threads_array(const struct progress *progress)
{
	json_t *array = json_array();

	for (size_t i = 0; i < progress->count; i++) {
		const struct thread_progress *thread = &progress->item[i];
		json_t *object = json_object();

		json_object_set_new(object, "tid", json_integer(thread->tid));
		json_object_set_new(object, "comm", json_string(thread->comm));
		json_object_set_new(object, "version", json_string(status_version_name(thread->version)));
		if (*thread->why)
			json_object_set_new(object, "why", json_string(thread->why));
		json_array_append_new(array, object);
	}
	return array;
}

static void set_image(json_t *object, const struct ledger_image *image)
{
	char id[2 * BUILD_ID_MAX + 5];

	json_object_set_new(object, "image", json_string(image->name));
	json_object_set_new(object, "old_build_id", json_string(build_id_text(&image->old_id, id)));
	json_object_set_new(object, "new_build_id", json_string(build_id_text(&image->new_id, id)));
	json_object_set_new(object, "old_version", json_string(image->old_version));
	json_object_set_new(object, "new_version", json_string(image->new_version));
	json_object_set_new(object, "region_start", json_integer((json_int_t)image->region.start));
	json_object_set_new(object, "region_end", json_integer((json_int_t)image->region.end));
}

/* All of them, where the patch is for several; the first is in the object itself, too, as always. */
static json_t *images_array(const struct ledger *ledger)
{
	json_t *array = json_array();

	for (size_t i = 0; i < ledger->images.count; i++) {
		json_t *object = json_object();

		set_image(object, &ledger->images.item[i]);
		json_object_set_new(object, "lost", json_boolean(ledger->images.item[i].lost));
		json_array_append_new(array, object);
	}
	return array;
}

json_t *status_patch_object(const struct patch_status *patch)
{
	const struct ledger *ledger = patch->ledger;
	json_t *object = json_object(), *functions = json_array();

	json_object_set_new(object, "name", json_string(ledger->name));
	json_object_set_new(object, "state", json_string(ledger_condition(ledger)));
	json_object_set_new(object, "forced", json_boolean(ledger->forced));
	json_object_set_new(object, "description", json_string(ledger->description));
	set_image(object, &ledger->images.item[0]);
	if (ledger->images.count > 1)
		json_object_set_new(object, "images", images_array(ledger));
	json_object_set_new(object, "tool", json_string(ledger->tool));
	json_object_set_new(object, "since", json_integer((json_int_t)ledger->applied));
	json_object_set_new(object, "mapped_bytes", json_integer((json_int_t)status_mapped_size(ledger)));
	for (size_t i = 0; i < ledger->functions.count; i++)
		json_array_append_new(functions, function_object(&ledger->functions.item[i]));
	json_object_set_new(object, "functions", functions);
	if (patch->unknown)
		json_object_set_new(object, "threads_unknown", json_string(patch->unknown));
	else if (progress_is_on(ledger))
		json_object_set_new(object, "threads", threads_array(&patch->progress));
	return object;
}
