#include "image/package.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "image/package_file.h"

#define DEB_START "!<arch>\ndebian-binary"	/* deb(5) */
#define PATH_LENGTH_MAX 4096

/* Could this be the start of an executable or shared object? As long as that is not to be seen, yes. */
static bool may_be_wanted(const struct buffer *bytes)
{
	uint16_t type;

	if (bytes->count < offsetof(Elf64_Ehdr, e_machine))
		return true;
	type = load16(bytes->item + offsetof(Elf64_Ehdr, e_type));
	return !memcmp(bytes->item, ELFMAG, SELFMAG) && (type == ET_EXEC || type == ET_DYN);
}

enum status package_intake_add(struct packages *packages, struct package_intake *intake, const void *bytes, size_t size,
			       const char *name, struct error *error)
{
	packages->total += size;
	if (packages->total > PACKAGES_TOTAL_MAX)
		return fail(error, "%s: unpacks to more than %lu MiB", name, PACKAGES_TOTAL_MAX >> 20);
	if (intake->other)
		return STATUS_OK;
	if (size > PACKAGES_ELF_MAX - packages->elf_total - intake->bytes.count)
		return fail(error, "%s: programs and libraries of more than %lu MiB", name, PACKAGES_ELF_MAX >> 20);
	buffer_append(&intake->bytes, bytes, size);
	intake->other = !may_be_wanted(&intake->bytes);
	if (intake->other)
		array_free(&intake->bytes);
	return STATUS_OK;
}

/* "./usr//lib/x" is "usr/lib/x". free() it. */
static char *plain_path(const char *path)
{
	char *plain = text_copy(path), *to = plain;

	while (*path) {
		bool starts = to == plain || to[-1] == '/';

		if (starts && *path == '/')
			path++;
		else if (starts && path[0] == '.' && path[1] == '/')
			path += 2;
		else
			*to++ = *path++;
	}
	*to = '\0';
	return plain;
}

void package_intake_end(struct packages *packages, struct package_intake *intake, const char *path, const char *source,
			const char *version)
{
	char *plain;

	if (intake->other || intake->bytes.count < sizeof(Elf64_Ehdr) || strlen(path) > PATH_LENGTH_MAX)
		return;
	plain = plain_path(path);
	if (!*plain || !strncmp(plain, "usr/lib/debug/", strlen("usr/lib/debug/"))) {
		free(plain);
		return;
	}
	packages->elf_total += intake->bytes.count;
	*array_add(&packages->files) = (struct package_file){
		.path = plain,
		.source = text_copy(source),
		.version = text_copy(version),
		.bytes = memory_resize(intake->bytes.item, intake->bytes.count, 1),
		.size = intake->bytes.count,
	};
	intake->bytes = (struct buffer){ 0 };
}

static bool begins_like_deb(int file)
{
	char start[sizeof(DEB_START) - 1];

	return pread(file, start, sizeof(start), 0) == (ssize_t)sizeof(start) && !memcmp(start, DEB_START, sizeof(start));
}

/* Non-blocking, so that a named pipe is not waited for. -1: can't be opened. */
static int open_path(const char *path, struct stat *about)
{
	int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (file >= 0 && fstat(file, about) == 0)
		return file;
	if (file >= 0)
		close(file);
	return -1;
}

bool packages_expected(const char *path)
{
	struct stat about;
	int file = open_path(path, &about);
	bool expected = file >= 0 && (S_ISDIR(about.st_mode) || (S_ISREG(about.st_mode) && begins_like_deb(file)));

	if (file >= 0)
		close(file);
	return expected;
}

static enum status add_deb(const char *path, struct packages *packages, struct error *error)
{
	struct stat about;
	int file = open_path(path, &about);
	enum status status;

	if (file < 0)
		return fail(error, "%s: %s", path, strerror(errno));
	if (S_ISREG(about.st_mode))
		status = package_add_deb(path, file, packages, error);
	else
		status = fail(error, "%s: not a regular file", path);
	close(file);
	return status;
}

static int is_deb(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return length > 4 && !strcmp(entry->d_name + length - 4, ".deb");
}

static enum status add_folder(const char *path, struct packages *packages, struct error *error)
{
	struct dirent **debs;
	int count = scandir(path, &debs, is_deb, alphasort);
	enum status status = STATUS_OK;

	if (count < 0)
		return fail(error, "%s: %s", path, strerror(errno));
	for (int i = 0; i < count; i++) {
		char *deb = text_format("%s/%s", path, debs[i]->d_name);

		if (status == STATUS_OK)
			status = add_deb(deb, packages, error);
		free(deb);
		free(debs[i]);
	}
	free(debs);
	return count ? status : package_add_folder(path, packages, error);
}

static int compare_paths(const void *one, const void *other)
{
	return strcmp(((const struct package_file *)one)->path, ((const struct package_file *)other)->path);
}

static enum status sort(const char *path, struct packages *packages, struct error *error)
{
	const struct package_file *files = packages->files.item;

	if (!packages->files.count)
		return fail(error, "%s: holds no program and no shared library", path);
	qsort(packages->files.item, packages->files.count, sizeof(*packages->files.item), compare_paths);
	for (size_t i = 1; i < packages->files.count; i++)
		if (!strcmp(files[i - 1].path, files[i].path))
			return fail(error, "%s: holds %s twice", path, files[i].path);
	return STATUS_OK;
}

enum status packages_read(const char *path, struct packages *packages, struct error *error)
{
	struct stat about;
	enum status status;

	*packages = (struct packages){ 0 };
	if (stat(path, &about) < 0)
		return fail(error, "%s: %s", path, strerror(errno));
	status = (S_ISDIR(about.st_mode) ? add_folder : add_deb)(path, packages, error);
	return status == STATUS_OK ? sort(path, packages, error) : status;
}

void packages_free(struct packages *packages)
{
	for (size_t i = 0; i < packages->files.count; i++) {
		free(packages->files.item[i].path);
		free(packages->files.item[i].source);
		free(packages->files.item[i].version);
		free(packages->files.item[i].bytes);
	}
	array_free(&packages->files);
}
