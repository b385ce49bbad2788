#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "patch/file.h"
#include "patch/file_open.h"

/* All of it is asked of the open descriptor: a name could lead elsewhere the next time. */
static enum status check_owner(int fd, const char *path, uid_t owner, struct error *error)
{
	struct stat about;

	if (fstat(fd, &about))
		return fail(error, "%s: cannot read: %s", path, strerror(errno));
	if (about.st_uid != 0 && about.st_uid != owner)
		return refuse(error, "%s: belongs to user %u, who is not trusted", path, about.st_uid);
	/* (Of an access control list the group bits are the upper bound.) */
	if (about.st_mode & (S_IWGRP | S_IWOTH))
		return refuse(error, "%s: others than its owner may write to it", path);
	return STATUS_OK;
}

static enum status cannot_open(const char *path, struct error *error)
{
	if (errno == ENOENT)
		return error_add(error, STATUS_NOTHING, "%s: there is no such file or folder", path);
	if (errno == ELOOP)
		return refuse(error, "%s: is a symbolic link", path);
	return fail(error, "%s: cannot open: %s", path, strerror(errno));
}

enum status trusted_folder_open(const char *path, uid_t owner, int *folder, struct error *error)
{
	enum status status;

	*folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*folder < 0)
		return cannot_open(path, error);
	status = check_owner(*folder, path, owner, error);
	if (status) {
		close(*folder);
		*folder = -1;
	}
	return status;
}

enum status trusted_file_read(int folder, const char *path, const char *name, uid_t owner, uint64_t limit, uint8_t **bytes,
			      size_t *size, struct error *error)
{
	int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char *whole = text_format("%s/%s", path, name);
	enum status status;

	*bytes = NULL;
	*size = 0;
	status = fd < 0 ? cannot_open(whole, error) : check_owner(fd, whole, owner, error);
	if (!status)
		status = file_read_open(fd, whole, limit, bytes, size, error);
	if (fd >= 0)
		close(fd);
	free(whole);
	return status;
}
