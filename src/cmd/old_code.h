/*
 * old_code.h: the old image of a patch, for who wants to see what is replaced. It is not in the patch file.
 */
#ifndef STENT_CMD_OLD_CODE_H
#define STENT_CMD_OLD_CODE_H

#include <sys/types.h>

#include "patch/patch.h"
#include "program/program.h"

struct old_code {
	struct image image;
	struct program program;
};

/* Read it from the file. STATUS_ERROR: it can't be, or is another build than the patch is for. old_code_free() in any case. */
enum status old_code_read(const char *path, const struct patch *patch, struct old_code *old, struct error *error) must_check;

/* The same from the file that a process has mapped, even if its name is gone by now. Also STATUS_REFUSED: see process_open(). */
enum status old_code_read_mapped(pid_t pid, const struct patch *patch, struct old_code *old, struct error *error) must_check;

void old_code_free(struct old_code *old);

#endif
