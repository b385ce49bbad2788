/* show_json.h: the output of `stent show --json`. */
#ifndef STENT_CMD_SHOW_JSON_H
#define STENT_CMD_SHOW_JSON_H

#include "cmd/old_code.h"
#include "patch/bundle.h"

/*
 * Print the patch as one JSON object to stdout. Addresses are strings ("0x401100"), because a JSON number need not
 * hold 64 bits; sizes are numbers of bytes. Of several images there is a list, "images", of what otherwise stands in the
 * object itself. `old`, for each image: to print old and new code, too, where `known` says that it is there. STATUS_ERROR
 * when there is no memory for it.
 */
enum status show_json(const struct bundle *bundle, const struct old_code *old, const bool *known, struct error *error) must_check;

#endif
