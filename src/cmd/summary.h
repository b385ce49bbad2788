/* summary.h: what a person must know of a patch to decide about it. */
#ifndef STENT_CMD_SUMMARY_H
#define STENT_CMD_SUMMARY_H

#include "patch/bundle.h"

/* Print it to stdout: about ten lines, for each image. */
void summary_print(const struct bundle *bundle);

#endif
