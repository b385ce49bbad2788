/* summary.h: what a person must know of a patch to decide about it. */
#ifndef STENT_CMD_SUMMARY_H
#define STENT_CMD_SUMMARY_H

#include "patch/patch.h"

/* Print it to stdout: about ten lines. */
void summary_print(const struct patch *patch);

#endif
