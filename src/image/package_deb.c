/*
 * package_deb.c: a .deb (deb(5)) is an ar archive of "debian-binary", "control.tar*" and "data.tar*", in this order, and
 * libarchive reads both kinds. The inner archive is read out of the outer one as it goes, so nothing is unpacked but what is kept.
 */
#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

#include "image/package_file.h"

#define CONTROL_MAX (1u << 20)	/* bytes of the control file */
#define ENTRIES_MAX 1000000u	/* of one tar archive */
#define CHUNK (64u << 10)

struct deb {
	const char *name;		/* for messages */
	struct archive *outer;
	struct packages *packages;
	struct error *error;
	char *source, *version;		/* from the control file; owned */
	uint8_t chunk[CHUNK];		/* of the inner archive, compressed */
};

static enum status damaged(const struct deb *deb, struct archive *archive)
{
	const char *why = archive ? archive_error_string(archive) : NULL;

	return fail(deb->error, "%s: not a .deb that can be read: %s", deb->name, why ? why : "it is damaged");
}

/* More of the inner archive (archive_read_open(3)). */
static la_ssize_t read_inner(struct archive *inner, void *context, const void **bytes)
{
	struct deb *deb = context;
	la_ssize_t size = archive_read_data(deb->outer, deb->chunk, sizeof(deb->chunk));

	if (size < 0)
		archive_set_error(inner, archive_errno(deb->outer), "%s", archive_error_string(deb->outer));
	*bytes = deb->chunk;
	return size < 0 ? ARCHIVE_FATAL : size;
}

/* Only what libarchive decompresses by itself: for the rest it would start programs, and says so by ARCHIVE_WARN. */
static bool support_tar(struct archive *inner)
{
	return archive_read_support_filter_gzip(inner) == ARCHIVE_OK && archive_read_support_filter_xz(inner) == ARCHIVE_OK &&
	       archive_read_support_filter_zstd(inner) == ARCHIVE_OK && archive_read_support_filter_bzip2(inner) == ARCHIVE_OK &&
	       archive_read_support_format_tar(inner) == ARCHIVE_OK;
}

/* All bytes of the current file. A hole is no bytes: an ELF file has none, and anything else is not kept. */
static enum status take_file(const struct deb *deb, struct archive *inner, struct package_intake *intake)
{
	enum status status = STATUS_OK;
	la_int64_t offset, expected = 0;
	const void *bytes;
	size_t size;
	int result;

	while (status == STATUS_OK && (result = archive_read_data_block(inner, &bytes, &size, &offset)) != ARCHIVE_EOF) {
		if (result != ARCHIVE_OK)
			return damaged(deb, inner);
		intake->other |= offset != expected;
		expected = offset + (la_int64_t)size;
		status = package_intake_add(deb->packages, intake, bytes, size, deb->name, deb->error);
	}
	return status;
}

/* The value of a field of the control file (deb-control(5)) that is a word; "" when there is none. free() it. */
static char *control_field(const char *control, const char *field)
{
	size_t length = strlen(field);

	for (const char *line = control; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, field, length)) {
			line += length + strspn(line + length, " \t");
			return text_format("%.*s", (int)strcspn(line, " \t\n"), line);
		}
	}
	return text_copy("");
}

/* The letters of versions (deb-version(7)) have those of names (deb-control(5)) among them. */
static bool word_valid(const char *word)
{
	size_t length = strlen(word);

	return length && length < 200 &&
	       strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-:~") == length;
}

/* Only where it differs from the package does a package name its source. */
static void read_names(struct deb *deb, const char *control)
{
	deb->version = control_field(control, "Version:");
	deb->source = control_field(control, "Source:");
	if (!*deb->source) {
		free(deb->source);
		deb->source = control_field(control, "Package:");
	}
}

static bool path_is(const char *path, const char *name)
{
	return path && !strcmp(path + (strncmp(path, "./", 2) ? 0 : 2), name);
}

/* One file of control.tar. */
static enum status take_control(struct deb *deb, struct archive *inner, const char *path)
{
	char *text;
	la_ssize_t size;

	if (!path_is(path, "control") || deb->version)
		return STATUS_OK;
	text = memory_zeroed(CONTROL_MAX + 1, 1);
	size = archive_read_data(inner, text, CONTROL_MAX);
	if (size >= 0)
		read_names(deb, text);
	free(text);
	if (size < 0)
		return damaged(deb, inner);
	if (!word_valid(deb->version) || !word_valid(deb->source))
		return fail(deb->error, "%s: its control file gives no name or no version", deb->name);
	return STATUS_OK;
}

/* One file of data.tar. */
static enum status take_data(struct deb *deb, struct archive *inner, struct archive_entry *entry, const char *path)
{
	struct package_intake intake = { .other = !path || archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) };
	enum status status = take_file(deb, inner, &intake);

	if (status == STATUS_OK)
		package_intake_end(deb->packages, &intake, path, deb->source, deb->version);
	array_free(&intake.bytes);
	return status;
}

static enum status read_entries(struct deb *deb, struct archive *inner, bool control)
{
	enum status status = STATUS_OK;
	struct archive_entry *entry;
	int result;

	for (unsigned int i = 0; status == STATUS_OK; i++) {
		const char *path;

		result = archive_read_next_header(inner, &entry);
		if (result == ARCHIVE_EOF)
			break;
		/* A warning is about a name that this locale can't show. */
		if ((result != ARCHIVE_OK && result != ARCHIVE_WARN) || i == ENTRIES_MAX)
			return damaged(deb, inner);
		path = archive_entry_pathname(entry);
		status = control ? take_control(deb, inner, path) : take_data(deb, inner, entry, path);
	}
	return status;
}

/* A tar archive is a member of the .deb, which deb->outer stands at. */
static enum status read_tar(struct deb *deb, bool control)
{
	struct archive *inner = archive_read_new();
	enum status status;

	if (!inner || !support_tar(inner))
		status = fail(deb->error, "%s: this libarchive can't read what packages are made of", deb->name);
	else if (archive_read_open(inner, deb, NULL, read_inner, NULL) != ARCHIVE_OK)
		status = damaged(deb, inner);
	else
		status = read_entries(deb, inner, control);
	if (inner)
		archive_read_free(inner);
	return status;
}

/* The members in their order. dpkg takes those whose names begin with an underscore for extensions, at the end only. */
static enum status read_members(struct deb *deb)
{
	enum status status = STATUS_OK;
	struct archive_entry *entry;
	char format[4] = "";

	if (archive_read_next_header(deb->outer, &entry) != ARCHIVE_OK)
		return damaged(deb, deb->outer);
	if (!path_is(archive_entry_pathname(entry), "debian-binary") ||
	    archive_read_data(deb->outer, format, 2) != 2 || memcmp(format, "2.", 2) != 0)
		return fail(deb->error, "%s: not a Debian package of format 2", deb->name);
	while (status == STATUS_OK && archive_read_next_header(deb->outer, &entry) == ARCHIVE_OK) {
		const char *name = archive_entry_pathname(entry);

		if (name && !strncmp(name, "control.tar", 11) && !deb->version)
			status = read_tar(deb, true);
		else if (name && !strncmp(name, "data.tar", 8) && deb->version)
			return read_tar(deb, false);
	}
	return status != STATUS_OK ? status : fail(deb->error, "%s: not a whole Debian package: control file and data are not both there", deb->name);
}

/* `outer` is open, or not, as `opened` says; it is freed. NULL: there was no memory for it. */
static enum status add_deb(const char *name, struct archive *outer, int opened, struct packages *packages, struct error *error)
{
	struct deb *deb = memory_zeroed(1, sizeof(*deb));
	enum status status;

	*deb = (struct deb){ .name = name, .packages = packages, .error = error, .outer = outer };
	status = opened == ARCHIVE_OK ? read_members(deb) : damaged(deb, outer);
	archive_read_free(outer);
	free(deb->source);
	free(deb->version);
	free(deb);
	return status;
}

static struct archive *new_outer(void)
{
	struct archive *outer = archive_read_new();

	if (outer && archive_read_support_format_ar(outer) == ARCHIVE_OK)
		return outer;
	archive_read_free(outer);
	return NULL;
}

enum status package_add_deb(const char *name, int file, struct packages *packages, struct error *error)
{
	struct archive *outer = new_outer();

	return add_deb(name, outer, outer ? archive_read_open_fd(outer, file, CHUNK) : ARCHIVE_FATAL, packages, error);
}

enum status packages_add_bytes(const char *name, const uint8_t *bytes, size_t size, struct packages *packages, struct error *error)
{
	struct archive *outer = new_outer();

	return add_deb(name, outer, outer ? archive_read_open_memory(outer, bytes, size) : ARCHIVE_FATAL, packages, error);
}
