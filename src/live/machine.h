/* machine.h: all processes of the machine, as far as stent may look at them. */
#ifndef STENT_LIVE_MACHINE_H
#define STENT_LIVE_MACHINE_H

#include "base/error.h"
#include "live/survey.h"
#include "process/process.h"

/* All processes that /proc lists now, by number. STATUS_ERROR: it can't be read. Free with array_free(). */
enum status machine_list(struct tids *pids, struct error *error) must_check;

enum machine_sight {
	MACHINE_SEEN,		/* *process is open to be looked at, *survey is read */
	MACHINE_NONE,		/* nothing to see: it has ended, or is of the kernel, or is a stent itself */
	MACHINE_UNSEEN,		/* it can't be looked at; the error says why */
};

/* Look at one of them. process_close() and survey_free() in any case. */
enum machine_sight machine_look(pid_t pid, struct process *process, struct survey *survey, struct error *error) must_check;

/*
 * Why a process is not changed unless it is named by its number: a static text, or NULL. It is so for process 1: if that one
 * ended, the machine would (kernel/exit.c: "Attempted to kill init!"), and it can execute itself again without a restart of anything.
 */
const char *machine_spared(pid_t pid) must_check;

#endif
