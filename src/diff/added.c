/*
 * added.c: variables that the running image does not have. They live in the slice, and begin there with the value that the new build gives them.
 *
 * Symbols tell that a variable is new (named.h), or the user does. What start-up code of the new build does to it has not been
 * done in the process, and will not be: then new code would find it in a state that it never meets.
 */
#include <stdlib.h>
#include <string.h>

#include "diff/comparison.h"

/* The first address behind that anything refers to, or where its section ends. */
static uint64_t next_item(const struct program *program, uint64_t address)
{
	uint64_t end = program_item_end(program, address);

	for (size_t i = 0; i < program->refs.count; i++)
		if (program->refs.item[i].target > address && program->refs.item[i].target < end)
			end = program->refs.item[i].target;
	return end;
}

char *added_name(const struct comparison *comparison, uint64_t address)
{
	const struct named_variable *variable = named_at(&comparison->named_new, address);

	return variable ? text_copy(variable->name) : text_format("%s+0x%lx", comparison->new.image->name, (unsigned long)address);
}

/* Does the user say so of the variable that begins there? */
static bool is_said(const struct comparison *comparison, uint64_t address)
{
	const struct diff_options *options = comparison->options;
	char *name = added_name(comparison, address);
	bool said = false;

	for (size_t i = 0; i < options->new_data_count; i++)
		said |= strcmp(options->new_data[i], name) == 0;
	free(name);
	return said;
}

/* (What unchanged code refers to in both builds is not new, whoever says so.) */
static bool find_said(const struct comparison *comparison, uint64_t address, struct range *span)
{
	const struct named_variable *variable = named_at(&comparison->named_new, address);

	if (!comparison->options->new_data_count)
		return false;
	if (variable) {
		*span = variable->span;
		return variable->state != NAMED_RESIZED && variable->state != NAMED_PAIRED && is_said(comparison, span->start);
	}
	for (span->start = address; span->start > program_item_start(&comparison->new, address) && !is_said(comparison, span->start);)
		span->start--;
	span->end = next_item(&comparison->new, span->start);
	return address < span->end && !votes_reverse(&comparison->data, span->start) && is_said(comparison, span->start);
}

bool added_find(const struct comparison *comparison, uint64_t address, struct range *span)
{
	const struct named_variable *variable = named_at(&comparison->named_new, address);

	if (find_said(comparison, address, span))
		return true;
	if (!variable || variable->state != NAMED_ALONE)
		return false;
	*span = variable->span;
	return true;
}

bool added_by_word(const struct comparison *comparison, struct range span)
{
	struct range added;

	for (size_t i = 0; comparison->options->new_data_count && i < comparison->new.refs.count; i++)
		if (range_holds(span, comparison->new.refs.item[i].target) && find_said(comparison, comparison->new.refs.item[i].target, &added))
			return true;
	return false;
}

/* Who refers to the variable: all in all (up to 2 are counted), and one that runs at start-up only. */
struct users {
	size_t count;
	uint32_t first, starter;
};

static void find_users(const struct program *program, struct range span, struct users *users)
{
	for (size_t i = 0; i < program->refs.count; i++) {
		uint32_t function = range_holds(span, program->refs.item[i].target) ? program_function(program, program->refs.item[i].insn) : NO_FUNCTION;

		if (function == NO_FUNCTION || (users->count == 1 && function == users->first))
			continue;
		if (!users->count)
			users->first = function;
		users->count += users->count < 2;
		if (users->starter == NO_FUNCTION && starters_have(program, function))
			users->starter = function;
	}
}

/* (A function that nobody shares the variable with, and that runs again after all, finds it as it was when it ran first.) */
char *added_objection(const struct comparison *comparison, struct range span)
{
	const struct program *new = &comparison->new;
	struct users users = { .first = NO_FUNCTION, .starter = NO_FUNCTION };
	char *name, *said, *text;

	find_users(new, span, &users);
	if (users.starter == NO_FUNCTION || (users.count < 2 && !new->functions.item[users.starter].startup) || is_said(comparison, span.start))
		return NULL;
	name = program_function_name(new, users.starter);
	said = added_name(comparison, span.start);
	text = text_format("the new variable %s, to which %s refers as well, that runs at start-up only, and has run (--new-data %s overrules)", said, name,
			   said);
	free(name);
	free(said);
	return text;
}
