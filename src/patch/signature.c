#include "patch/signature.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/utf8.h"
#include "patch/signature_format.h"

#define LINES 4

bool signature_decode(const char *line, void *out, size_t size)
{
	size_t length;
	const char *end;

	/* libsodium 1.0.18 takes some characters that are not of ASCII for those that are. */
	for (const char *at = line; *at; at++)
		if ((unsigned char)*at > 0x7f)
			return false;
	return sodium_base642bin(out, size, line, strlen(line), NULL, &length, &end, sodium_base64_VARIANT_ORIGINAL) == 0 &&
	       length == size && !*end;
}

static void hash_file(const uint8_t *bytes, size_t size, uint8_t hash[crypto_generichash_BYTES_MAX])
{
	crypto_generichash(hash, crypto_generichash_BYTES_MAX, bytes, size, NULL, 0);
}

/* What the second signature is of: the first one, and the trusted comment. free() it. */
static uint8_t *join(const uint8_t signature[crypto_sign_BYTES], const char *comment, size_t *size)
{
	size_t length = strlen(comment);
	uint8_t *joined = memory_zeroed(crypto_sign_BYTES + length, 1);

	memcpy(joined, signature, crypto_sign_BYTES);
	memcpy(joined + crypto_sign_BYTES, comment, length);
	*size = crypto_sign_BYTES + length;
	return joined;
}

/* Cut a text into exactly so many lines, each with its end; the last one's may be missing. */
static bool cut_lines(char *text, char *line[LINES])
{
	for (int i = 0; i < LINES; i++) {
		line[i] = strsep(&text, "\n");
		if (!line[i])
			return false;
		/* As minisign: files may have been through Windows. */
		if (*line[i] && line[i][strlen(line[i]) - 1] == '\r')
			line[i][strlen(line[i]) - 1] = '\0';
	}
	return !text || !*text;
}

static bool starts_with(const char *line, const char *start)
{
	return strncmp(line, start, strlen(start)) == 0;
}

struct parsed {
	struct signature_format first;
	const char *comment;
	uint8_t second[crypto_sign_BYTES];
};

/* Returns what is wrong, or NULL. The text is cut to pieces. */
static const char *parse(char *text, size_t size, struct parsed *parsed)
{
	char *line[LINES];

	if (strlen(text) != size || !cut_lines(text, line) || !starts_with(line[0], COMMENT_UNTRUSTED) ||
	    !starts_with(line[2], COMMENT_TRUSTED))
		return "it is not a signature of minisign's format";
	if (!signature_decode(line[1], &parsed->first, sizeof(parsed->first)) ||
	    !signature_decode(line[3], parsed->second, sizeof(parsed->second)))
		return "it is damaged";
	if (memcmp(parsed->first.algorithm, "Ed", 2) == 0)
		return "it is of minisign's old form, over the file itself and not its hash";
	if (memcmp(parsed->first.algorithm, "ED", 2) != 0)
		return "it is of an unknown kind";
	parsed->comment = line[2] + strlen(COMMENT_TRUSTED);
	return NULL;
}

/* Returns what is wrong, or NULL. */
static const char *check_with(const struct public_key *key, const struct parsed *parsed,
			      const uint8_t hash[crypto_generichash_BYTES_MAX])
{
	size_t size;
	uint8_t *joined;
	bool good;

	if (crypto_sign_verify_detached(parsed->first.signature, hash, crypto_generichash_BYTES_MAX, key->key) != 0)
		return "it is not of this file: one of the two was changed";
	joined = join(parsed->first.signature, parsed->comment, &size);
	good = crypto_sign_verify_detached(parsed->second, joined, size, key->key) == 0;
	free(joined);
	return good ? NULL : "its trusted comment was changed";
}

static enum status check_parsed(const struct parsed *parsed, const struct public_keys *keys, const uint8_t *bytes, size_t size,
				const char **key, struct error *error)
{
	uint8_t hash[crypto_generichash_BYTES_MAX];
	const char *why = NULL;

	hash_file(bytes, size, hash);
	for (size_t i = 0; i < keys->count; i++) {
		if (memcmp(keys->item[i].id, parsed->first.id, SIGNATURE_ID_SIZE) != 0)
			continue;
		why = check_with(&keys->item[i], parsed, hash);
		*key = keys->item[i].name;
		if (!why)
			return STATUS_OK;
	}
	/* An id is as minisign prints it: a little-endian number. */
	return why ? refuse(error, "the signature by %s does not hold: %s", *key, why)
		   : refuse(error, "the signature is by key %016lX, which is not in %s", (unsigned long)load64(parsed->first.id), keys->folder);
}

enum status signature_check(const uint8_t *signature, size_t signature_size, const struct public_keys *keys, const uint8_t *bytes,
			    size_t size, const char **key, char **comment, struct error *error)
{
	char *text = memory_zeroed(signature_size + 1, 1);
	struct parsed parsed;
	const char *why;
	enum status status;

	*comment = NULL;
	memcpy(text, signature, signature_size);
	why = parse(text, signature_size, &parsed);
	status = why ? refuse(error, "the signature does not hold: %s", why) : check_parsed(&parsed, keys, bytes, size, key, error);
	if (!status)
		*comment = utf8_make_printable(text_copy(parsed.comment));
	free(text);
	return status;
}

static char *encode(const void *bytes, size_t size)
{
	size_t room = sodium_base64_ENCODED_LEN(size, sodium_base64_VARIANT_ORIGINAL);
	char *text = memory_zeroed(room, 1);

	return sodium_bin2base64(text, room, bytes, size, sodium_base64_VARIANT_ORIGINAL);
}

char *signature_make(const struct secret_key *key, const uint8_t *bytes, size_t size, const char *comment)
{
	struct signature_format first = { .algorithm = "ED" };
	uint8_t hash[crypto_generichash_BYTES_MAX], second[crypto_sign_BYTES], *joined;
	char *first_text, *second_text, *text;
	size_t joined_size;

	hash_file(bytes, size, hash);
	memcpy(first.id, key->secret.id, sizeof(first.id));
	crypto_sign_detached(first.signature, NULL, hash, sizeof(hash), key->secret.key);
	joined = join(first.signature, comment, &joined_size);
	crypto_sign_detached(second, NULL, joined, joined_size, key->secret.key);
	first_text = encode(&first, sizeof(first));
	second_text = encode(second, sizeof(second));
	text = text_format(COMMENT_UNTRUSTED "signature from stent\n%s\n" COMMENT_TRUSTED "%s\n%s\n", first_text, comment, second_text);
	free(joined);
	free(first_text);
	free(second_text);
	return text;
}
