/*
 * upgrade_print.c: the closing table of `stent upgrade`.
 */
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/everywhere.h"
#include "cmd/outcomes.h"
#include "cmd/upgrade.h"

#define LISTED 8	/* processes that need a restart for one reason */
#define LINES 4		/* of a reason */

static bool is_patched(const json_t *outcome)
{
	return outcome_is(outcome, STATUS_OK);
}

static void print_result(const struct upgrade *upgrade, const json_t *outcome)
{
	if (is_patched(outcome) && upgrade->dry_run)
		puts("can be patched");
	else if (is_patched(outcome))
		printf("patched, paused %.2f ms\n", (double)json_integer_value(json_object_get(outcome, "paused_ns")) / 1e6);
	else
		puts(outcome_is(outcome, STATUS_REFUSED) ? "restart needed" : outcome_is(outcome, STATUS_GAVE_UP) ? "gave up waiting" : "failed");
}

static void print_table(const struct upgrade *upgrade)
{
	const json_t *outcome;
	bool first = true;

	for (size_t i = 0; (outcome = json_array_get(upgrade->outcomes, i)); i++) {
		if (outcome_is(outcome, STATUS_NOTHING))
			continue;
		if (first)
			printf("%7s  %-15s  %-28s  %-8s    %-8s  %s\n", "PID", "PROCESS", "IMAGE", "OLD", "NEW", "RESULT");
		first = false;
		printf("%7d  %-15s  %-28s  %-8.8s -> %-8.8s  ", (int)json_integer_value(json_object_get(outcome, "pid")),
		       everywhere_text(outcome, "comm"), everywhere_text(outcome, "image"), everywhere_text(outcome, "old_build_id"),
		       everywhere_text(outcome, "new_build_id"));
		print_result(upgrade, outcome);
	}
}

static bool needs_restart(const json_t *outcome)
{
	return !is_patched(outcome) && !outcome_is(outcome, STATUS_NOTHING);
}

/* For the same reason. */
static bool is_alike(const json_t *one, const json_t *other)
{
	return !strcmp(everywhere_text(one, "path"), everywhere_text(other, "path")) &&
	       json_equal(json_object_get(one, "why"), json_object_get(other, "why"));
}

static bool has_earlier(const json_t *outcomes, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (needs_restart(json_array_get(outcomes, i)) && is_alike(json_array_get(outcomes, i), json_array_get(outcomes, index)))
			return true;
	return false;
}

static void print_members(const json_t *outcomes, size_t first)
{
	const json_t *outcome;
	size_t count = 0;

	for (size_t i = first; (outcome = json_array_get(outcomes, i)); i++) {
		const char *service = everywhere_text(outcome, "service");

		if (!needs_restart(outcome) || !is_alike(json_array_get(outcomes, first), outcome) || ++count > LISTED)
			continue;
		printf("%s%s %d%s%s%s", count > 1 ? ", " : "", everywhere_text(outcome, "comm"),
		       (int)json_integer_value(json_object_get(outcome, "pid")), *service ? " (" : "", service, *service ? ")" : "");
	}
	if (count > LISTED)
		printf(" and %zu more", count - LISTED);
	putchar('\n');
}

static void print_reason(const json_t *why)
{
	const json_t *line;
	size_t count = json_array_size(why);

	for (size_t i = 0; i < LINES && (line = json_array_get(why, i)); i++)
		printf("    %s\n", json_string_value(line));
	if (count > LINES)
		printf("    ... and %zu more lines, which --json prints\n", count - LINES);
}

/* Each reason once, with all processes that it holds for. */
static void print_restarts(const struct upgrade *upgrade)
{
	const json_t *outcome;
	bool first = true;

	for (size_t i = 0; (outcome = json_array_get(upgrade->outcomes, i)); i++) {
		if (!needs_restart(outcome) || has_earlier(upgrade->outcomes, i))
			continue;
		if (first)
			puts("\nStill runs old code, until it is restarted:");
		first = false;
		printf("  %s: ", everywhere_text(outcome, "path"));
		print_members(upgrade->outcomes, i);
		print_reason(json_object_get(outcome, "why"));
	}
}

static void print_text(const struct upgrade *upgrade)
{
	const json_t *outcomes = upgrade->outcomes;
	struct everywhere everywhere = { .unseen = upgrade->unseen };

	print_table(upgrade);
	print_restarts(upgrade);
	printf("%s%zu %s, %zu had nothing to do, %zu refused, %zu gave up, %zu failed; %zu processes looked at\n",
	       outcomes_status(outcomes) == STATUS_NOTHING ? "" : "\n", outcomes_count(outcomes, STATUS_OK),
	       upgrade->dry_run ? "can be patched" : "patched", outcomes_count(outcomes, STATUS_NOTHING),
	       outcomes_count(outcomes, STATUS_REFUSED), outcomes_count(outcomes, STATUS_GAVE_UP),
	       outcomes_count(outcomes, STATUS_ERROR), upgrade->seen);
	everywhere_print_unseen(&everywhere);
}

enum status upgrade_print(const struct upgrade *upgrade, struct error *error)
{
	json_t *object;

	if (!upgrade->json) {
		print_text(upgrade);
		return STATUS_OK;
	}
	object = json_object();
	json_object_set_new(object, "dry_run", json_boolean(upgrade->dry_run));
	json_object_set(object, "images", upgrade->outcomes);
	json_object_set_new(object, "seen", json_integer((json_int_t)upgrade->seen));
	json_object_set(object, "unseen", upgrade->unseen);
	return cmd_print_json(object, error);
}
