#include "arch/registers.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "base/bytes.h"

_Static_assert(sizeof(struct user_regs_struct) <= sizeof(struct registers), "the set fits");

#define USER_CS 0x33		/* 64-bit code (arch/x86/include/asm/segment.h: __USER_CS) */
#define FLAG_TRAP 0x100

static struct user_regs_struct user(const struct registers *registers)
{
	struct user_regs_struct copy;

	memcpy(&copy, registers->word, sizeof(copy));
	return copy;
}

const struct arch *registers_arch(void)
{
	return &arch_x86_64;
}

int registers_read(pid_t tid, struct registers *registers)
{
	struct iovec buffer = { registers->word, sizeof(registers->word) };

	memset(registers, 0, sizeof(*registers));
	if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &buffer) < 0)
		return -errno;
	/* A thread in a 32-bit system call or program shows the shorter i386 set. */
	if (buffer.iov_len != sizeof(struct user_regs_struct) || user(registers).cs != USER_CS)
		return -ENOEXEC;
	return 0;
}

int registers_write(pid_t tid, const struct registers *registers)
{
	/*
	 * The kernel sets registers one after the other and stops at the first word of the buffer that it can't
	 * read, which would leave a thread with registers of both sets. So the buffer lies in one page, which
	 * has just been written.
	 */
	static _Alignas(512) struct registers copy;
	struct iovec buffer = { copy.word, sizeof(struct user_regs_struct) };

	copy = *registers;
	return ptrace(PTRACE_SETREGSET, tid, (void *)NT_PRSTATUS, &buffer) < 0 ? -errno : 0;
}

size_t registers_read_vectors(pid_t tid, uint8_t out[REGISTERS_VECTORS_MAX])
{
	/* A processor without XSAVE has the second set only. */
	static const int sets[] = { NT_X86_XSTATE, NT_PRFPREG };

	for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
		struct iovec buffer = { out, REGISTERS_VECTORS_MAX };

		if (ptrace(PTRACE_GETREGSET, tid, (void *)(long)sets[i], &buffer) == 0)
			return buffer.iov_len < REGISTERS_VECTORS_MAX ? buffer.iov_len : 0;
	}
	return 0;
}

uint64_t registers_pc(const struct registers *registers)
{
	return user(registers).rip;
}

uint64_t registers_stack(const struct registers *registers)
{
	return user(registers).rsp;
}

uint64_t registers_thread_pointer(const struct registers *registers)
{
	return user(registers).fs_base;
}

void registers_dwarf(const struct registers *registers, uint64_t out[FRAME_ALL_REGISTERS])
{
	const struct user_regs_struct r = user(registers);
	const uint64_t values[FRAME_ALL_REGISTERS] = {
		r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8,
		r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rip,
	};

	memcpy(out, values, sizeof(values));
}

bool registers_trapping(const struct registers *registers)
{
	return user(registers).eflags & FLAG_TRAP;
}

int64_t registers_call(const struct registers *registers)
{
	int64_t call = (int64_t)user(registers).orig_rax;

	return call < 0 ? -1 : call;
}

bool registers_call_fails(int64_t call)
{
	/*
	 * signal(7) lists them; in the kernel they are those that return -EINTR instead of one of the
	 * -ERESTART codes: fs/eventpoll.c, kernel/signal.c (sigtimedwait), ipc/sem.c, fs/aio.c,
	 * io_uring, inotify's read, and sock_intr_errno() for sockets with a timeout. connect() is not
	 * here: entered again it would fail with EALREADY.
	 */
	switch (call) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_rt_sigtimedwait:
	case SYS_read:
	case SYS_readv:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_accept:
	case SYS_accept4:
	case SYS_write:
	case SYS_writev:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_io_getevents:
	case SYS_io_pgetevents:
	case SYS_io_uring_enter:
		return true;
	default:
		return false;
	}
}

bool registers_call_spawns(int64_t call)
{
	return call == SYS_vfork || call == SYS_clone || call == SYS_clone3;
}

bool registers_call_failed(const struct registers *registers)
{
	return (int64_t)user(registers).rax == -EINTR && registers_call_fails(registers_call(registers));
}

bool registers_rewind(struct registers *registers, const uint8_t code[REGISTERS_CALL_SIZE])
{
	struct user_regs_struct r = user(registers);

	/* int $0x80 counts system calls by the i386 table: what registers_call_fails() said is void. */
	if (code[0] != 0x0f || code[1] != 0x05)
		return false;
	r.rip -= REGISTERS_CALL_SIZE;
	r.rax = r.orig_rax;
	r.orig_rax = UINT64_MAX;	/* not in a system call any more: the kernel restarts nothing itself */
	memcpy(registers->word, &r, sizeof(r));
	return true;
}
