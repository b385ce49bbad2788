/*
 * upgrade_apply.c: the patches go into the processes.
 *
 * Images of one process that may rely on each other go in together, in one transition, or not at all: those of one source package, and
 * those of which it is not known where they come from. (Those of different packages a distribution allows to be of different ages.)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/everywhere.h"
#include "cmd/outcomes.h"
#include "cmd/progress_bar.h"
#include "cmd/upgrade.h"
#include "diff/diff.h"
#include "process/crew.h"

#define LIMIT 60000u	/* milliseconds for one process, on top of its timeout for each patch */

struct applying {
	struct upgrade *upgrade;
	const json_t *processes;
	struct crew crew;
	struct progress_bar bar;
	bool again;		/* not the first round */
};

static bool is_decided(const json_t *image)
{
	return json_object_get(image, "result");
}

static const struct upgrade_pair *pair_of(const struct upgrade *upgrade, const json_t *image)
{
	return &upgrade->pairs.item[json_integer_value(json_object_get(image, "pair"))];
}

static bool go_together(const json_t *one, const json_t *other)
{
	const char *source = everywhere_text(one, "source"), *other_source = everywhere_text(other, "source");

	return !*source || !*other_source || !strcmp(source, other_source);
}

/* What the comparison said. */
static void decide_by_pairs(const struct upgrade *upgrade, json_t *images)
{
	json_t *image;

	for (size_t i = 0; (image = json_array_get(images, i)); i++) {
		const struct upgrade_pair *pair = is_decided(image) ? NULL : pair_of(upgrade, image);

		if (pair && pair->status != STATUS_OK)
			upgrade_decide(image, pair->status, pair->why);
	}
}

/* An image that would be patched, but may rely on another one. NULL: on none. */
static const json_t *find_obstacle(const json_t *images, const json_t *image)
{
	const json_t *other;

	for (size_t i = 0; (other = json_array_get(images, i)); i++)
		if (other != image && is_decided(other) && go_together(image, other) && !outcome_is(other, STATUS_NOTHING))
			return other;
	return NULL;
}

/* Why it can't be patched because of the other one: an array. */
static json_t *explain_obstacle(const json_t *image, const json_t *other)
{
	const char *name = everywhere_text(image, "image"), *other_name = everywhere_text(other, "image");
	struct error error = { 0 };

	(void)refuse(&error, "%s was replaced together with %s, which %s: the new %s may need the new %s", name, other_name,
		     json_object_get(other, "left_out") ? "is to be left alone" : "can't be patched", name, other_name);
	return everywhere_lines(&error);
}

/* One step from each image to those that it may rely on. False: nothing follows any more. */
static bool decide_by_company(json_t *images)
{
	json_t *reasons = json_array(), *image;
	bool any = false;

	/* First all, then the consequences: what is said of one is not to depend on the order. */
	for (size_t i = 0; (image = json_array_get(images, i)); i++) {
		const json_t *other = is_decided(image) ? NULL : find_obstacle(images, image);

		json_array_append_new(reasons, other ? explain_obstacle(image, other) : json_null());
	}
	for (size_t i = 0; (image = json_array_get(images, i)); i++) {
		json_t *why = json_array_get(reasons, i);

		if (json_is_null(why))
			continue;
		upgrade_decide(image, STATUS_REFUSED, why);
		any = true;
	}
	json_decref(reasons);
	return any;
}

static size_t count_undecided(const json_t *images)
{
	const json_t *image;
	size_t count = 0;

	for (size_t i = 0; (image = json_array_get(images, i)); i++)
		count += !is_decided(image);
	return count;
}

/* Images of a process that are patched in one transition. */
struct unit {
	ARRAY(json_t *) images;		/* borrowed */
	bool replace;
	struct bundle bundle;		/* its patches are those of pairs, but for their names and descriptions */
	char *name, *description;	/* owned */
};

static void add_to_unit(json_t *images, json_t *image, struct unit *unit)
{
	json_t *other;

	*array_add(&unit->images) = image;
	json_object_set_new(image, "tried", json_true());
	unit->replace |= json_array_size(json_object_get(image, "replaces")) > 0;
	for (size_t i = 0; (other = json_array_get(images, i)); i++)
		if (!is_decided(other) && !json_object_get(other, "tried") && go_together(image, other))
			add_to_unit(images, other, unit);
}

static bool has_patch(const struct bundle *bundle, const struct patch *patch)
{
	for (size_t i = 0; i < bundle->count; i++)
		if (build_id_equal(&bundle->item[i].old_id, &patch->old_id))
			return true;
	return false;
}

/* One patch of all, with a name and a description that are the same in every process and every run. */
static void join_patches(const struct upgrade *upgrade, struct unit *unit)
{
	struct bundle *bundle = &unit->bundle;

	for (size_t i = 0; i < unit->images.count; i++) {
		const struct patch *patch = &pair_of(upgrade, unit->images.item[i])->bundle.item[0];

		if (!has_patch(bundle, patch))
			*array_add(bundle) = *patch;
	}
	bundle_sort(bundle);
	if (bundle->count == 1)
		return;
	unit->name = text_copy(bundle->item[0].name);
	unit->description = text_format(UPGRADE_MARK "the new builds of %s and %zu more", bundle->item[0].image, bundle->count - 1);
	for (size_t i = 0; i < bundle->count; i++) {
		bundle->item[i].name = unit->name;
		bundle->item[i].description = unit->description;
	}
}

static void free_unit(struct unit *unit)
{
	array_free(&unit->bundle);	/* what is in the patches belongs to pairs */
	array_free(&unit->images);
	free(unit->name);
	free(unit->description);
}

static void finish_unit(const struct unit *unit, const struct process *process, enum status status, const struct live_report *report,
			struct error *error)
{
	json_t *outcome = outcome_make(process, status, report, error);

	json_object_del(outcome, "image");
	for (size_t i = 0; i < unit->images.count; i++)
		json_object_update(unit->images.item[i], outcome);
	json_decref(outcome);
}

static void apply_unit(const struct upgrade *upgrade, const struct process *process, enum status opened, const struct error *error,
		       struct unit *unit)
{
	struct live_options options = upgrade->options;
	struct live_report report = { 0 };
	struct error why = { 0 };
	enum status status = opened;

	options.replace = unit->replace;
	join_patches(upgrade, unit);
	if (status == STATUS_OK)
		status = bundle_verify(&unit->bundle, &why);
	else
		(void)error_add(&why, status, "%s", error->text);
	if (status == STATUS_OK)
		status = live_apply(process, &unit->bundle, &options, &report, &why);
	/* One that has ended needs nothing any more. */
	if (status == STATUS_ERROR && !process_alive(process)) {
		error_clear(&why);
		status = error_add(&why, STATUS_NOTHING, "the process has ended");
	}
	finish_unit(unit, process, status, &report, &why);
	live_report_free(&report);
}

/* In a child. */
static char *apply(void *context, size_t job)
{
	const struct applying *applying = context;
	json_t *images = json_deep_copy(json_object_get(json_array_get(applying->processes, job), "images")), *image;
	pid_t pid = (pid_t)json_integer_value(json_object_get(json_array_get(applying->processes, job), "pid"));
	struct error error = { 0 };
	struct process process;
	enum status opened = process_open(pid, PROCESS_CHANGE, &process, &error);
	char *text;

	for (size_t i = 0; (image = json_array_get(images, i)); i++) {
		struct unit unit = { 0 };

		if (is_decided(image))
			continue;
		add_to_unit(images, image, &unit);
		apply_unit(applying->upgrade, &process, opened, &error, &unit);
		free_unit(&unit);
	}
	process_close(&process);
	error_clear(&error);
	text = json_dumps(images, JSON_COMPACT);
	json_decref(images);
	return text ? text : text_copy("");
}

/* An outcome for each image. */
static void add_outcomes(struct applying *applying, const json_t *process, const json_t *images)
{
	const json_t *image;

	for (size_t i = 0; (image = json_array_get(images, i)); i++) {
		json_t *outcome;

		if (json_object_get(image, "left_out"))
			continue;
		outcome = json_copy((json_t *)(uintptr_t)image);

		/* A child that was forked since has what its parent had: that is not worth a line. */
		if (!applying->again || !outcome_is(outcome, STATUS_NOTHING))
			json_array_append(applying->upgrade->outcomes, outcome);
		json_object_set(outcome, "pid", json_object_get(process, "pid"));
		json_object_set(outcome, "comm", json_object_get(process, "comm"));
		if (json_object_get(process, "service"))
			json_object_set(outcome, "service", json_object_get(process, "service"));
		json_object_del(outcome, "start");
		json_object_del(outcome, "pair");
		json_object_del(outcome, "replaces");
		json_object_del(outcome, "by");
		json_object_del(outcome, "tried");
		json_decref(outcome);
	}
}

static void take_answer(void *context, size_t job, enum crew_end end, const char *text)
{
	struct applying *applying = context;
	const json_t *process = json_array_get(applying->processes, job);
	json_t *images = end == CREW_DONE ? json_loads(text, 0, NULL) : NULL, *image;

	if (!images) {
		struct error error = { 0 };
		char *end_text = crew_end_text(&applying->crew, end);
		json_t *why;

		(void)fail(&error, "process %d (%s): the work on it %s", (int)json_integer_value(json_object_get(process, "pid")),
			   everywhere_text(process, "comm"), end_text);
		why = everywhere_lines(&error);
		images = json_deep_copy(json_object_get(process, "images"));
		for (size_t i = 0; (image = json_array_get(images, i)); i++)
			if (!is_decided(image))
				upgrade_decide(image, STATUS_ERROR, why);
		json_decref(why);
		free(end_text);
	}
	add_outcomes(applying, process, images);
	json_decref(images);
	progress_bar_step(&applying->bar);
}

/* Everything about a process that can be decided before anything is done to it. */
static void decide(const struct upgrade *upgrade, const json_t *process)
{
	json_t *images = json_object_get(process, "images"), *image;
	pid_t pid = (pid_t)json_integer_value(json_object_get(process, "pid"));
	const char *spared = machine_spared(pid);

	decide_by_pairs(upgrade, images);
	if (spared) {
		struct error error = { 0 };
		json_t *why;

		(void)refuse(&error, "%s", spared);
		why = everywhere_lines(&error);
		for (size_t i = 0; (image = json_array_get(images, i)); i++)
			if (!is_decided(image))
				upgrade_decide(image, STATUS_REFUSED, why);
		json_decref(why);
	}
	while (decide_by_company(images))
		;
}

static void decide_dry(json_t *images)
{
	json_t *none = json_array(), *image;

	for (size_t i = 0; (image = json_array_get(images, i)); i++)
		if (!is_decided(image))
			upgrade_decide(image, STATUS_OK, none);
	json_decref(none);
}

static void note_tried(const struct upgrade *upgrade, const json_t *process)
{
	char name[16];

	snprintf(name, sizeof(name), "%d", (int)json_integer_value(json_object_get(process, "pid")));
	json_object_set_new(upgrade->tried, name, json_true());
}

void upgrade_apply(struct upgrade *upgrade, json_t *processes)
{
	struct applying applying = { .upgrade = upgrade, .again = json_object_size(upgrade->tried) > 0 };
	json_t *process, *open = json_array();
	size_t most = 1;

	for (size_t i = 0; (process = json_array_get(processes, i)); i++) {
		json_t *images = json_object_get(process, "images");
		size_t undecided;

		decide(upgrade, process);
		if (upgrade->dry_run)
			decide_dry(images);
		note_tried(upgrade, process);
		undecided = count_undecided(images);
		if (undecided)
			json_array_append(open, process);
		else
			add_outcomes(&applying, process, images);
		if (undecided > most)
			most = undecided;
	}
	applying.processes = open;
	applying.crew = (struct crew){
		.work = apply,
		.take = take_answer,
		.context = &applying,
		.limit = LIMIT + (unsigned int)most * upgrade->options.timeout,
		.cancelled = upgrade->options.cancelled,
	};
	progress_bar_start(&applying.bar, "processes patched", json_array_size(open));
	crew_run(&applying.crew, json_array_size(open));
	progress_bar_end(&applying.bar);
	json_decref(open);
}
