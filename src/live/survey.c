#include "live/survey.h"
#include "live/translator.h"

#include <stdlib.h>
#include <string.h>

#include "live/stacking.h"

enum status survey_read(const struct process *process, struct survey *survey, struct error *error)
{
	enum status status;

	*survey = (struct survey){ .process = process };
	status = maps_read(process, &survey->maps, error);
	if (status != STATUS_OK)
		return status;
	images_read(process, &survey->maps, &survey->images);
	ledgers_read(process, &survey->maps, &survey->ledgers, &survey->damaged);
	return STATUS_OK;
}

void survey_free(struct survey *survey)
{
	for (size_t i = 0; i < survey->codes.count; i++) {
		free(survey->codes.item[i].text);
		array_free(&survey->codes.item[i].altered);
	}
	array_free(&survey->codes);
	free(survey->switches);
	free(survey->blind);
	free(survey->asks);
	array_free(&survey->finders);
	array_free(&survey->makers);
	array_free(&survey->restorers);
	array_free(&survey->modules);
	ledgers_free(&survey->ledgers);
	images_free(&survey->images);
	maps_free(&survey->maps);
}

static const struct mapped_image *image_named(const struct survey *survey, const char *name)
{
	for (size_t i = 0; i < survey->images.count; i++)
		if (!strcmp(survey->images.item[i].name, name))
			return &survey->images.item[i];
	return NULL;
}

bool survey_maps_build(const struct survey *survey, const struct build_id *id)
{
	for (size_t i = 0; i < survey->images.count && id->size; i++)
		if (build_id_equal(&survey->images.item[i].id, id))
			return true;
	return false;
}

static enum status no_image(const struct survey *survey, const struct patch *patch, struct error *error)
{
	const struct process *process = survey->process;
	const struct mapped_image *same = image_named(survey, patch->image);
	char wanted[2 * BUILD_ID_MAX + 5], found[2 * BUILD_ID_MAX + 5];

	if (survey_maps_build(survey, &patch->new_id))
		return error_add(error, STATUS_NOTHING, "process %d (%s) runs the new build of %s already",
				 process->pid, process->comm, patch->image);
	refuse(error, "process %d (%s) maps no image with build-id %s, which patch %s is for", process->pid, process->comm,
	       build_id_text(&patch->old_id, wanted), patch->name);
	if (same)
		refuse(error, "process %d (%s) maps %s with build-id %s", process->pid, process->comm, same->name,
		       build_id_text(&same->id, found));
	return STATUS_REFUSED;
}

static enum status find_image(const struct survey *survey, const struct patch *patch, const struct mapped_image **image,
			      struct error *error)
{
	const struct process *process = survey->process;

	*image = NULL;
	for (size_t i = 0; i < survey->images.count; i++) {
		const struct mapped_image *candidate = &survey->images.item[i];

		if (!patch->old_id.size || !build_id_equal(&candidate->id, &patch->old_id))
			continue;
		if (*image)
			return refuse(error, "process %d (%s) maps %s more than once, at %#lx and %#lx", process->pid,
				      process->comm, candidate->name, (*image)->span.start, candidate->span.start);
		*image = candidate;
	}
	if (!*image)
		return no_image(survey, patch, error);
	if ((*image)->machine != patch->machine || (*image)->fixed_address != patch->fixed_address ||
	    (*image)->span.start - (*image)->bias != patch->old_span.start ||
	    (*image)->span.end - (*image)->bias != patch->old_span.end)
		return refuse(error, "process %d (%s): %s is mapped at %#lx-%#lx, which is not how patch %s knows it",
			      process->pid, process->comm, (*image)->name, (*image)->span.start, (*image)->span.end,
			      patch->name);
	return STATUS_OK;
}

static bool redirects(const struct patch *patch)
{
	for (size_t i = 0; i < patch->functions.count; i++)
		if (patch->functions.item[i].action == ACTION_REDIRECT)
			return patch->segments.count;
	return false;
}

/* One of several. STATUS_OK: it has a target, or a line that says why it needs none. */
static enum status find_one(const struct survey *survey, const struct patch *patch, struct targets *targets, struct error *error)
{
	const struct mapped_image *image;
	struct error why = { 0 };
	enum status status;

	if (!redirects(patch)) {
		*array_add(&targets->skipped) = text_format("%s: no function is to be redirected", patch->image);
		return STATUS_OK;
	}
	if (!survey_maps_build(survey, &patch->old_id) && !survey_maps_build(survey, &patch->new_id) && !image_named(survey, patch->image)) {
		*array_add(&targets->skipped) = text_format("%s: not mapped", patch->image);
		return STATUS_OK;
	}
	status = find_image(survey, patch, &image, &why);
	if (status == STATUS_OK)
		*array_add(targets) = (struct target){ patch, image };
	else if (status == STATUS_NOTHING)
		*array_add(&targets->skipped) = text_format("%s: the new build already", patch->image);
	else
		refuse(error, "%s", why.text);
	error_clear(&why);
	return status == STATUS_REFUSED ? status : STATUS_OK;
}

static enum status find_several(const struct survey *survey, const struct bundle *bundle, struct targets *targets, struct error *error)
{
	const struct process *process = survey->process;
	enum status status = STATUS_OK;
	bool new = false;

	for (size_t i = 0; i < bundle->count; i++) {
		new |= survey_maps_build(survey, &bundle->item[i].new_id);
		if (find_one(survey, &bundle->item[i], targets, error) != STATUS_OK)
			status = STATUS_REFUSED;
	}
	if (status != STATUS_OK || targets->count)
		return status;
	if (new)
		return error_add(error, STATUS_NOTHING, "process %d (%s) runs the new build of all that patch %s is for, and that it maps",
				 process->pid, process->comm, bundle->item[0].name);
	return refuse(error, "process %d (%s) maps none of the %zu images that patch %s is for", process->pid, process->comm,
		      bundle->count, bundle->item[0].name);
}

enum status survey_find_targets(const struct survey *survey, const struct bundle *bundle, struct targets *targets, struct error *error)
{
	const struct patch *first = &bundle->item[0];
	const struct mapped_image *image;
	/* First: a translator may map the program's code where it is not executable, and then none of its images is seen. */
	enum status status = translator_check(survey, error);

	*targets = (struct targets){ 0 };
	if (status != STATUS_OK)
		return status;
	status = bundle->count > 1 ? find_several(survey, bundle, targets, error) : find_image(survey, first, &image, error);
	if (status == STATUS_OK && bundle->count == 1 && !redirects(first))
		status = error_add(error, STATUS_NOTHING, "patch %s changes nothing in process %d (%s): no function is to be redirected",
				   first->name, survey->process->pid, survey->process->comm);
	if (status == STATUS_OK && bundle->count == 1)
		*array_add(targets) = (struct target){ first, image };
	return status;
}

void targets_free(struct targets *targets)
{
	for (size_t i = 0; i < targets->skipped.count; i++)
		free(targets->skipped.item[i]);
	array_free(&targets->skipped);
	array_free(targets);
}

/* Private and executable from the first to the last of these bytes. */
static bool can_be_redirected(const struct maps *maps, uint64_t start, uint64_t size)
{
	const struct mapping *mapping = maps_find(maps, start);

	return mapping && mapping->execute && !mapping->shared && mapping->range.end - start >= size;
}

static enum status check_sites(const struct survey *survey, const struct patch *patch, const struct mapped_image *image,
			       struct error *error)
{
	const struct process *process = survey->process;
	enum status status = STATUS_OK;

	for (size_t i = 0; i < patch->functions.count; i++) {
		const struct patch_function *function = &patch->functions.item[i];
		const struct entry_plan *plan = &function->plan;
		size_t size = (size_t)plan->offset + (plan->span > plan->jump ? plan->span : plan->jump);
		uint64_t entry = function->old_entry + image->bias;
		uint8_t bytes[ARCH_ENTRY_MAX];

		if (function->action != ACTION_REDIRECT)
			continue;
		if (size > sizeof(bytes) || !can_be_redirected(&survey->maps, entry, size) ||
		    !process_read(process, entry, bytes, size)) {
			status = refuse(error, "process %d (%s): %s at %#lx is not in private executable memory",
					process->pid, process->comm, function->name, entry);
			continue;
		}
		stacking_undo(survey, entry, bytes, size);
		if (memcmp(bytes, function->old_bytes, size) != 0)
			status = refuse(error, "process %d (%s): foreign bytes at the entry of %s, at %#lx: it is not "
					"the code that patch %s is for (a breakpoint, or another patcher?)", process->pid,
					process->comm, function->name, entry, patch->name);
	}
	return status;
}

enum status survey_check_sites(const struct survey *survey, const struct targets *targets, struct error *error)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < targets->count; i++)
		if (check_sites(survey, targets->item[i].patch, targets->item[i].image, error) != STATUS_OK)
			status = STATUS_REFUSED;
	return status;
}
