#include "live/successor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "live/successor_cache.h"

#define DELETED " (deleted)"	/* what the kernel adds to the name of a file that has none any more (fs/d_path.c) */

/* A link to the very file, also when no name leads to it any more. Only the folder /proc/TID has it, which is found by a number: what is
 * opened is compared with the memory. free() it. */
static char *map_file(const struct process *process, const struct mapping *mapping)
{
	return text_format("/proc/%d/map_files/%" PRIx64 "-%" PRIx64, process_living_task(process), mapping->range.start,
			   mapping->range.end);
}

static bool is_same_file(const struct stat *one, const struct stat *other)
{
	return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

static bool is_unchanged(const struct stat *one, const struct stat *other)
{
	return is_same_file(one, other) && one->st_size == other->st_size &&
	       one->st_mtim.tv_sec == other->st_mtim.tv_sec && one->st_mtim.tv_nsec == other->st_mtim.tv_nsec &&
	       one->st_ctim.tv_sec == other->st_ctim.tv_sec && one->st_ctim.tv_nsec == other->st_ctim.tv_nsec;
}

/* Valid until the next call. */
static struct known_file *get_known(struct known_files *known, int file)
{
	struct known_file *added;
	struct stat about;

	if (fstat(file, &about) < 0)
		about = (struct stat){ 0 };
	for (size_t i = 0; i < known->count; i++)
		if (is_unchanged(&known->item[i].about, &about))
			return &known->item[i];
	added = array_add(known);
	*added = (struct known_file){ .about = about };
	build_id_read(file, &added->id);	/* an empty one says that it has none */
	return added;
}

enum status known_files_digest(struct known_files *known, int file, const char *name, struct rows_digest *digest, struct error *error)
{
	struct known_file *found = get_known(known, file);
	enum status status = STATUS_OK;
	struct image image;

	if (!found->digested) {
		status = image_open_file(file, name, &image, error);
		if (status == STATUS_OK) {
			found->digest = rows_file_digest(image.file, image.file_size);
			found->digested = true;
		}
		image_close(&image);
	}
	*digest = found->digest;
	return status;
}

int successor_open_mapped(const struct survey *survey, const struct mapped_image *mapped, struct error *error)
{
	const struct process *process = survey->process;
	const struct mapping *mapping = maps_find(&survey->maps, mapped->span.start);
	struct build_id id;
	char *path;
	int file;

	if (!mapping || !mapping->inode) {
		(void)fail(error, "process %d (%s): %s is not mapped from a file", process->pid, process->comm, mapped->name);
		return -1;
	}
	path = map_file(process, mapping);
	file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	free(path);
	if (file < 0) {
		(void)fail(error, "process %d (%s): the file that %s is mapped from can't be opened: %s", process->pid, process->comm,
			   mapped->name, strerror(errno));
	} else if (!build_id_read(file, &id) || !build_id_equal(&id, &mapped->id)) {
		(void)fail(error, "process %d (%s): the file that %s is mapped from has been overwritten: it is another build than memory has",
			   process->pid, process->comm, mapped->name);
		close(file);
		file = -1;
	}
	return file;
}

/* Is a file of that name another build? */
static enum successor_kind look_at(const struct process_root *root, const char *path, const struct mapped_image *mapped,
				   struct known_files *known, struct successor *successor, struct error *error)
{
	struct error why = { 0 };
	int file = process_root_file(root, path, &why);
	const struct known_file *found;
	enum successor_kind kind;

	if (file < 0) {
		kind = why.text ? SUCCESSOR_UNKNOWN : SUCCESSOR_NONE;
		if (why.text)
			(void)fail(error, "%s", why.text);
		error_clear(&why);
		return kind;
	}
	found = get_known(known, file);
	if (found->id.size && build_id_equal(&found->id, &mapped->id)) {
		close(file);
		return SUCCESSOR_SAME;
	}
	successor->file = file;
	successor->id = found->id;
	return SUCCESSOR_NEW;
}

/* The soname of the image that is mapped, or NULL: it has none. free() it. */
static char *read_soname(const struct survey *survey, const struct mapped_image *mapped, const struct arch **arch)
{
	struct error unused = { 0 };
	int file = successor_open_mapped(survey, mapped, &unused);
	struct image image = { 0 };
	char *soname = NULL;

	if (file >= 0 && image_open_file(file, "", &image, &unused) == STATUS_OK && image.library && *image.name && !strchr(image.name, '/')) {
		soname = text_copy(image.name);
		*arch = image.arch;
	}
	image_close(&image);
	if (file >= 0)
		close(file);
	error_clear(&unused);
	return soname;
}

static bool is_other_build(const struct process_root *root, const char *path, const struct mapped_image *mapped, struct known_files *known)
{
	struct error unused = { 0 };
	int file = process_root_file(root, path, &unused);
	bool other = file >= 0 && !build_id_equal(&get_known(known, file)->id, &mapped->id);

	if (file >= 0)
		close(file);
	error_clear(&unused);
	return other;
}

/* Of "libx-1.2.so" nothing tells the soname but the file, which is read once. */
static bool has_other_soname(const struct process_root *root, const char *path, const struct mapped_image *mapped, struct known_files *known)
{
	const char *slash = strrchr(path, '/');
	struct error unused = { 0 };
	int file = process_root_file(root, path, &unused);
	struct known_file *found = file >= 0 ? get_known(known, file) : NULL;
	struct image image = { 0 };
	char *link;
	bool other;

	if (found && !found->named) {
		found->named = true;
		if (image_open_file(file, "", &image, &unused) == STATUS_OK && image.library && !strchr(image.name, '/') &&
		    strlen(image.name) < sizeof(found->soname))
			memcpy(found->soname, image.name, strlen(image.name) + 1);
		image_close(&image);
	}
	link = text_format("%.*s/%s", (int)(slash - path), path, found ? found->soname : "");
	other = found && *found->soname && strcmp(found->soname, slash + 1) != 0 && is_other_build(root, link, mapped, known);
	free(link);
	if (file >= 0)
		close(file);
	error_clear(&unused);
	return other;
}

/*
 * A library whose file name has its version in it, "libx.so.1.2", is found by a link that has its soname, "libx.so.1". Does one of the links
 * that there may be lead to another build? (To read the soname costs much more than to see that none does.)
 */
static bool has_other_link(const struct process_root *root, const char *path, const struct mapped_image *mapped, struct known_files *known)
{
	char *name = text_copy(path), *slash = strrchr(name, '/'), *version = slash ? strstr(slash, ".so.") : NULL, *dot;
	size_t length = strlen(name);
	bool other = false;

	while (!other && version && (dot = strrchr(version + strlen(".so."), '.'))) {
		*dot = '\0';
		other = is_other_build(root, name, mapped, known);
	}
	if (slash && !version && length > strlen(".so") && !strcmp(name + length - strlen(".so"), ".so") && slash[strcspn(slash, "0123456789")])
		other = has_other_soname(root, path, mapped, known);
	free(name);
	return other;
}

static enum successor_kind look_at_path(const struct process_root *root, char *path, const struct mapped_image *mapped,
					struct known_files *known, struct successor *successor, struct error *error)
{
	enum successor_kind kind = look_at(root, path, mapped, known, successor, error);

	if (kind == SUCCESSOR_NEW) {
		free(successor->path);
		successor->path = path;
		path = NULL;
	}
	free(path);
	return kind;
}

/* In the folder of the file that is mapped; or, where that has gone, in another one that the dynamic linker finds libraries in as well. */
static enum successor_kind look_at_soname(const struct survey *survey, const struct process_root *root, const struct mapped_image *mapped,
					  struct known_files *known, struct successor *successor, struct error *error)
{
	const char *slash = strrchr(successor->path, '/');
	const struct arch *arch = NULL;
	char *soname = slash ? read_soname(survey, mapped, &arch) : NULL, *path;
	enum successor_kind kind = SUCCESSOR_NONE;

	if (soname && strcmp(soname, slash + 1) != 0)
		kind = look_at_path(root, text_format("%.*s/%s", (int)(slash - successor->path), successor->path, soname), mapped, known,
				    successor, error);
	path = soname && successor->deleted && kind == SUCCESSOR_NONE ? successor_in_cache(root, successor->path, soname, arch) : NULL;
	if (path)
		kind = look_at_path(root, path, mapped, known, successor, error);
	free(soname);
	return kind;
}

static bool is_mapped_file(const struct survey *survey, const struct mapping *mapping, int file)
{
	char *path = map_file(survey->process, mapping);
	struct stat mapped, found;
	bool same = stat(path, &mapped) == 0 && fstat(file, &found) == 0 && is_same_file(&mapped, &found);

	free(path);
	return same;
}

enum successor_kind successor_find(const struct survey *survey, const struct process_root *root, const struct mapped_image *mapped,
				   struct known_files *known, struct successor *successor, struct error *error)
{
	const struct mapping *mapping = maps_find(&survey->maps, mapped->span.start);
	size_t length;
	enum successor_kind kind;

	*successor = (struct successor){ .file = -1 };
	if (!mapping || !mapping->inode)
		return SUCCESSOR_SAME;	/* the kernel's (vdso) */
	successor->path = text_copy(mapping->name);
	length = strlen(successor->path);
	successor->deleted = length > strlen(DELETED) && !strcmp(successor->path + length - strlen(DELETED), DELETED);
	kind = look_at(root, successor->path, mapped, known, successor, error);
	if (kind == SUCCESSOR_NONE && successor->deleted) {
		successor->path[length - strlen(DELETED)] = '\0';
		kind = look_at(root, successor->path, mapped, known, successor, error);
	}
	if (kind == SUCCESSOR_NEW && (!mapped->id.size || !successor->id.size)) {
		const char *which = mapped->id.size ? successor->path : mapped->name;

		if (is_mapped_file(survey, mapping, successor->file)) {
			kind = SUCCESSOR_SAME;
		} else {
			(void)fail(error, "%s has no build-id", which);
			kind = SUCCESSOR_UNKNOWN;
		}
	}
	if (mapped->id.size && (kind == SUCCESSOR_NONE || (kind == SUCCESSOR_SAME && has_other_link(root, successor->path, mapped, known)))) {
		enum successor_kind other = look_at_soname(survey, root, mapped, known, successor, error);

		kind = other == SUCCESSOR_NONE ? kind : other;
	}
	return kind;
}

void successor_close(struct successor *successor)
{
	if (successor->file >= 0)
		close(successor->file);
	free(successor->path);
	*successor = (struct successor){ .file = -1 };
}
