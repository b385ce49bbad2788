/*
 * secret_key.c: minisign's secret key files. A key lies in memory that is locked and is overwritten when it is freed.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "patch/file.h"
#include "patch/signature_format.h"

#define KEY_FILE_MAX 4096u

static void checksum(const struct secret_key_format *file, const struct secret_format *secret, uint8_t out[32])
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, 32);
	crypto_generichash_update(&state, file->algorithm, sizeof(file->algorithm));
	crypto_generichash_update(&state, secret->id, sizeof(secret->id));
	crypto_generichash_update(&state, secret->key, sizeof(secret->key));
	crypto_generichash_final(&state, out, 32);
}

/* The limits are as minisign makes them at most: no file makes stent use more. */
static bool limits_good(const struct secret_key_format *file)
{
	return load64(file->operations) <= crypto_pwhash_scryptsalsa208sha256_OPSLIMIT_SENSITIVE &&
	       load64(file->memory) <= crypto_pwhash_scryptsalsa208sha256_MEMLIMIT_SENSITIVE;
}

static enum status decrypt(const char *path, const struct secret_key_format *file, ask_password *ask, struct secret_format *secret,
			   struct error *error)
{
	uint8_t *stream, sum[32];
	char *password;
	bool derived;

	if (!limits_good(file))
		return fail(error, "%s: asks for too much work to open it", path);
	password = ask(path);
	if (!password)
		return fail(error, "%s: is encrypted, and there is no password", path);
	stream = sodium_malloc(sizeof(*secret));
	derived = stream && crypto_pwhash_scryptsalsa208sha256(stream, sizeof(*secret), password, strlen(password), file->salt,
							       load64(file->operations), (size_t)load64(file->memory)) == 0;
	sodium_memzero(password, strlen(password));
	free(password);
	for (size_t i = 0; derived && i < sizeof(*secret); i++)
		((uint8_t *)secret)[i] ^= stream[i];
	sodium_free(stream);
	if (!derived)
		return fail(error, "%s: no memory to open it: it takes %zu MiB", path, (size_t)load64(file->memory) >> 20);
	checksum(file, secret, sum);
	return sodium_memcmp(sum, secret->checksum, sizeof(sum)) == 0 ? STATUS_OK : fail(error, "%s: wrong password", path);
}

/* The second half of libsodium's secret key is the public key, which follows from the first. */
static bool is_pair(const struct secret_format *secret)
{
	uint8_t seed[crypto_sign_SEEDBYTES], public[crypto_sign_PUBLICKEYBYTES], again[crypto_sign_SECRETKEYBYTES];
	bool good = crypto_sign_ed25519_sk_to_seed(seed, secret->key) == 0 && crypto_sign_seed_keypair(public, again, seed) == 0 &&
		    sodium_memcmp(again, secret->key, sizeof(again)) == 0;

	sodium_memzero(seed, sizeof(seed));
	sodium_memzero(again, sizeof(again));
	return good;
}

static enum status open_key(const char *path, const struct secret_key_format *file, ask_password *ask, struct secret_format *secret,
			    struct error *error)
{
	enum status status = STATUS_OK;

	if (memcmp(file->algorithm, "Ed", 2) != 0 || memcmp(file->checksum, "B2", 2) != 0)
		return fail(error, "%s: is a secret key of an unknown kind", path);
	*secret = file->secret;
	if (memcmp(file->derivation, "Sc", 2) == 0)
		status = decrypt(path, file, ask, secret, error);
	else if (file->derivation[0] || file->derivation[1])
		return fail(error, "%s: is encrypted in an unknown way", path);
	if (!status && !is_pair(secret))
		status = fail(error, "%s: is damaged", path);
	return status;
}

enum status secret_key_read(const char *path, ask_password *ask, struct secret_key **key, struct error *error)
{
	struct secret_key_format *file = sodium_init() < 0 ? NULL : sodium_malloc(sizeof(*file));
	char *text, *line;
	uint8_t *bytes;
	size_t size;
	enum status status;

	*key = file ? sodium_malloc(sizeof(**key)) : NULL;
	status = file_read(path, KEY_FILE_MAX, &bytes, &size, error);
	text = (char *)bytes;
	if (!status && !*key)
		status = fail(error, "%s: no memory that can be locked", path);
	if (!status) {
		line = strncmp(text, COMMENT_UNTRUSTED, strlen(COMMENT_UNTRUSTED)) == 0 ? strchr(text, '\n') : NULL;
		if (line)
			line[1 + strcspn(line + 1, "\r\n")] = '\0';
		if (!line || !signature_decode(line + 1, file, sizeof(*file)))
			status = fail(error, "%s: is no secret key of minisign's", path);
	}
	if (!status)
		status = open_key(path, file, ask, &(*key)->secret, error);
	if (bytes)
		sodium_memzero(bytes, size);
	free(bytes);
	sodium_free(file);
	if (status) {
		secret_key_free(*key);
		*key = NULL;
	}
	return status;
}

void secret_key_free(struct secret_key *key)
{
	sodium_free(key);
}
