/*
 * file.c: files on disk: patches, signatures, keys.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "patch/bundle.h"
#include "patch/file.h"
#include "patch/file_open.h"

/* Nothing real comes near; it keeps every 32-bit count and offset of the format from wrapping (each thing that is
 * counted takes a byte at least), and a wrong file name from filling the memory. */
#define FILE_SIZE_MAX (UINT64_C(1) << 30)

static enum status write_all(int fd, const uint8_t *bytes, size_t size)
{
	while (size) {
		ssize_t written = write(fd, bytes, size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return STATUS_ERROR;
		bytes += written;
		size -= (size_t)written;
	}
	return STATUS_OK;
}

static enum status read_all(int fd, uint8_t *bytes, size_t size, size_t *got)
{
	*got = 0;
	while (*got < size) {
		ssize_t count = read(fd, bytes + *got, size - *got);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return STATUS_ERROR;
		if (!count)
			break;
		*got += (size_t)count;
	}
	return STATUS_OK;
}

/* The rename is only as durable as the folder's entry. File systems that cannot sync a folder say EINVAL. */
static enum status sync_folder(const char *path)
{
	char *copy = text_copy(path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum status status = STATUS_ERROR;

	free(copy);
	if (fd < 0)
		return STATUS_ERROR;
	if (!fsync(fd) || errno == EINVAL)
		status = STATUS_OK;
	close(fd);
	return status;
}

/*
 * First a new file beside the old one, on the disk with all its bytes; then the rename. Killed at any time, this
 * leaves the old file or the new one under `path`, and at worst a temporary file, which nothing reads.
 */
static enum status replace_file(const char *path, const char *temporary, const uint8_t *bytes, size_t size)
{
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd < 0)
		return STATUS_ERROR;
	if (write_all(fd, bytes, size) || fsync(fd)) {
		int reason = errno;

		close(fd);
		unlink(temporary);
		errno = reason;
		return STATUS_ERROR;
	}
	/* Network file systems report a failed write here. */
	if (close(fd) || rename(temporary, path)) {
		int reason = errno;

		unlink(temporary);
		errno = reason;
		return STATUS_ERROR;
	}
	return sync_folder(path);
}

enum status file_write(const char *path, const uint8_t *bytes, size_t size, struct error *error)
{
	char *temporary = text_format("%s.new.%d", path, (int)getpid());
	enum status status = STATUS_OK;

	if (replace_file(path, temporary, bytes, size))
		status = fail(error, "%s: cannot write: %s", path, strerror(errno));
	free(temporary);
	return status;
}

enum status bundle_write(const struct bundle *bundle, const char *path, struct error *error)
{
	struct error reason = { 0 };
	enum status status = bundle_verify(bundle, &reason);
	uint8_t *bytes;
	size_t size;

	if (status) {
		error_add(error, status, "%s: not written: %s", path, reason.text);
		error_clear(&reason);
		return status;
	}
	bytes = bundle_encode(bundle, &size);
	if (size > FILE_SIZE_MAX)
		status = fail(error, "%s: not written: %zu bytes are too long for a patch", path, size);
	else
		status = file_write(path, bytes, size, error);
	free(bytes);
	return status;
}

enum status file_read_open(int fd, const char *path, uint64_t limit, uint8_t **bytes, size_t *size, struct error *error)
{
	struct stat about;

	if (fstat(fd, &about))
		return fail(error, "%s: cannot read: %s", path, strerror(errno));
	if (!S_ISREG(about.st_mode) || (uint64_t)about.st_size > limit)
		return fail(error, "%s: not a regular file of at most %ju %s", path, limit >> 20 ? (uintmax_t)limit >> 20 : (uintmax_t)limit,
			    limit >> 20 ? "MiB" : "bytes");
	*bytes = memory_zeroed((size_t)about.st_size + 1, 1);
	if (read_all(fd, *bytes, (size_t)about.st_size, size))
		return fail(error, "%s: cannot read: %s", path, strerror(errno));
	return STATUS_OK;
}

/* Non-blocking, so that a named pipe is reported and not waited for. */
enum status file_read(const char *path, uint64_t limit, uint8_t **bytes, size_t *size, struct error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	enum status status;

	*bytes = NULL;
	*size = 0;
	if (fd < 0)
		return fail(error, "%s: cannot open: %s", path, strerror(errno));
	status = file_read_open(fd, path, limit, bytes, size, error);
	close(fd);
	return status;
}

enum status bundle_read_checked(const char *path, bundle_check *check, void *context, struct bundle *bundle, struct error *error)
{
	struct error reason = { 0 };
	uint8_t *bytes;
	size_t size;
	enum status status;

	*bundle = (struct bundle){ 0 };
	status = file_read(path, FILE_SIZE_MAX, &bytes, &size, error);
	if (!status && check)
		status = check(context, bytes, size, error);
	if (!status) {
		status = bundle_parse(bytes, size, bundle, &reason);
		if (status)
			error_add(error, status, "%s: %s", path, reason.text);
	}
	error_clear(&reason);
	free(bytes);
	return status;
}

enum status bundle_read(const char *path, struct bundle *bundle, struct error *error)
{
	return bundle_read_checked(path, NULL, NULL, bundle, error);
}
