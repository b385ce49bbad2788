/*
 * signature_format.h: the binary part of minisign's files, behind the first line, in base64. The source is minisign(1) and its web page, "Public key
 * format", "Signature format" and "Secret key format". All members are bytes, so that there is no padding.
 */
#ifndef STENT_PATCH_SIGNATURE_FORMAT_H
#define STENT_PATCH_SIGNATURE_FORMAT_H

#include <stdbool.h>

#include "patch/signature.h"

struct public_key_format {
	uint8_t algorithm[2];	/* "Ed" */
	uint8_t id[SIGNATURE_ID_SIZE];
	uint8_t key[crypto_sign_PUBLICKEYBYTES];
};

struct signature_format {
	uint8_t algorithm[2];	/* "ED": of the hash */
	uint8_t id[SIGNATURE_ID_SIZE];
	uint8_t signature[crypto_sign_BYTES];
};

/* What is encrypted with the password, by exclusive or. */
struct secret_format {
	uint8_t id[SIGNATURE_ID_SIZE];
	uint8_t key[crypto_sign_SECRETKEYBYTES];
	uint8_t checksum[32];	/* BLAKE2b-256 of algorithm, id and key; zeros when there is no password */
};

struct secret_key_format {
	uint8_t algorithm[2];	/* "Ed" */
	uint8_t derivation[2];	/* "Sc": scrypt; zeros: there is no password */
	uint8_t checksum[2];	/* "B2" */
	uint8_t salt[crypto_pwhash_scryptsalsa208sha256_SALTBYTES];
	uint8_t operations[8], memory[8];	/* limits of scrypt, little-endian */
	struct secret_format secret;
};

struct secret_key {
	struct secret_format secret;	/* decrypted */
};

_Static_assert(sizeof(struct public_key_format) == 42, "no padding");
_Static_assert(sizeof(struct signature_format) == 74, "no padding");
_Static_assert(sizeof(struct secret_key_format) == 158, "no padding");

#define COMMENT_UNTRUSTED "untrusted comment: "
#define COMMENT_TRUSTED "trusted comment: "

/* Decode exactly `size` bytes of base64 from a line. */
bool signature_decode(const char *line, void *out, size_t size) must_check;

#endif
