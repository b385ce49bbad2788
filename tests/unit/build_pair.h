/*
 * build_pair.h: compile one source text twice, with -DV=1 and -DV=2, into a folder of its own.
 *
 * The compiler is $CC_FOR_TESTS or gcc. Files: v1 and v2 (stripped unless asked otherwise).
 */
#ifndef STENT_TESTS_BUILD_PAIR_H
#define STENT_TESTS_BUILD_PAIR_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#undef fail	/* base/error.h has one too */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "files.h"

struct build_pair {
	char folder[64];
	char *file[2];
};

static inline void build_run(const char *command)
{
	int status = system(command);

	if (status)
		print_error("failed: %s\n", command);
	assert_int_equal(status, 0);
}

/* flags: for the compiler, e.g. "-O2 -fPIE -pie". Fails the test when the compiler fails. */
static inline struct build_pair build_pair(const char *source, const char *flags, int strip)
{
	struct build_pair pair = { .folder = "/tmp/stent-unit-XXXXXX" };
	const char *compiler = getenv("CC_FOR_TESTS");
	char *path;

	assert_non_null(mkdtemp(pair.folder));
	path = text_format("%s/source.c", pair.folder);
	file_write_text(path, source);
	free(path);
	for (int i = 0; i < 2; i++) {
		char *command = text_format("cd %s && %s -w -DV=%d -Wl,--build-id=0x%02d112233 %s source.c -o v%d%s%s", pair.folder,
					    compiler ? compiler : "gcc", i + 1, i + 1, flags, i + 1, strip ? " && strip v" : "",
					    strip ? (i ? "2" : "1") : "");

		build_run(command);
		free(command);
		pair.file[i] = text_format("%s/v%d", pair.folder, i + 1);
	}
	return pair;
}

static inline void build_pair_free(struct build_pair *pair)
{
	char *command = text_format("rm -rf %s", pair->folder);

	build_run(command);
	free(command);
	free(pair->file[0]);
	free(pair->file[1]);
}

#endif
