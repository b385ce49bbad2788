/* show_json.h: the output of `stent show --json`. */
#ifndef STENT_CMD_SHOW_JSON_H
#define STENT_CMD_SHOW_JSON_H

#include "patch/patch.h"

/*
 * Print the patch as one JSON object to stdout. Addresses are strings ("0x401100"), because a JSON number need not
 * hold 64 bits; sizes are numbers of bytes. STATUS_ERROR when there is no memory for it.
 */
enum status show_json(const struct patch *patch, struct error *error) must_check;

#endif
