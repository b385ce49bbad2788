/*
 * identity.c: a number for what an address refers to, the same in both builds for what is known to be the same item.
 *
 * For lining up instructions: "load the address of X, call f" lines up with the one that does the same, and not with the one in the line above
 * that does it to Y. What is known comes from unchanged code alone; all else is 0, and lines up with whatever is unknown too.
 */
#include <string.h>

#include "diff/comparison.h"

enum { IDENTITY_FUNCTION = 1, IDENTITY_IMPORT, IDENTITY_VARIABLE, IDENTITY_TEXT };

/* FNV-1a */
static uint64_t hash(uint64_t kind, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	uint64_t value = UINT64_C(0xcbf29ce484222325) + kind;

	for (size_t i = 0; i < size; i++)
		value = (value ^ at[i]) * UINT64_C(0x100000001b3);
	return value | 1;
}

static uint64_t hash_number(uint64_t kind, uint64_t number)
{
	return hash(kind, &number, sizeof(number));
}

/* What has the same name in both builds. */
static uint64_t named_identity(const struct program *program, uint64_t address)
{
	const struct relocation *slot = program_stub(program, address);
	const char *text = text_at(program->image, address);

	if (slot && slot->symbol)
		return hash(IDENTITY_IMPORT, slot->symbol, strlen(slot->symbol));
	return text ? hash(IDENTITY_TEXT, text, strlen(text)) : 0;
}

uint64_t identity_of_old(const struct comparison *comparison, uint64_t address)
{
	uint32_t function = program_function(&comparison->old, address);
	const struct vote *vote;

	if (function != NO_FUNCTION)
		return comparison->old.functions.item[function].entry == address && comparison->new_of[function] != NO_FUNCTION
			       ? hash_number(IDENTITY_FUNCTION, comparison->new_of[function]) : 0;
	vote = votes_winner(&comparison->data, address);
	if (vote && votes_reverse(&comparison->data, vote->to))
		return hash_number(IDENTITY_VARIABLE, vote->to);
	return named_identity(&comparison->old, address);
}

uint64_t identity_of_new(const struct comparison *comparison, uint64_t address)
{
	uint32_t function = program_function(&comparison->new, address);

	if (function != NO_FUNCTION)
		return comparison->new.functions.item[function].entry == address && comparison->old_of[function] != NO_FUNCTION
			       ? hash_number(IDENTITY_FUNCTION, function) : 0;
	if (votes_reverse(&comparison->data, address))
		return hash_number(IDENTITY_VARIABLE, address);
	return named_identity(&comparison->new, address);
}
