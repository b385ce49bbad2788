/* sharing.h: other processes that run in the same memory (vfork; clone with CLONE_VM but without CLONE_THREAD). */
#ifndef STENT_PROCESS_SHARING_H
#define STENT_PROCESS_SHARING_H

#include "process/process.h"

/*
 * Another process that uses the memory of this one, and whose threads are in no list of ours; 0: none; -1: there may be one
 * (processes can't be listed). A kernel without kcmp(2) can't tell; then 0. Before a stop, as late as possible: all processes are asked, if that was not
 * done just before.
 */
pid_t sharing_look(const struct process *process);

/* The same in a stop: if sharing_look() has found nobody before, only those are asked who can have come to share since. */
pid_t sharing_process(const struct process *process);

/* Do these two use one memory? Not known: false. */
bool sharing_two(pid_t one, pid_t other) must_check;

/* How many tasks the kernel has made since it began, threads included, in whatever namespace. 0: not known. */
uint64_t sharing_tasks_made(void);

#endif
