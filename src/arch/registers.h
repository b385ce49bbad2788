/*
 * registers.h: the registers of a stopped thread, and the code that makes a thread run a system call.
 *
 * ptrace is native: a tracer sees the registers of its own machine only. So these are plain functions,
 * implemented once per instruction set (src/arch/ARCH/registers.c and remote.c), and no other file
 * knows what a register is called, how a system call is entered or how it is restarted.
 */
#ifndef STENT_ARCH_REGISTERS_H
#define STENT_ARCH_REGISTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "arch/arch.h"
#include "arch/frame.h"
#include "base/error.h"

/* The instruction set that they are of, stent's own: that of every thread whose registers can be read. */
const struct arch *registers_arch(void);

/* As PTRACE_GETREGSET with NT_PRSTATUS lays them out. */
struct registers {
	uint64_t word[32];
};

/*
 * Read or write all registers of a thread that is in a ptrace stop, in one call. Return 0 or -errno;
 * ESRCH: not stopped, or gone; ENOEXEC: it runs code of another mode (32-bit), whose registers can't
 * be used. Write only what registers_read() gave, changed by the functions below: the kernel checks
 * values while it copies, and a refused one leaves a half-written set.
 */
int registers_read(pid_t tid, struct registers *registers) must_check;
int registers_write(pid_t tid, const struct registers *registers) must_check;

uint64_t registers_pc(const struct registers *registers);
uint64_t registers_stack(const struct registers *registers);
uint64_t registers_thread_pointer(const struct registers *registers);
/* By the numbers of unwind data; the last is the program counter. */
void registers_dwarf(const struct registers *registers, uint64_t out[FRAME_ALL_REGISTERS]);

/*
 * All that the registers of a stopped thread hold besides: vectors and floating point, as the kernel lays them out, at `out`. Returns how many
 * bytes that is; 0: they can't be read.
 */
#define REGISTERS_VECTORS_MAX 32768	/* more than any processor has so far */
size_t registers_read_vectors(pid_t tid, uint8_t out[REGISTERS_VECTORS_MAX]) must_check;

/*
 * The C library hides addresses of code that it keeps (atexit(3), setjmp(3)) by a number that each thread has at this distance from
 * its thread pointer (glibc: POINTER_GUARD of tcbhead_t). This undoes what its PTR_MANGLE() does.
 */
#define REGISTERS_GUARD_AT 0x30
static inline uint64_t registers_reveal(uint64_t hidden, uint64_t guard)
{
	return ((hidden >> 17) | (hidden << 47)) ^ guard;
}

/* The thread is stepping itself: its next instruction traps, so it can't be made to run others. */
bool registers_trapping(const struct registers *registers);

/* Number of the system call that the thread was stopped in, or -1. */
int64_t registers_call(const struct registers *registers);

/* True for system calls that return EINTR after a ptrace stop although no signal came (signal(7):
 * "Interruption of system calls and library functions by stop signals"). */
bool registers_call_fails(int64_t call);

/* True for system calls that may be waiting for a child which runs in the same memory (vfork). */
bool registers_call_spawns(int64_t call);

/* The thread is stopped in a system call of that kind, which has just failed with EINTR. */
bool registers_call_failed(const struct registers *registers);

/* Make the thread enter that call again. `code`: the two bytes before the program counter; false,
 * and nothing changed, when they are not a system call instruction. */
#define REGISTERS_CALL_SIZE 2
bool registers_rewind(struct registers *registers, const uint8_t code[REGISTERS_CALL_SIZE]) must_check;

/*
 * The stub that a thread runs for us: one system call, then every register back as it was, then on
 * with the program. It is self-contained: the original values stand behind the code, so a thread that
 * was sent into it needs nobody's help to come out, and uses no stack.
 */
#define REMOTE_STUB_MAX 192
size_t remote_stub_size(void);

/* Write the stub, which may stand at any address. What a thread with the registers `original` would do after the
 * stop, the stub does in its place: a system call that the kernel would restart is restarted. */
void remote_stub_write(uint8_t out[REMOTE_STUB_MAX], const struct registers *original);

/* Registers that send the thread into the stub at `at` with this system call. */
void remote_stub_enter(struct registers *registers, const struct registers *original, uint64_t at, int64_t call,
		       const uint64_t arguments[6]);

/* What the system call returned, after it. */
int64_t remote_stub_result(const struct registers *registers);

/* These bytes (remote_stub_size() of them) are a stub that an earlier patcher left behind. */
bool remote_stub_recognise(const uint8_t *bytes);

#endif
