/* expect.h: how a fuzz target says that something is not as it must be. */
#ifndef STENT_TESTS_EXPECT_H
#define STENT_TESTS_EXPECT_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static inline void expect(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

#endif
