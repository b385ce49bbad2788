/*
 * family.h: one command for several processes: those below one in the tree of processes (--tree), and those that are forked while a patch
 * goes in or out, and so inherit what is half done.
 *
 * A transition waits for threads, each at its own breakpoint. So that no process waits for another one's threads, each is
 * worked on by a stent of its own:
 *
 *	stent			works on the process that was named (family.c), as if there were no other
 *	  foreman		looks for the others, and says in the end what they came to (foreman.c). Forked at the start with --tree;
 *				otherwise when threads of both versions begin to run, and mostly not at all
 *	    worker ...		one for each of the others
 *
 * Killed: a foreman dies with stent, and workers die with it (PR_SET_PDEATHSIG). What they leave is what a killed stent leaves, in
 * each process by itself, and the next stent goes on with it.
 */
#ifndef STENT_CMD_FAMILY_H
#define STENT_CMD_FAMILY_H

#include "cmd/live_common.h"

/* Run the command for all that it is for, and print what there is to say. Behind live_hold_signals(). Returns the exit status. */
enum status family_run(const struct live_command *command, const struct live_arguments *arguments) must_check;

/* --- between family.c and foreman.c --- */

/* What came of a process; passed on as exit status. */
enum outcome {
	/* 0 to 4: enum status */
	OUTCOME_GONE = 5,	/* it does not count: it has ended, executed another program, or has not the image */
};

/* The one of two outcomes that an exit status has to tell. */
int outcome_worse(int one, int other);

/* To the foreman. Written at once, and so never mixed with another one's (pipe(7): up to PIPE_BUF). */
struct family_message {
	bool ended;		/* the process that was named is done with, */
	int outcome;		/* and that came of it; else */
	struct live_region region;	/* a transition of this has begun */
};

/* Work on a process, and print what came of it. With a region: on what it has inherited, towards `new`; else as the command says. */
struct family_task {
	const struct live_command *command;
	const struct live_arguments *arguments;
	pid_t pid;
	uint64_t began;		/* struct relative; 0: not asked for */
	struct live_region region;
	bool new;
};
int family_work(const struct family_task *task, struct live_report *report, bool *has_child) must_check;

/* In a forked stent: die with the one that forked it, whose pid that is. */
void family_die_with(pid_t parent);

/* Send a region to the foreman, as options.between(); and the pipe to him. */
void family_tell(const struct process *process, struct live_region region);
extern int family_to_foreman;

/*
 * foreman.c: look for processes and have them worked on, until there are no more and the message has come that the one that was named is done
 * with. `region`: known already, or zero. Returns the worst outcome, OUTCOME_GONE when there was none.
 */
int foreman_run(const struct live_command *command, const struct live_arguments *arguments, struct live_region region, int from) must_check;

/* Would the foreman find anything to do now that the process that was named is done with? */
bool foreman_is_needed(const struct live_command *command, const struct live_arguments *arguments, struct live_region region) must_check;

#endif
