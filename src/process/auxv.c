/* What the kernel told a program when it started (man 3 getauxval), as it keeps it itself. */
#include "process/process.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"

bool process_auxv(const struct process *process, uint64_t type, uint64_t *value)
{
	char path[64];
	bool found = false;
	size_t size = 0;
	char *bytes;

	/* The file of a thread that has ended, be it the first one, is empty. */
	snprintf(path, sizeof(path), "task/%d/auxv", process_living_task(process));
	bytes = process_file(process, path, &size);
	/* Pairs of words: AT_NULL ends them. */
	for (size_t i = 0; bytes && i + 16 <= size && !found && load64(bytes + i); i += 16) {
		found = load64(bytes + i) == type;
		if (found)
			*value = load64(bytes + i + 8);
	}
	free(bytes);
	return found;
}
