/*
 * process.h: one running process, held so that nothing else can take its place.
 *
 * A process is named by a number that the kernel gives to another one when it ends. So everything is
 * done through descriptors that stay with the process they were opened for: the folder /proc/PID (reads in
 * it fail when the process is gone) and its memory (reads in it fail when the process is gone or has
 * executed another program). Only ptrace takes numbers; threads.c checks these after attaching.
 */
#ifndef STENT_PROCESS_PROCESS_H
#define STENT_PROCESS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/error.h"
#include "base/memory.h"

struct process_puts;

#define COMM_MAX 64	/* 15 bytes of the kernel's, escaped by it */

struct process {
	pid_t pid;
	char comm[COMM_MAX];	/* printable, as all of these */
	int handle;		/* pidfd */
	int directory;		/* /proc/PID */
	int memory;		/* /proc/PID/task/TID/mem */
	int mappings;		/* /proc/PID/task/TID/maps, to ask for single ones; -1: none */
	int lock;		/* held by the one stent that may change it; -1: none */
	struct process_puts *puts;	/* see process_put_off() */
	uint64_t stack_start;	/* stack pointer that the program began with (its first thread); 0: not known */
	pid_t shadow_stack;	/* a thread that had one when the process was opened to change it; 0: none had */
};

enum process_use {
	PROCESS_LOOK,		/* only read its memory */
	PROCESS_CHANGE,		/* stop it and write */
};

/*
 * Open a process. STATUS_ERROR: there is none, it is exiting or a zombie, or the kernel does not permit it.
 * STATUS_REFUSED: stent itself, a kernel thread, a 32-bit program, or (for PROCESS_CHANGE) one that is traced
 * or that another stent has open to change it; or stent may have too few files open for that.
 * Close with process_close() in any case.
 */
enum status process_open(pid_t pid, enum process_use use, struct process *process, struct error *error) must_check;
void process_close(struct process *process);

/* The process is not known to have ended, or to be a zombie. */
bool process_alive(const struct process *process);

/* What /proc/PID/task/TID/{stat,status} say. */
struct task {
	char comm[COMM_MAX];
	char state;		/* R, S, D, T, t, Z, X, ... */
	uint32_t flags;		/* PF_* */
	pid_t tracer;		/* 0: none */
	uint64_t deliverable;	/* signals that are pending, for it or for all, not blocked and not without effect */
	uint64_t without_effect;	/* signals that are ignored, by the program or by default: bit signal - 1 */
	bool seccomp;		/* a filter may refuse system calls */
	bool shadow_stack;	/* returns are checked against a second stack */
	uint64_t switches;	/* how often it was taken off a processor */
};

/* False when the thread is gone. */
bool process_task(const struct process *process, pid_t tid, struct task *task) must_check;

/* The same without the flags, in half the time: for who asks all threads. */
bool process_task_status(const struct process *process, pid_t tid, struct task *task) must_check;

/* A task that has ended, or is about to and will run no more of the program. */
bool task_ended(const struct task *task);

/* Belongs to the kernel as a whole, not to a program. */
bool task_kernel_thread(const struct task *task);

/* A kernel worker of the process (io_uring): it never runs the program's code. */
bool task_kernel_worker(const struct task *task);

/* The system call that a thread is blocked in, without stopping it (/proc/TID/syscall). */
struct task_call {
	bool blocked;		/* false: running, nothing below is valid */
	int64_t number;		/* -1: blocked, but not in a system call */
	uint64_t arguments[6];
	uint64_t stack, pc;
};
bool process_task_call(const struct process *process, pid_t tid, struct task_call *call) must_check;

/* A thread that still has the process's memory (the first one may have ended before the others). 0: all have ended. -1: it is not known whether
 * there is one: those that are listed have ended, and the list was cut, or could not be made. */
pid_t process_living_task(const struct process *process);

/*
 * Threads of the process, also ended ones, in the order in which they were made. Free with array_free().
 *
 * The kernel goes from each thread to the next one; where the one that it has just listed ends meanwhile, the list ends there, however
 * many follow (next_tid() in fs/proc/base.c). The list is made again then, some times. And who is made while it is made may be missing.
 */
struct tids {
	pid_t *item;
	size_t count, room;
	bool cut;	/* it still ended like that: any that follow are missing */
};

/* False: they can't be listed (errno), so nothing is known of those that are missing: the process is gone, or no descriptor is free. */
bool process_tids(const struct process *process, struct tids *tids) must_check;

/* Contents of a file in /proc/PID, with a NUL behind them; free() it. NULL when it can't be read (see errno). */
char *process_file(const struct process *process, const char *name, size_t *size) must_check;

/* An entry of the auxiliary vector (AT_HWCAP2, ...). False: there is none, or the vector can't be read. */
bool process_auxv(const struct process *process, uint64_t type, uint64_t *value) must_check;

/* Name of any process, for messages, made printable, put into `out`; "?" when there is none. Returns out. */
const char *process_comm_of(pid_t pid, char out[COMM_MAX]);

/*
 * All of `size` bytes at `address`, or false: the memory is not mapped, or the process is gone. Writes
 * reach read-only and executable private mappings (the kernel makes a private copy of the page, as
 * for a debugger's breakpoint). A write is not atomic but for an aligned 8-byte word (measured), and one that fails says why in errno.
 */
bool process_read(const struct process *process, uint64_t address, void *out, size_t size) must_check;
bool process_write(const struct process *process, uint64_t address, const void *data, size_t size) must_check;

/* As process_read(), for a thread that the caller has stopped (its number can't become another's). Memory that it may not
 * read itself is not read: then process_read() may succeed. Faster than that. */
bool process_read_stopped(pid_t tid, uint64_t address, void *out, size_t size) must_check;

/* The same for many pieces of the process's memory (at most IOV_MAX), one behind the other, of `size` bytes together. */
bool process_read_pieces(pid_t tid, const struct iovec *pieces, size_t count, void *out, size_t size) must_check;

/* What is, or is to be, at an address. */
struct process_bytes {
	uint64_t address;
	const void *bytes;	/* the owner's */
	size_t size;
};

struct process_pieces {
	struct process_bytes *item;
	size_t count, room;
};

/*
 * Do they stand there, every one? Asked of many at once, which takes one system call where each by itself takes one for each. False: not all, or it
 * can't be told this way. The process is stopped; or a wrong answer does no harm, because its number may be another's.
 */
bool process_holds(const struct process *process, const struct process_bytes *pieces, size_t count) must_check;

/* Write, and read back what has been written. STATUS_ERROR names the address. */
enum status process_put(const struct process *process, uint64_t address, const void *data, size_t size,
			struct error *error) must_check;

/* The same for many pieces, which are written in their order, and then all read back. Behind one that can't be written nothing is. No two
 * overlap. */
enum status process_put_all(const struct process *process, const struct process_bytes *pieces, size_t count, struct error *error) must_check;

/*
 * From here on what is put is written at once, in order, but read back not before process_put_done(), by one system call for all: for a few words
 * while the process stands still, when nothing but the last of them makes anything of the others. Of a place that is put to again what was
 * there is read back before. STATUS_ERROR of process_put_done() names an address; also after a failed process_put().
 */
void process_put_off(const struct process *process);
enum status process_put_done(const struct process *process, struct error *error) must_check;

/* memory.c, for process_open() and process_close(); may be NULL. */
struct process_puts *process_puts_new(void) must_check;
void process_puts_free(struct process_puts *puts);

#endif
