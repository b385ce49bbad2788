/*
 * validated.h: a small library built from source, with its rows validated.
 */
#ifndef STENT_TESTS_VALIDATED_H
#define STENT_TESTS_VALIDATED_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#undef fail	/* base/error.h has one too, and cmocka's fail_msg() uses it */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "files.h"
#include "unwind/validate.h"

/* Print why, and fail. */
#define give_up(...) (print_error(__VA_ARGS__), print_error("\n"), assert_true(false))

struct validated {
	struct image image;
	struct rows *rows;
	struct validation validation;
};

/* Compile with $CC_FOR_TESTS or gcc: assembler text ("s") or C ("c"). Fails the test when that fails. */
static inline struct validated *validated_build(const char *source, const char *language, const char *flags)
{
	struct validated *built = memory_zeroed(1, sizeof(*built));
	char folder[] = "/tmp/stent-unit-XXXXXX";
	const char *compiler = getenv("CC_FOR_TESTS");
	struct error error = { 0 };
	char *path, *command;

	assert_non_null(mkdtemp(folder));
	path = text_format("%s/source.%s", folder, language);
	file_write_text(path, source);
	free(path);
	command = text_format("cd %s && %s -w -shared -nostdlib -Wl,--build-id -Wl,-z,noexecstack %s source.%s -o lib.so", folder,
			      compiler ? compiler : "gcc", flags, language);
	if (system(command))
		give_up("failed: %s", command);
	free(command);

	path = text_format("%s/lib.so", folder);
	if (image_open(path, &built->image, &error))
		give_up("%s", error.text);
	free(path);
	command = text_format("rm -rf %s", folder);
	assert_int_equal(system(command), 0);	/* the open file stays readable */
	free(command);
	built->rows = rows_build(&built->image.eh_frame, built->image.span);
	validate_image(&built->image, built->rows, &built->validation);
	return built;
}

static inline void validated_free(struct validated *built)
{
	validation_free(&built->validation);
	rows_free(built->rows);
	image_close(&built->image);
	free(built);
}

static inline uint64_t validated_symbol(const struct validated *built, const char *name)
{
	for (size_t i = 0; i < built->image.symbols.count; i++)
		if (built->image.symbols.item[i].defined && !strcmp(built->image.symbols.item[i].name, name))
			return built->image.symbols.item[i].value;
	give_up("no symbol %s", name);
	return 0;
}

/* The first row of the FDE that holds the address. */
static inline const struct row *validated_fde(const struct validated *built, uint64_t address)
{
	const struct row *row = rows_find(built->rows, address);

	assert_non_null(row);
	assert_int_not_equal(row->kind, ROW_NONE);
	while (!(row->flags & ROW_STARTS_FDE))
		row--;
	return row;
}

/* The worst verdict in the FDE; *reason: that of its first unverifiable row. */
static inline enum row_verdict validated_verdict(const struct validated *built, uint64_t address, enum row_reason *reason)
{
	const struct row *row = validated_fde(built, address);
	enum row_verdict worst = ROW_UNCHECKED;

	*reason = REASON_NONE;
	do {
		if (row->verdict == ROW_UNVERIFIABLE && *reason == REASON_NONE)
			*reason = row->reason;
		worst = row->verdict > worst ? row->verdict : worst;
		row++;
	} while (row->kind != ROW_NONE && !(row->flags & ROW_STARTS_FDE));
	return worst;
}

#endif
