/*
 * verify.h: what the parts of the verification share.
 */
#ifndef STENT_PATCH_VERIFY_H
#define STENT_PATCH_VERIFY_H

#include "patch/patch.h"

/* Is it one line of UTF-8 without control characters? */
bool patch_text_valid(const char *text) must_check;

/* The segment that holds the whole range (an empty one: that holds its start, or ends there), or NULL. The segments
 * have been verified. */
const struct patch_segment *patch_find_segment(const struct patch *patch, struct range range) must_check;

/* The functions of a patch whose other parts have been verified: STATUS_ERROR names the function. */
enum status patch_verify_functions(const struct patch *patch, struct error *error) must_check;

#endif
