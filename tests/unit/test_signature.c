/*
 * test_signature.c: signatures that hold, and hostile ones, keys and folders that are not to be trusted. That minisign says the same is
 * tests/source/signatures.sh's to see.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "patch/file.h"
#include "patch/signature_format.h"

#include <cmocka.h>
#undef fail	/* base/error.h has one too */

static char folder[] = "/tmp/stent-test-signature-XXXXXX";
static struct secret_key *key, *other;
static struct public_keys keys;
static uint8_t file[3000];

static struct secret_key *make_key(uint8_t id)
{
	struct secret_key *made = sodium_malloc(sizeof(*made));
	uint8_t public[crypto_sign_PUBLICKEYBYTES];

	memset(&made->secret, id, sizeof(made->secret));
	crypto_sign_keypair(public, made->secret.key);
	return made;
}

static struct public_key public_of(const struct secret_key *secret, const char *name)
{
	struct public_key public = { .name = text_copy(name) };

	memcpy(public.id, secret->secret.id, sizeof(public.id));
	memcpy(public.key, secret->secret.key + 32, sizeof(public.key));
	return public;
}

static int set_up(void **state)
{
	if (sodium_init() < 0 || !mkdtemp(folder))
		return -1;
	key = make_key(1);
	other = make_key(2);
	keys.folder = text_copy("keys");
	*array_add(&keys) = public_of(key, "key.pub");
	randombytes_buf(file, sizeof(file));
	return 0;
}

static int tear_down(void **state)
{
	char *command = text_format("rm -rf %s", folder);
	int failed = system(command);

	free(command);
	public_keys_free(&keys);
	secret_key_free(key);
	secret_key_free(other);
	return failed;
}

/* The reason, or NULL: it holds. free() it. */
static char *check(const char *signature, size_t size, char **comment)
{
	struct error error = { 0 };
	const char *name = NULL;
	enum status status = signature_check((const uint8_t *)signature, size, &keys, file, sizeof(file), &name, comment, &error);
	char *text = error.text ? text_copy(error.text) : NULL;

	error_clear(&error);
	if (status == STATUS_OK) {
		assert_string_equal(name, "key.pub");
		assert_null(text);
		return NULL;
	}
	assert_int_equal(status, STATUS_REFUSED);
	assert_non_null(text);
	assert_null(*comment);
	return text;
}

static void assert_refused(const char *signature, size_t size, const char *reason)
{
	char *comment, *why = check(signature, size, &comment);

	if (!why || !strstr(why, reason))
		print_error("'%s' and not '%s'\n", why ? why : "(holds)", reason);
	assert_true(why && strstr(why, reason));
	free(why);
}

static void assert_holds(const char *signature)
{
	char *comment, *why = check(signature, strlen(signature), &comment);

	if (why)
		print_error("%s\n", why);
	assert_null(why);
	assert_string_equal(comment, "by me");
	free(comment);
}

static void test_holds(void **state)
{
	char *text = signature_make(key, file, sizeof(file), "by me"), *copy;

	assert_holds(text);
	/* Nothing rests on the first line. */
	copy = text_copy(text);
	copy[strlen(COMMENT_UNTRUSTED)] ^= 1;
	assert_holds(copy);
	free(copy);
	/* The last line's end may be missing. */
	text[strlen(text) - 1] = '\0';
	assert_holds(text);
	free(text);
}

static void test_another_file(void **state)
{
	char *text = signature_make(key, file, sizeof(file), "by me");

	for (size_t i = 0; i < sizeof(file); i += 97) {
		file[i] ^= 4;
		assert_refused(text, strlen(text), "key.pub does not hold: it is not of this file");
		file[i] ^= 4;
	}
	assert_holds(text);
	free(text);
	text = signature_make(key, file, sizeof(file) - 1, "by me");
	assert_refused(text, strlen(text), "it is not of this file");
	free(text);
}

static void test_another_key(void **state)
{
	char *text = signature_make(other, file, sizeof(file), "by me");
	uint8_t id[SIGNATURE_ID_SIZE];

	assert_refused(text, strlen(text), "is by key 0202020202020202, which is not in keys");
	free(text);
	/* One that claims to be ours. */
	memcpy(id, other->secret.id, sizeof(id));
	memcpy(other->secret.id, key->secret.id, sizeof(id));
	text = signature_make(other, file, sizeof(file), "by me");
	memcpy(other->secret.id, id, sizeof(id));
	assert_refused(text, strlen(text), "it is not of this file");
	free(text);
}

/* Every change of any character behind the first line. */
static void test_every_change(void **state)
{
	char *text = signature_make(key, file, sizeof(file), "by me");
	size_t length = strlen(text), start = (size_t)(strchr(text, '\n') - text);

	for (size_t i = start; i + 1 < length; i++)
		for (int bit = 0; bit < 8; bit++) {
			text[i] ^= (char)(1 << bit);
			assert_refused(text, length, "the signature ");
			text[i] ^= (char)(1 << bit);
		}
	assert_holds(text);
	free(text);
}

static void test_every_length(void **state)
{
	char *text = signature_make(key, file, sizeof(file), "by me");
	size_t length = strlen(text);

	for (size_t i = 0; i + 1 < length; i++)
		assert_refused(text, i, "the signature ");
	free(text);
}

static void test_comment_is_signed(void **state)
{
	char *one = signature_make(key, file, sizeof(file), "by me"), *two = signature_make(key, file, sizeof(file), "by you");
	char *mixed = text_format("%.*s%s", (int)(strstr(one, COMMENT_TRUSTED) - one), one, strstr(two, COMMENT_TRUSTED)), *at;

	/* Ed25519 signs the same text the same way, so the halves fit together. */
	free(check(mixed, strlen(mixed), &at));
	assert_string_equal(at, "by you");
	free(at);
	free(mixed);
	at = strstr(one, "by me");
	at[3] = 'w';
	assert_refused(one, strlen(one), "its trusted comment was changed");
	free(one);
	free(two);
}

static void test_forms(void **state)
{
	char *text = signature_make(key, file, sizeof(file), "by me"), *longer, *blob = strchr(text, '\n') + 1;

	longer = text_format("%s\n", text);
	assert_refused(longer, strlen(longer), "is not a signature of minisign's format");
	free(longer);
	longer = text_format("%smore\n", text);
	assert_refused(longer, strlen(longer), "is not a signature of minisign's format");
	free(longer);
	/* A zero byte ends no line, and what is behind it is looked at. */
	longer = memory_zeroed(strlen(text) + 2, 1);
	strcpy(longer, text);
	assert_refused(longer, strlen(text) + 1, "is not a signature of minisign's format");
	free(longer);
	/* "RWQ" and "RUQ": Ed, ED. */
	assert_memory_equal(blob, "RUQ", 3);
	blob[1] = 'W';
	assert_refused(text, strlen(text), "old form");
	blob[1] = 'V';
	assert_refused(text, strlen(text), "unknown kind");
	free(text);
}

static void test_comment_is_printable(void **state)
{
	char *text = signature_make(key, file, sizeof(file), "red \033[31m"), *comment;

	assert_null(check(text, strlen(text), &comment));
	assert_string_equal(comment, "red ?[31m");
	free(comment);
	free(text);
}

/* --- keys --- */

static char *in_folder(const char *name)
{
	return text_format("%s/%s", folder, name);
}

static void put(const char *name, const char *text)
{
	char *path = in_folder(name);

	unlink(path);
	assert_int_equal(file_write(path, (const uint8_t *)text, strlen(text), NULL), STATUS_OK);
	assert_int_equal(chmod(path, 0644), 0);
	free(path);
}

static void take_away(const char *name)
{
	char *path = in_folder(name);

	assert_int_equal(unlink(path), 0);
	free(path);
}

static char *public_text(const struct secret_key *secret)
{
	struct public_key_format format = { .algorithm = "Ed" };
	char encoded[64];

	memcpy(format.id, secret->secret.id, sizeof(format.id));
	memcpy(format.key, secret->secret.key + 32, sizeof(format.key));
	sodium_bin2base64(encoded, sizeof(encoded), (const uint8_t *)&format, sizeof(format), sodium_base64_VARIANT_ORIGINAL);
	return text_format("untrusted comment: a key\n%s\n", encoded);
}

static void assert_keys(enum status wanted, uid_t owner, size_t count, const char *reason)
{
	struct public_keys found;
	struct error error = { 0 };
	enum status status = public_keys_read(folder, owner, &found, &error);

	if (status != wanted || (reason && !strstr(error.text, reason)))
		print_error("%d: %s\n", status, error.text ? error.text : "");
	assert_int_equal(status, wanted);
	assert_true(!reason || strstr(error.text, reason));
	if (!status)
		assert_int_equal(found.count, count);
	error_clear(&error);
	public_keys_free(&found);
}

static void test_keys(void **state)
{
	char *text = public_text(key), *path = in_folder("b.pub"), *outside = in_folder("outside");

	assert_keys(STATUS_REFUSED, geteuid(), 0, "has no keys");
	put("a.pub", text);
	put("readme", "no key");
	put(".hidden.pub", "no key");
	assert_keys(STATUS_OK, geteuid(), 1, NULL);
	put("b.pub", "untrusted comment: no key\nRWQ=\n");
	assert_keys(STATUS_ERROR, geteuid(), 0, "b.pub: is no public key");
	put("b.pub", "untrusted comment: no key");
	assert_keys(STATUS_ERROR, geteuid(), 0, "b.pub: is no public key");
	put("b.pub", "");
	assert_keys(STATUS_ERROR, geteuid(), 0, "b.pub: is no public key");
	unlink(path);
	put("outside", text);
	assert_int_equal(symlink(outside, path), 0);
	assert_keys(STATUS_REFUSED, geteuid(), 0, "b.pub: is a symbolic link");
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_keys(STATUS_ERROR, geteuid(), 0, "b.pub: not a regular file");
	unlink(path);
	put("b.pub", text);
	assert_int_equal(chmod(path, 0664), 0);
	assert_keys(STATUS_REFUSED, geteuid(), 0, "b.pub: others than its owner may write to it");
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(chmod(folder, 0777), 0);
	assert_keys(STATUS_REFUSED, geteuid(), 0, "others than its owner may write to it");
	assert_int_equal(chmod(folder, 0700), 0);
	assert_keys(STATUS_OK, geteuid(), 2, NULL);
	free(text);
	free(path);
	free(outside);
	take_away("a.pub");
	take_away("b.pub");
}

static void test_owner(void **state)
{
	char *text = public_text(key), *path = in_folder("a.pub");

	if (geteuid() != 0)
		skip();
	put("a.pub", text);
	assert_int_equal(chown(path, 12345, 0), 0);
	assert_keys(STATUS_REFUSED, 0, 0, "a.pub: belongs to user 12345");
	assert_keys(STATUS_OK, 12345, 1, NULL);
	assert_int_equal(chown(path, 0, 0), 0);
	assert_int_equal(chown(folder, 12345, 0), 0);
	assert_keys(STATUS_REFUSED, 0, 0, "belongs to user 12345");
	assert_int_equal(chown(folder, 0, 0), 0);
	take_away("a.pub");
	free(text);
	free(path);
}

/* --- secret keys --- */

static char *no_password(const char *path)
{
	return NULL;
}

static char *password(const char *path)
{
	return text_copy("secret");
}

static char *wrong_password(const char *path)
{
	return text_copy("Secret");
}

/* An encrypted one takes little work here, and not the gigabyte that minisign takes. */
static struct secret_key_format secret_file(bool encrypted)
{
	struct secret_key_format format = { .algorithm = "Ed", .checksum = "B2", .secret = key->secret };
	crypto_generichash_state hash;
	uint8_t stream[sizeof(format.secret)];

	memset(format.secret.checksum, 0, sizeof(format.secret.checksum));
	if (!encrypted)
		return format;
	memcpy(format.derivation, "Sc", 2);
	store64(format.operations, 32768);
	store64(format.memory, 1 << 24);
	crypto_generichash_init(&hash, NULL, 0, 32);
	crypto_generichash_update(&hash, format.algorithm, 2);
	crypto_generichash_update(&hash, format.secret.id, sizeof(format.secret.id) + sizeof(format.secret.key));
	crypto_generichash_final(&hash, format.secret.checksum, 32);
	assert_int_equal(crypto_pwhash_scryptsalsa208sha256(stream, sizeof(stream), "secret", 6, format.salt, 32768, 1 << 24), 0);
	for (size_t i = 0; i < sizeof(stream); i++)
		((uint8_t *)&format.secret)[i] ^= stream[i];
	return format;
}

static void assert_secret(const struct secret_key_format *format, ask_password *ask, const char *reason)
{
	char encoded[256], *text, *path = in_folder("secret.key");
	struct secret_key *read;
	struct error error = { 0 };
	enum status status;

	sodium_bin2base64(encoded, sizeof(encoded), (const uint8_t *)format, sizeof(*format), sodium_base64_VARIANT_ORIGINAL);
	text = text_format("untrusted comment: minisign encrypted secret key\n%s\n", encoded);
	put("secret.key", text);
	status = secret_key_read(path, ask, &read, &error);
	if (reason && (!error.text || !strstr(error.text, reason)))
		print_error("'%s' and not '%s'\n", error.text ? error.text : "(good)", reason);
	assert_int_equal(status, reason ? STATUS_ERROR : STATUS_OK);
	assert_true(!reason || strstr(error.text, reason));
	assert_int_equal(!read, reason != NULL);
	if (read)
		assert_memory_equal(read->secret.key, key->secret.key, sizeof(read->secret.key));
	secret_key_free(read);
	error_clear(&error);
	free(text);
	free(path);
}

static void test_secret_keys(void **state)
{
	struct secret_key_format plain = secret_file(false), encrypted = secret_file(true), changed;

	assert_secret(&plain, no_password, NULL);
	assert_secret(&encrypted, password, NULL);
	assert_secret(&encrypted, wrong_password, "wrong password");
	assert_secret(&encrypted, no_password, "is encrypted, and there is no password");
	changed = encrypted;
	store64(changed.memory, UINT64_C(1) << 40);
	assert_secret(&changed, password, "too much work");
	changed = encrypted;
	store64(changed.operations, UINT64_MAX);
	assert_secret(&changed, password, "too much work");
	changed = encrypted;
	changed.secret.key[3] ^= 1;
	assert_secret(&changed, password, "wrong password");
	changed = plain;
	changed.secret.key[40] ^= 1;	/* the public half */
	assert_secret(&changed, no_password, "is damaged");
	changed = plain;
	changed.derivation[0] = 'A';
	assert_secret(&changed, no_password, "encrypted in an unknown way");
	changed = plain;
	changed.algorithm[1] = 'X';
	assert_secret(&changed, no_password, "of an unknown kind");
	take_away("secret.key");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_holds),
		cmocka_unit_test(test_another_file),
		cmocka_unit_test(test_another_key),
		cmocka_unit_test(test_every_change),
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_comment_is_signed),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_comment_is_printable),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_secret_keys),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
