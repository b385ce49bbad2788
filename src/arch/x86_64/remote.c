/*
 * The stub of a remote system call:
 *
 *	syscall
 *	mov rdi, [rip + ...]	and rsi rdx r10 r8 r9 rax r11 rcx: all that a system call takes, returns
 *	...			or overwrites
 *	jmp *[rip + ...]	to where the program was
 *	the ten values
 *
 * mov and jmp change no flags, and `syscall` gives them back from r11. The stack pointer stays what it was and
 * nothing is written below it, so a signal that arrives inside is like one anywhere else.
 */
#include "arch/registers.h"

#include <string.h>
#include <sys/syscall.h>
#include <sys/user.h>

#include "base/bytes.h"

enum { LOADS = 9, LOAD_SIZE = 7, JUMP_AT = 2 + LOADS * LOAD_SIZE, CODE_SIZE = JUMP_AT + 6, VALUES_AT = 72,
       STUB_SIZE = VALUES_AT + (LOADS + 1) * 8 };
_Static_assert(CODE_SIZE <= VALUES_AT && STUB_SIZE <= REMOTE_STUB_MAX, "code, then values");

/* Kernel-internal results of interrupted system calls (include/linux/errno.h). */
enum { ERESTARTSYS = 512, ERESTARTNOINTR = 513, ERESTARTNOHAND = 514, ERESTART_RESTARTBLOCK = 516 };

/* Registers in the order of their loads, by hardware number. */
static const uint8_t loaded[LOADS] = { 7, 6, 2, 10, 8, 9, 0, 11, 1 };

size_t remote_stub_size(void)
{
	return STUB_SIZE;
}

static void write_code(uint8_t *out)
{
	out[0] = 0x0f;		/* syscall */
	out[1] = 0x05;
	for (unsigned int i = 0; i < LOADS; i++) {
		uint8_t *load = out + 2 + i * LOAD_SIZE;
		unsigned int next = 2 + (i + 1) * LOAD_SIZE;

		load[0] = loaded[i] >= 8 ? 0x4c : 0x48;	/* REX.W, REX.R for r8 and up */
		load[1] = 0x8b;				/* mov r64, r/m64 */
		load[2] = (uint8_t)(0x05 | (loaded[i] & 7) << 3);	/* [rip + disp32] */
		store32(load + 3, VALUES_AT + i * 8 - next);
	}
	out[JUMP_AT] = 0xff;	/* jmp *[rip + disp32] */
	out[JUMP_AT + 1] = 0x25;
	store32(out + JUMP_AT + 2, VALUES_AT + LOADS * 8 - CODE_SIZE);
	memset(out + CODE_SIZE, 0xcc, VALUES_AT - CODE_SIZE);
}

/*
 * What the kernel does with the result of an interrupted system call on the way back to the program
 * (arch/x86/kernel/signal.c, arch_do_signal_or_restart), done here because the registers that say
 * so are not in place when the thread leaves the kernel. restart_syscall finds its state in the task,
 * which no system call that we make touches.
 */
static void restart_call(struct user_regs_struct *r)
{
	if ((int64_t)r->orig_rax < 0)
		return;
	switch (-(int64_t)r->rax) {
	case ERESTARTSYS:
	case ERESTARTNOINTR:
	case ERESTARTNOHAND:
		r->rax = r->orig_rax;
		break;
	case ERESTART_RESTARTBLOCK:
		r->rax = SYS_restart_syscall;
		break;
	default:
		return;
	}
	r->rip -= REGISTERS_CALL_SIZE;
}

void remote_stub_write(uint8_t out[REMOTE_STUB_MAX], const struct registers *original)
{
	struct user_regs_struct r;

	memcpy(&r, original->word, sizeof(r));
	restart_call(&r);
	write_code(out);

	const uint64_t values[LOADS + 1] = { r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9, r.rax, r.r11, r.rcx, r.rip };

	for (unsigned int i = 0; i <= LOADS; i++)
		store64(out + VALUES_AT + i * 8, values[i]);
}

void remote_stub_enter(struct registers *registers, const struct registers *original, uint64_t at, int64_t call,
		       const uint64_t arguments[6])
{
	struct user_regs_struct r;

	memcpy(&r, original->word, sizeof(r));
	r.rip = at;
	r.rax = (uint64_t)call;
	r.orig_rax = UINT64_MAX;	/* not in a system call: nothing to restart on the way out */
	r.rdi = arguments[0];
	r.rsi = arguments[1];
	r.rdx = arguments[2];
	r.r10 = arguments[3];
	r.r8 = arguments[4];
	r.r9 = arguments[5];
	*registers = *original;
	memcpy(registers->word, &r, sizeof(r));
}

int64_t remote_stub_result(const struct registers *registers)
{
	struct user_regs_struct r;

	memcpy(&r, registers->word, sizeof(r));
	return (int64_t)r.rax;
}

bool remote_stub_recognise(const uint8_t *bytes)
{
	uint8_t code[VALUES_AT];

	write_code(code);
	return !memcmp(bytes, code, sizeof(code));
}
