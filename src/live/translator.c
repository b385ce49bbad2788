#include "live/translator.h"

#include <string.h>

/* How the names of their files begin: the library that each preloads, or its own program. */
static const struct {
	const char *file, *tool;
} translators[] = {
	{ "vgpreload_core", "Valgrind" },
	{ "libdynamorio.so", "DynamoRIO" },
	{ "pinbin", "Pin" },
	{ "qemu-x86_64", "qemu" },
};

static const char *translator_of(const struct mapping *mapping)
{
	const char *slash = strrchr(mapping->name, '/');

	for (size_t i = 0; mapping->inode && slash && i < sizeof(translators) / sizeof(translators[0]); i++)
		if (!strncmp(slash + 1, translators[i].file, strlen(translators[i].file)))
			return translators[i].tool;
	return NULL;
}

enum status translator_check(const struct survey *survey, struct error *error)
{
	for (size_t i = 0; i < survey->maps.count; i++) {
		const char *tool = translator_of(&survey->maps.item[i]);

		if (tool)
			return refuse(error, "process %d (%s) runs under %s, which executes a translation of its code: a change of the code "
				      "would have no effect", survey->process->pid, survey->process->comm, tool);
	}
	return STATUS_OK;
}
