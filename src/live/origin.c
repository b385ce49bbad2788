#include "live/origin.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATABASE "/var/lib/dpkg"
#define LIST_MAX (16u << 20)	/* bytes of one package's list of files; the largest have one */
#define STATUS_MAX (128u << 20)	/* and of what is known of all packages: some kilobytes for each */

/* The whole file as text with a NUL behind it, closed then; free() it. NULL: unreadable, or larger. */
static char *read_text(int file, size_t most)
{
	struct stat about;
	char *text = NULL;

	if (file < 0)
		return NULL;
	if (fstat(file, &about) == 0 && S_ISREG(about.st_mode) && (uint64_t)about.st_size <= most) {
		text = memory_zeroed((size_t)about.st_size + 1, 1);
		if (read(file, text, (size_t)about.st_size) != about.st_size) {
			free(text);
			text = NULL;
		}
	}
	close(file);
	return text;
}

static bool has_line(const char *text, const char *line)
{
	size_t length = strlen(line);

	for (const char *at = text; (at = strstr(at, line)); at++)
		if ((at == text || at[-1] == '\n') && (at[length] == '\n' || !at[length]))
			return true;
	return false;
}

/* "NAME.list" or "NAME:ARCHITECTURE.list" of the package that the file is of; free() it. NULL: none. */
static char *find_list(int folder, const char *path)
{
	/* Packages may still name files below /usr as they were called before the directories were merged. */
	const char *unmerged = !strncmp(path, "/usr/", strlen("/usr/")) ? path + strlen("/usr") : path;
	DIR *lists = folder < 0 ? NULL : fdopendir(folder);
	const struct dirent *entry;
	char *found = NULL;

	if (!lists) {
		if (folder >= 0)
			close(folder);
		return NULL;
	}
	while (!found && (entry = readdir(lists))) {
		size_t length = strlen(entry->d_name);
		char *text;

		if (length <= strlen(".list") || strcmp(entry->d_name + length - strlen(".list"), ".list") != 0)
			continue;
		text = read_text(openat(folder, entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), LIST_MAX);
		if (text && (has_line(text, path) || has_line(text, unmerged)))
			found = text_copy(entry->d_name);
		free(text);
	}
	closedir(lists);
	return found;
}

/* The value of a field in a paragraph, or NULL; free() it. */
static char *read_field(const char *paragraph, const char *end, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = paragraph; line && line < end; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, length) && line[length] == ':') {
			const char *value = line + length + 1 + strspn(line + length + 1, " \t");

			return text_format("%.*s", (int)strcspn(value, " \t\n"), value);	/* without "(version)" */
		}
	}
	return NULL;
}

/* The source of a package: by the paragraph that begins with its name. A package with no field has its own name. */
static char *read_source(const char *status, const char *package)
{
	char *wanted = text_format("Package: %s\n", package), *source = NULL;
	const char *at = status;

	while (at && !source && (at = strstr(at, wanted))) {
		const char *end = strstr(at, "\n\n");

		if (at == status || at[-1] == '\n') {
			source = read_field(at, end ? end : at + strlen(at), "Source");
			if (!source)
				source = text_copy(package);
		}
		at++;
	}
	free(wanted);
	return source ? source : text_copy("");
}

static char *ask_dpkg(const struct process_root *root, const char *path)
{
	char *list = find_list(process_root_beside(root, path, DATABASE "/info", O_DIRECTORY), process_root_name(root, path));
	char *status = list ? read_text(process_root_beside(root, path, DATABASE "/status", 0), STATUS_MAX) : NULL;
	char *source;

	if (list)
		list[strcspn(list, ":")] = '\0';
	if (list && strlen(list) > strlen(".list") && !strcmp(list + strlen(list) - strlen(".list"), ".list"))
		list[strlen(list) - strlen(".list")] = '\0';
	source = status ? read_source(status, list) : text_copy("");
	free(status);
	free(list);
	return source;
}

const char *origin_find(struct origins *origins, const struct process_root *root, const char *path)
{
	struct stat about = { 0 };
	struct origin *added;

	(void)fstat(root->directory, &about);
	for (size_t i = 0; i < origins->count; i++)
		if (origins->item[i].device == about.st_dev && origins->item[i].inode == about.st_ino &&
		    !strcmp(origins->item[i].path, path))
			return origins->item[i].source;
	added = array_add(origins);
	*added = (struct origin){ about.st_dev, about.st_ino, text_copy(path), ask_dpkg(root, path) };
	return added->source;
}
