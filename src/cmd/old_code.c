#include "cmd/old_code.h"

#include <stdlib.h>

#include "image/debug.h"
#include "live/survey.h"

/* Whatever the build-id says, the patch is a claim: the ranges that it names must be in this image. */
static enum status check_build(const char *what, const struct patch *patch, const struct image *image, struct error *error)
{
	if (!build_id_equal(&image->id, &patch->old_id))
		return fail(error, "%s: is not the build that patch %s is for: its build-id differs", what, patch->name);
	for (size_t i = 0; i < patch->functions.count; i++) {
		const struct patch_function *function = &patch->functions.item[i];

		for (size_t k = 0; k < function->old_ranges.count; k++) {
			const struct range *range = &function->old_ranges.item[k];

			if (!image_bytes(image, range->start, range->end - range->start))
				return fail(error, "%s: has no code at 0x%lx, where patch %s has %s", what, (unsigned long)range->start,
					    patch->name, function->name);
		}
	}
	return STATUS_OK;
}

static enum status analyse(const char *what, const struct patch *patch, struct old_code *old, struct error *error)
{
	enum status status = check_build(what, patch, &old->image, error);

	return status ? status : program_load(&old->image, &old->program, error);
}

enum status old_code_read(const char *path, const struct patch *patch, struct old_code *old, struct error *error)
{
	enum status status;

	*old = (struct old_code){ 0 };
	status = image_open(path, &old->image, error);
	if (status)
		return status;
	image_add_debug(&old->image);
	return analyse(path, patch, old, error);
}

/* (No debug information here: the file is the process's, and may mean harm.) */
enum status old_code_read_mapped(pid_t pid, const struct patch *patch, struct old_code *old, struct error *error)
{
	struct survey survey = { 0 };
	struct process process;
	enum status status = process_open(pid, PROCESS_LOOK, &process, error);
	char *what = text_format("process %d (%s)", pid, process.comm);
	bool found = false;

	*old = (struct old_code){ 0 };
	if (!status)
		status = survey_read(&process, &survey, error);
	for (size_t i = 0; !status && !found && i < survey.images.count; i++) {
		if (!build_id_equal(&survey.images.item[i].id, &patch->old_id))
			continue;
		found = survey_read_image(&survey, &survey.images.item[i], &old->image);
		if (!found) {
			image_close(&old->image);
			status = fail(error, "%s: the file of %s can't be read; name the old file with --old", what, survey.images.item[i].name);
		}
	}
	if (!status && !found)
		status = fail(error, "%s: maps no image of the build that patch %s is for", what, patch->name);
	if (!status)
		status = analyse(what, patch, old, error);
	free(what);
	survey_free(&survey);
	process_close(&process);
	return status;
}

void old_code_free(struct old_code *old)
{
	program_free(&old->program);
	image_close(&old->image);
}
