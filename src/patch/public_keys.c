#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "patch/file.h"
#include "patch/signature_format.h"

#define KEY_FILE_MAX 4096u
#define KEYS_MAX 1000u

static bool is_key_name(const char *name)
{
	size_t length = strlen(name);

	return *name != '.' && length > 4 && strcmp(name + length - 4, ".pub") == 0;
}

static enum status parse(const char *path, char *text, struct public_key *key, struct error *error)
{
	struct public_key_format file;
	char *line = strncmp(text, COMMENT_UNTRUSTED, strlen(COMMENT_UNTRUSTED)) == 0 ? strchr(text, '\n') : NULL;

	if (line)
		line[1 + strcspn(line + 1, "\r\n")] = '\0';
	if (!line || !signature_decode(line + 1, &file, sizeof(file)) ||
	    memcmp(file.algorithm, "Ed", 2) != 0)
		return fail(error, "%s/%s: is no public key of minisign's", path, key->name);
	memcpy(key->id, file.id, sizeof(key->id));
	memcpy(key->key, file.key, sizeof(key->key));
	return STATUS_OK;
}

static enum status read_key(int folder, const char *name, uid_t owner, struct public_keys *keys, struct error *error)
{
	struct public_key *key;
	uint8_t *bytes;
	size_t size;
	enum status status = trusted_file_read(folder, keys->folder, name, owner, KEY_FILE_MAX, &bytes, &size, error);

	if (!status && keys->count == KEYS_MAX)
		status = fail(error, "%s: has more than %u keys", keys->folder, KEYS_MAX);
	if (!status) {
		key = array_add(keys);
		*key = (struct public_key){ .name = utf8_make_printable(text_copy(name)) };
		status = parse(keys->folder, (char *)bytes, key, error);
	}
	free(bytes);
	/* It was there a moment ago. */
	return status == STATUS_NOTHING ? STATUS_ERROR : status;
}

enum status public_keys_read(const char *path, uid_t owner, struct public_keys *keys, struct error *error)
{
	int folder;
	DIR *list;
	struct dirent *entry;
	enum status status;

	*keys = (struct public_keys){ .folder = text_copy(path) };
	if (sodium_init() < 0)
		return fail(error, "libsodium cannot be used");
	status = trusted_folder_open(path, owner, &folder, error);
	if (status)
		return status == STATUS_NOTHING ? STATUS_REFUSED : status;
	list = fdopendir(folder);
	if (!list) {
		close(folder);
		return fail(error, "%s: cannot read: %s", path, strerror(errno));
	}
	while (!status && (entry = readdir(list)))
		if (is_key_name(entry->d_name))
			status = read_key(folder, entry->d_name, owner, keys, error);
	closedir(list);
	if (!status && !keys->count)
		status = refuse(error, "%s: has no keys (*.pub)", path);
	return status;
}

void public_keys_free(struct public_keys *keys)
{
	for (size_t i = 0; i < keys->count; i++)
		free(keys->item[i].name);
	array_free(keys);
	free(keys->folder);
	keys->folder = NULL;
}
