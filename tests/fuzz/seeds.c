/*
 * seeds.c: inputs from which the fuzzers begin whose format the project itself defines, so that they can't be out of date.
 *
 *	seeds patch|bundle|ledger	writes one to standard output
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/ledger_example.h"
#include "../unit/patch_example.h"
#include "patch/bundle.h"

static uint8_t *make_patches(size_t count, size_t *size)
{
	struct bundle bundle = { 0 };
	uint8_t *bytes;

	for (size_t i = 0; i < count; i++) {
		*array_add(&bundle) = example_patch();
		bundle.item[i].old_id.bytes[0] += (uint8_t)i;
	}
	bytes = bundle_encode(&bundle, size);
	bundle_free(&bundle);
	return bytes;
}

static uint8_t *make_ledger(size_t *size)
{
	struct ledger ledger;
	uint8_t *bytes;

	example_ledger(&ledger);
	bytes = ledger_encode(&ledger, size);
	ledger_free(&ledger);
	return bytes;
}

int main(int count, char **arguments)
{
	const char *kind = count == 2 ? arguments[1] : "";
	uint8_t *bytes;
	size_t size;

	if (!strcmp(kind, "patch"))
		bytes = make_patches(1, &size);
	else if (!strcmp(kind, "bundle"))
		bytes = make_patches(2, &size);
	else if (!strcmp(kind, "ledger"))
		bytes = make_ledger(&size);
	else
		return 1;
	fwrite(bytes, size, 1, stdout);
	free(bytes);
	return 0;
}
