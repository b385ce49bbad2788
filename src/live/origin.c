#include "live/origin.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATABASE "/var/lib/dpkg"
#define LIST_MAX (16u << 20)	/* bytes of one package's list of files; the largest have one */
#define STATUS_MAX (128u << 20)	/* of what is known of all packages: some kilobytes for each */
#define LOG_MAX (64u << 20)	/* and of what was done in a month */

/* The whole file as text with a NUL behind it, closed then; free() it. NULL: unreadable, or larger. `about`: of the file, or NULL. */
static char *read_text(int file, size_t most, struct stat *about)
{
	struct stat unwanted;
	char *text = NULL;

	if (file < 0)
		return NULL;
	if (!about)
		about = &unwanted;
	if (fstat(file, about) == 0 && S_ISREG(about->st_mode) && (uint64_t)about->st_size <= most) {
		text = memory_zeroed((size_t)about->st_size + 1, 1);
		if (read(file, text, (size_t)about->st_size) != about->st_size) {
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
		text = read_text(openat(folder, entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), LIST_MAX, NULL);
		if (text && (has_line(text, path) || has_line(text, unmerged)))
			found = text_copy(entry->d_name);
		free(text);
	}
	closedir(lists);
	return found;
}

/* The value of a field in the paragraph that ends there, or NULL: there is none. */
static const char *find_field(const char *paragraph, const char *end, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = paragraph; line && line < end; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, length) && line[length] == ':')
			return line + length + 1 + strspn(line + length + 1, " \t");
	}
	return NULL;
}

/* Its first word: of a source, without "(version)". "" for no field; free() it. */
static char *read_word(const char *value)
{
	return text_format("%.*s", value ? (int)strcspn(value, " \t\n") : 0, value ? value : "");
}

/* All files of the package are those of its version: of the third word, dpkg(1). */
static bool is_unpacked(const char *value)
{
	static const char *const states[] = { "unpacked", "half-configured", "triggers-awaited", "triggers-pending", "installed" };
	char *line = text_format("%.*s", value ? (int)strcspn(value, "\n") : 0, value ? value : "");
	const char *state = strrchr(line, ' ');
	bool is = false;

	for (size_t i = 0; state && i < sizeof(states) / sizeof(*states); i++)
		is |= !strcmp(state + 1, states[i]);
	free(line);
	return is;
}

/* The paragraph, which begins with its name, of "NAME" or "NAME:ARCHITECTURE"; *end is where it ends. NULL: there is none. */
static const char *find_paragraph(const char *status, const char *package, const char **end)
{
	const char *wanted = strchr(package, ':');
	char *first = text_format("Package: %.*s\n", (int)strcspn(package, ":"), package);
	const char *at = status, *found = NULL;

	while (at && !found && (at = strstr(at, first))) {
		const char *blank = strstr(at, "\n\n");
		char *architecture;

		*end = blank ? blank : at + strlen(at);
		architecture = read_word(find_field(at, *end, "Architecture"));
		if ((at == status || at[-1] == '\n') && (!wanted || !strcmp(architecture, wanted + 1)))
			found = at;
		free(architecture);
		at++;
	}
	free(first);
	return found;
}

/* The newest two; older ones are compressed (logrotate(8)). */
static void read_logs(const struct process_root *root, const char *path, const char *package, struct origin_upgrades *upgrades)
{
	static const char *const logs[] = { "/var/log/dpkg.log.1", "/var/log/dpkg.log" };

	for (size_t i = 0; i < sizeof(logs) / sizeof(*logs); i++) {
		struct stat about;
		char *text = read_text(process_root_beside(root, path, logs[i], 0), LOG_MAX, &about);

		if (text)
			origin_log_read(text, about.st_mtim.tv_sec, package, upgrades);
		free(text);
	}
}

/* A package whose name says no architecture has the one that its paragraph says; the log always says it. */
static void read_versions(const struct process_root *root, const char *paragraph, const char *end, struct origin *origin)
{
	char *version = read_word(find_field(paragraph, end, "Version")), *name, *architecture, *package;

	if (!is_unpacked(find_field(paragraph, end, "Status")) || !origin_is_version(version, strlen(version))) {
		free(version);
		return;
	}
	free(origin->version);
	origin->version = version;
	name = read_word(find_field(paragraph, end, "Package"));
	architecture = read_word(find_field(paragraph, end, "Architecture"));
	package = text_format("%s:%s", name, architecture);
	read_logs(root, origin->path, package, &origin->upgrades);
	free(package);
	free(architecture);
	free(name);
}

static void ask_dpkg(const struct process_root *root, struct origin *origin)
{
	const char *path = origin->path, *paragraph, *end;
	char *package = find_list(process_root_beside(root, path, DATABASE "/info", O_DIRECTORY), process_root_name(root, path));
	char *status = package ? read_text(process_root_beside(root, path, DATABASE "/status", 0), STATUS_MAX, NULL) : NULL;

	if (package)
		package[strlen(package) - strlen(".list")] = '\0';
	paragraph = status ? find_paragraph(status, package, &end) : NULL;
	if (paragraph) {
		const char *source = find_field(paragraph, end, "Source");

		free(origin->source);
		origin->source = read_word(source ? source : find_field(paragraph, end, "Package"));
		read_versions(root, paragraph, end, origin);
	}
	free(status);
	free(package);
}

const struct origin *origin_find(struct origins *origins, const struct process_root *root, const char *path)
{
	struct stat about = { 0 };
	struct origin *added;

	(void)fstat(root->directory, &about);
	for (size_t i = 0; i < origins->count; i++)
		if (origins->item[i].device == about.st_dev && origins->item[i].inode == about.st_ino &&
		    !strcmp(origins->item[i].path, path))
			return &origins->item[i];
	added = array_add(origins);
	*added = (struct origin){
		.device = about.st_dev,
		.inode = about.st_ino,
		.path = text_copy(path),
		.source = text_copy(""),
		.version = text_copy(""),
	};
	ask_dpkg(root, added);
	return added;
}

const char *origin_earlier_version(const struct origin *origin, const struct stat *earlier)
{
	/* The kernel notes in ctime when a name goes. (Of a file in a lower layer of an overlay the name stays there.) */
	return earlier->st_nlink ? NULL : origin_log_replaced(&origin->upgrades, earlier->st_ctim.tv_sec);
}
