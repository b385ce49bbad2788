#include "patch/patch.h"

#include <stdlib.h>

void patch_free(struct patch *patch)
{
	for (size_t i = 0; i < patch->functions.count; i++) {
		struct patch_function *function = &patch->functions.item[i];

		free(function->name);
		free(function->detail);
		array_free(&function->old_ranges);
		array_free(&function->new_ranges);
	}
	for (size_t i = 0; i < patch->segments.count; i++)
		free(patch->segments.item[i].data);
	for (size_t i = 0; i < patch->imports.count; i++) {
		free(patch->imports.item[i].name);
		free(patch->imports.item[i].version);
	}
	for (size_t i = 0; i < patch->notes.count; i++)
		free(patch->notes.item[i]);
	array_free(&patch->functions);
	array_free(&patch->segments);
	array_free(&patch->bindings);
	array_free(&patch->imports);
	array_free(&patch->notes);
	free(patch->name);
	free(patch->description);
	free(patch->tool);
	free(patch->image);
	free(patch->old_version);
	free(patch->new_version);
	*patch = (struct patch){ 0 };
}

const char *change_name(enum change change)
{
	static const char *const names[CHANGE_COUNT] = {
		[CHANGE_CODE] = "code",
		[CHANGE_CALLEES] = "callees",
		[CHANGE_CONSTANT] = "constant",
		[CHANGE_LINE] = "line",
		[CHANGE_STRING] = "string",
		[CHANGE_DATA] = "data",
		[CHANGE_DISPLACEMENT] = "displacement",
		[CHANGE_NEW] = "new",
	};

	return (unsigned int)change < CHANGE_COUNT ? names[change] : "?";
}

const char *action_name(enum action action)
{
	static const char *const names[ACTION_COUNT] = {
		[ACTION_REDIRECT] = "redirect",
		[ACTION_ADD] = "add",
		[ACTION_STARTUP] = "startup",
		[ACTION_NOISE] = "noise",
	};

	return (unsigned int)action < ACTION_COUNT ? names[action] : "?";
}
