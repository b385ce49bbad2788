#include "unwind/rows_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "unwind/rows_file.h"

#define SUFFIX ".rows"
#define SUFFIX_TEMPORARY ".new"

/* Room for a build-id in hex, a dot, 16 digits and a suffix. */
#define NAME_SIZE (2 * BUILD_ID_MAX + 32)

/* Only the user that stent runs as can have written it. (Of an access control list the group bits are the upper bound.) */
static bool is_private(const struct stat *file)
{
	return file->st_uid == geteuid() && !(file->st_mode & (S_IWGRP | S_IWOTH));
}

static void make_folders(const char *path)
{
	char *copy = text_copy(path);

	for (char *slash = copy + 1; *copy && (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(copy, 0700);
		*slash = '/';
	}
	mkdir(copy, 0700);
	free(copy);
}

int rows_folder_open(const char *path)
{
	struct stat found;
	int folder;

	make_folders(path);	/* what fails here, also because it exists, is seen by the next line */
	folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0)
		return -1;
	if (fstat(folder, &found) || !is_private(&found)) {
		close(folder);
		return -1;
	}
	return folder;
}

static void name_file(const struct build_id *id, char name[NAME_SIZE])
{
	for (unsigned int i = 0; i < id->size; i++)
		snprintf(name + 2 * i, 3, "%02x", id->bytes[i]);
	snprintf(name + 2 * id->size, sizeof(SUFFIX), "%s", SUFFIX);
}

static bool read_all(int file, uint8_t *bytes, size_t size)
{
	while (size) {
		ssize_t got = read(file, bytes, size);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		bytes += got;
		size -= (size_t)got;
	}
	return true;
}

uint8_t *rows_folder_read(int folder, const struct build_id *id, size_t *size)
{
	char name[NAME_SIZE];
	uint8_t *bytes = NULL;
	struct stat found;
	int file;

	name_file(id, name);
	/* O_NONBLOCK: opening a pipe would wait for its other end. */
	file = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (file < 0)
		return NULL;
	/* No writer changes a file that has its name (rows_folder_write), so its size stays. */
	if (!fstat(file, &found) && S_ISREG(found.st_mode) && is_private(&found) && found.st_size <= (off_t)ROWS_FILE_MAX) {
		*size = (size_t)found.st_size;
		bytes = memory_zeroed(*size, 1);
		if (!read_all(file, bytes, *size)) {
			free(bytes);
			bytes = NULL;
		}
	}
	close(file);
	return bytes;
}

static bool write_all(int file, const uint8_t *bytes, size_t size)
{
	while (size) {
		ssize_t put = write(file, bytes, size);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		bytes += put;
		size -= (size_t)put;
	}
	return true;
}

struct kept {
	char *name;
	struct timespec written;
};

static int compare_kept(const void *one, const void *other)
{
	const struct timespec *a = &((const struct kept *)one)->written, *b = &((const struct kept *)other)->written;

	if (a->tv_sec != b->tv_sec)
		return a->tv_sec < b->tv_sec ? -1 : 1;
	return (a->tv_nsec > b->tv_nsec) - (a->tv_nsec < b->tv_nsec);
}

/* Hex digits, and a suffix of ours: no file of anyone else's is ever deleted. */
static bool is_named_by_us(const char *name)
{
	size_t digits = strspn(name, "0123456789abcdef");

	return digits && (!strcmp(name + digits, SUFFIX) || !strcmp(name + digits, SUFFIX_TEMPORARY));
}

/*
 * Delete the oldest files that are too many. Those that a killed writer has left behind are among them. Another's that is still
 * being written may be too: then it is not kept, which is no error for that one.
 */
static void trim(int folder)
{
	int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = again < 0 ? NULL : fdopendir(again);
	ARRAY(struct kept) files = { 0 };
	struct dirent *found;

	if (!list) {
		if (again >= 0)
			close(again);
		return;
	}
	while ((found = readdir(list))) {
		struct stat status;

		if (is_named_by_us(found->d_name) && !fstatat(folder, found->d_name, &status, AT_SYMLINK_NOFOLLOW))
			*array_add(&files) = (struct kept){ text_copy(found->d_name), status.st_mtim };
	}
	closedir(list);
	if (files.count > ROWS_FOLDER_FILES)
		qsort(files.item, files.count, sizeof(*files.item), compare_kept);
	for (size_t i = 0; i < files.count; i++) {
		if (i + ROWS_FOLDER_FILES < files.count)
			unlinkat(folder, files.item[i].name, 0);
		free(files.item[i].name);
	}
	array_free(&files);
}

/*
 * Readers find the old file or the new one, whole: it gets its name when it is complete. It need not be on the disk by then: what
 * a crash of the machine leaves under the name is refused for its checksum.
 */
bool rows_folder_write(int folder, const struct build_id *id, const uint8_t *bytes, size_t size)
{
	char name[NAME_SIZE], temporary[NAME_SIZE];
	uint64_t number;
	bool done;
	int file;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return false;
	name_file(id, name);
	snprintf(temporary, sizeof(temporary), "%016llx" SUFFIX_TEMPORARY, (unsigned long long)number);
	file = openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (file < 0)
		return false;
	done = write_all(file, bytes, size);
	done = !close(file) && done && !renameat(folder, temporary, folder, name);
	if (!done)
		unlinkat(folder, temporary, 0);
	else
		trim(folder);
	return done;
}
