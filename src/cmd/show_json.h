/* show_json.h: the output of `stent show --json`. */
#ifndef STENT_CMD_SHOW_JSON_H
#define STENT_CMD_SHOW_JSON_H

#include "cmd/old_code.h"

/*
 * Print the patch as one JSON object to stdout. Addresses are strings ("0x401100"), because a JSON number need not
 * hold 64 bits; sizes are numbers of bytes. `old`: NULL, or to print old and new code, too. STATUS_ERROR when there is no
 * memory for it.
 */
enum status show_json(const struct patch *patch, const struct old_code *old, struct error *error) must_check;

#endif
