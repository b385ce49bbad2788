#include "process/root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/memory.h"

static bool is_same_namespace(const struct process *process, const char *task)
{
	char *path = text_format("%s/ns/mnt", task);
	struct stat own, other;
	bool same = stat("/proc/self/ns/mnt", &own) == 0 && fstatat(process->directory, path, &other, 0) == 0 &&
		    own.st_dev == other.st_dev && own.st_ino == other.st_ino;

	free(path);
	return same;
}

enum status process_root_open(const struct process *process, struct process_root *root, struct error *error)
{
	/* The links of the first thread lead nowhere once it has ended. */
	char *task = text_format("task/%d", process_living_task(process)), *path = text_format("%s/root", task);
	char prefix[PATH_MAX];
	ssize_t length = readlinkat(process->directory, path, prefix, sizeof(prefix) - 1);

	*root = (struct process_root){ .directory = -1 };
	if (length > 0) {
		prefix[length] = '\0';
		root->prefix = text_copy(prefix);
		root->directory = openat(process->directory, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		root->same_namespace = is_same_namespace(process, task);
	}
	free(path);
	free(task);
	if (root->directory < 0)
		return fail(error, "process %d (%s): its root directory can't be opened: %s", process->pid, process->comm, strerror(errno));
	return STATUS_OK;
}

void process_root_close(struct process_root *root)
{
	if (root->directory >= 0)
		close(root->directory);
	free(root->prefix);
	*root = (struct process_root){ .directory = -1 };
}

/* The name below the root directory, or NULL: it is outside. */
static const char *name_below(const struct process_root *root, const char *name)
{
	size_t length = strlen(root->prefix);

	if (!strcmp(root->prefix, "/"))
		return name;
	return !strncmp(name, root->prefix, length) && name[length] == '/' ? name + length : NULL;
}

static int open_inside(int directory, const char *name)
{
	/* O_PATH opens nothing: what it is can be asked before a device or a pipe notices. */
	const struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, directory, name, &how, sizeof(how));
}

/* In our own root directory. -1 with errno EXDEV: the process has other files there. */
static int open_outside(const struct process_root *root, const char *name)
{
	int own, found, reason;

	errno = EXDEV;
	if (!root->same_namespace)
		return -1;
	own = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (own < 0)
		return -1;
	found = open_inside(own, name);
	reason = errno;
	close(own);
	errno = reason;
	return found;
}

/* Open for reading what is known to be a regular file. */
static int open_again(int place, const char *name, struct error *error)
{
	struct stat found;
	char *path;
	int file;

	if (fstat(place, &found) < 0 || !S_ISREG(found.st_mode)) {
		(void)fail(error, "%s is not a regular file", name);
		return -1;
	}
	path = text_format("/proc/self/fd/%d", place);
	file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	free(path);
	if (file < 0)
		(void)fail(error, "%s: %s", name, strerror(errno));
	return file;
}

int process_root_file(const struct process_root *root, const char *name, struct error *error)
{
	const char *below = name_below(root, name);
	int place = below ? open_inside(root->directory, below) : open_outside(root, name), file = -1;

	if (place >= 0) {
		file = open_again(place, name, error);
		close(place);
	} else if (errno == EXDEV) {
		(void)fail(error, "%s lies outside of the root directory %s, in another mount namespace", name, root->prefix);
	} else if (errno != ENOENT && errno != ENOTDIR) {
		(void)fail(error, "%s: %s", name, strerror(errno));
	}
	return file;
}

int process_root_beside(const struct process_root *root, const char *name, const char *other, int flags)
{
	int place = name_below(root, name) ? open_inside(root->directory, other) : open_outside(root, other), opened = -1;
	struct stat found;

	if (place >= 0 && fstat(place, &found) == 0 && (flags == O_DIRECTORY ? S_ISDIR(found.st_mode) : S_ISREG(found.st_mode))) {
		char *path = text_format("/proc/self/fd/%d", place);

		opened = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags);
		free(path);
	}
	if (place >= 0)
		close(place);
	return opened;
}

const char *process_root_name(const struct process_root *root, const char *name)
{
	const char *below = name_below(root, name);

	return below ? below : name;
}
