/* package_folder.c: the programs and shared libraries below a folder that packages were unpacked into. */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/package_file.h"

#define CHUNK (64u << 10)
#define DEEPEST 64	/* folders in each other */

/* As much of the file as it takes to know that it is not wanted, or all. */
static enum status take_file(const char *path, const char *inside, struct packages *packages, struct error *error)
{
	static uint8_t chunk[CHUNK];
	struct package_intake intake = { 0 };
	enum status status = STATUS_OK;
	struct stat about;
	ssize_t size = 1;
	int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);

	if (file < 0)
		return fail(error, "%s: %s", path, strerror(errno));
	intake.other = fstat(file, &about) < 0 || !S_ISREG(about.st_mode);
	while (status == STATUS_OK && !intake.other && (size = read(file, chunk, sizeof(chunk))) > 0)
		status = package_intake_add(packages, &intake, chunk, (size_t)size, path, error);
	if (size < 0)
		status = fail(error, "%s: %s", path, strerror(errno));
	close(file);
	if (status == STATUS_OK)
		package_intake_end(packages, &intake, inside, "", "");
	array_free(&intake.bytes);
	return status;
}

enum status package_add_folder(const char *path, struct packages *packages, struct error *error)
{
	char *roots[] = { text_copy(path), NULL };
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	enum status status = tree ? STATUS_OK : fail(error, "%s: %s", path, strerror(errno));
	size_t length = strlen(path);
	FTSENT *entry;

	while (status == STATUS_OK && (entry = fts_read(tree))) {
		if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS)
			status = fail(error, "%s: %s", entry->fts_path, strerror(entry->fts_errno));
		else if (entry->fts_level > DEEPEST)
			status = fail(error, "%s: more than %d folders in each other", path, DEEPEST);
		else if (entry->fts_info == FTS_F)
			status = take_file(entry->fts_path, entry->fts_path + length, packages, error);
	}
	if (tree)
		fts_close(tree);
	free(roots[0]);
	return status;
}
