/*
 * signature.h: signatures of files, in the format of minisign (https://jedisct1.github.io/minisign/, "Signature format"), by libsodium:
 * Ed25519 over the BLAKE2b-512 of the file ("ED"), and again over that signature and the trusted comment. minisign can
 * check what stent signs, and the other way round. Its older form ("Ed", over the file itself) is not taken.
 */
#ifndef STENT_PATCH_SIGNATURE_H
#define STENT_PATCH_SIGNATURE_H

#include <sodium.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/memory.h"

#define SIGNATURE_ID_SIZE 8
#define SIGNATURE_SUFFIX ".minisig"

struct public_key {
	uint8_t id[SIGNATURE_ID_SIZE];
	uint8_t key[crypto_sign_PUBLICKEYBYTES];
	char *name;		/* of its file; owned */
};

struct public_keys {
	struct public_key *item;
	size_t count, room;
	char *folder;		/* owned */
};

/*
 * Read all keys of a folder: its files whose names end with ".pub". Folder and files must be trusted (file.h: root's or `owner`'s). STATUS_REFUSED:
 * one is not, there is no such folder, or no key in it. STATUS_ERROR: a file is no key. public_keys_free() in any case.
 */
enum status public_keys_read(const char *folder, uid_t owner, struct public_keys *keys, struct error *error) must_check;
void public_keys_free(struct public_keys *keys);

/*
 * Is this the signature, by one of the keys, of a file with these bytes? STATUS_REFUSED with the reason: it is damaged, by another key, of other
 * bytes, or its trusted comment is not the one that was signed. STATUS_OK: *key is the key's name, and *comment the trusted comment, printable;
 * free() the latter.
 */
enum status signature_check(const uint8_t *signature, size_t signature_size, const struct public_keys *keys, const uint8_t *bytes,
			    size_t size, const char **key, char **comment, struct error *error) must_check;

struct secret_key;

/* A key file that is encrypted is opened with what `ask` returns: a password (free()d here), or NULL. */
typedef char *ask_password(const char *path);

/*
 * Read minisign's secret key file. STATUS_ERROR: it can't be read, is none, or the password is wrong. secret_key_free() what is returned in
 * *key, which is NULL after a failure.
 */
enum status secret_key_read(const char *path, ask_password *ask, struct secret_key **key, struct error *error) must_check;
void secret_key_free(struct secret_key *key);

/* The signature file of these bytes. The comment is one line, of at most SIGNATURE_COMMENT_MAX bytes. free() it. */
char *signature_make(const struct secret_key *key, const uint8_t *bytes, size_t size, const char *comment) must_check;

#define SIGNATURE_COMMENT_MAX 1000u

#endif
