#include "cmd/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "patch/file.h"
#include "patch/signature.h"

#define POLICY_FILE "policy"
#define POLICY_SIZE_MAX 65536u
#define SIGNATURE_SIZE_MAX 16384u
#define PATH POLICY_FOLDER "/" POLICY_FILE

static bool parse_switch(const char *word, bool *out)
{
	*out = strcmp(word, "yes") == 0;
	return *out || strcmp(word, "no") == 0;
}

/* "WORD VALUE". What is not understood might be there to forbid something. */
static bool parse_line(struct policy *policy, char *line)
{
	char *word, *value, *rest = NULL;

	line[strcspn(line, "#")] = '\0';
	word = strtok_r(line, " \t\r", &rest);
	if (!word)
		return true;
	value = strtok_r(NULL, " \t\r", &rest);
	if (!value || strtok_r(NULL, " \t\r", &rest))
		return false;
	if (strcmp(word, "require-signature") == 0)
		return parse_switch(value, &policy->require_signature);
	if (strcmp(word, "upgrade") == 0)
		return parse_switch(value, &policy->upgrade);
	if (strcmp(word, "keys") != 0 || *value != '/')
		return false;
	free(policy->keys);
	policy->keys = text_copy(value);
	return true;
}

static enum status parse(struct policy *policy, char *text, size_t size, struct error *error)
{
	char *line;

	if (strlen(text) != size)
		return refuse(error, PATH ": is no text");
	for (unsigned int number = 1; (line = strsep(&text, "\n")); number++)
		if (!parse_line(policy, line))
			return refuse(error, PATH ":%u: is none of 'require-signature yes|no', 'upgrade yes|no' and 'keys FOLDER'", number);
	return STATUS_OK;
}

enum status policy_read(struct policy *policy, struct error *error)
{
	struct error reason = { 0 };
	uint8_t *bytes = NULL;
	size_t size;
	int folder;
	enum status status;

	*policy = (struct policy){ .keys = text_copy(POLICY_KEYS) };
	status = trusted_folder_open(POLICY_FOLDER, 0, &folder, &reason);
	if (!status) {
		status = trusted_file_read(folder, POLICY_FOLDER, POLICY_FILE, 0, POLICY_SIZE_MAX, &bytes, &size, &reason);
		close(folder);
	}
	if (!status)
		status = parse(policy, (char *)bytes, size, &reason);
	free(bytes);
	if (status && status != STATUS_NOTHING)
		error_add(error, status, "%s", reason.text);
	error_clear(&reason);
	return status == STATUS_NOTHING ? STATUS_OK : status;
}

void policy_free(struct policy *policy)
{
	free(policy->keys);
	policy->keys = NULL;
}

enum status policy_check_upgrade(struct error *error)
{
	struct policy policy;
	enum status status = policy_read(&policy, error);

	if (!status && policy.require_signature && !policy.upgrade)
		status = refuse(error, PATH ": patches must be signed, and those that stent upgrade makes are not ('upgrade yes' allows them)");
	policy_free(&policy);
	return status;
}

struct checking {
	const char *path, *signature;
	struct public_keys keys;
};

static enum status check(void *context, const uint8_t *bytes, size_t size, struct error *error)
{
	struct checking *checking = context;
	struct error reason = { 0 };
	const char *key;
	char *comment;
	uint8_t *signature;
	size_t signature_size;
	enum status status = file_read(checking->signature, SIGNATURE_SIZE_MAX, &signature, &signature_size, &reason);

	if (!status)
		status = signature_check(signature, signature_size, &checking->keys, bytes, size, &key, &comment, &reason);
	if (status) {
		status = refuse(error, "%s: has no signature that holds: %s", checking->path, reason.text);
	} else {
		printf("%s: signed by %s: %s\n", checking->path, key, comment);
		free(comment);
	}
	error_clear(&reason);
	free(signature);
	return status;
}

static enum status read_signed(const char *path, const struct signature_wish *wish, const char *keys, uid_t owner, struct bundle *bundle,
			       struct error *error)
{
	char *beside = text_format("%s" SIGNATURE_SUFFIX, path);
	struct checking checking = { .path = path, .signature = wish->file ? wish->file : beside };
	enum status status = public_keys_read(keys, owner, &checking.keys, error);

	*bundle = (struct bundle){ 0 };
	if (!status)
		status = bundle_read_checked(path, check, &checking, bundle, error);
	public_keys_free(&checking.keys);
	free(beside);
	return status;
}

enum status policy_read_patch(const char *path, const struct signature_wish *wish, struct bundle *bundle, struct error *error)
{
	struct policy policy;
	enum status status = policy_read(&policy, error);

	*bundle = (struct bundle){ 0 };
	if (!status && policy.require_signature && wish->keys)
		status = refuse(error, PATH ": says which keys count, so --keys is not allowed");
	/* Folders that the policy names are root's; the user's own will do for what only the user wants. */
	if (!status && (policy.require_signature || wish->require || wish->keys || wish->file))
		status = read_signed(path, wish, wish->keys ? wish->keys : policy.keys, wish->keys ? geteuid() : 0, bundle, error);
	else if (!status)
		status = bundle_read(path, bundle, error);
	policy_free(&policy);
	return status;
}
