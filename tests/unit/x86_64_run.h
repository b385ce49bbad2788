/*
 * x86_64_run.h: run a piece of x86-64 code with every register chosen, and see what it left in them.
 */
#ifndef STENT_TESTS_X86_64_RUN_H
#define STENT_TESTS_X86_64_RUN_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Registers by hardware number; [4], the stack pointer, is not loaded but is the one at the code's entry. */
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

struct machine {
	uint64_t general[16];
	uint64_t flags;
	uint64_t vector[16][2];
};

/* CF PF AF ZF SF OF: what a program sees and may choose freely. */
#define MACHINE_FLAGS UINT64_C(0x8d5)

/* Call `code` with *machine in the registers, and put there what it returns with. It runs on a stack of its
 * own, so that the stack pointer is the same every time; not reentrant. */
void run_code(struct machine *machine, uint64_t code);

__asm__(".pushsection .text\n"
	".type run_code, @function\n"
	"run_code:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov %rsp, %rax\n"
	"	lea run_stack_end(%rip), %rsp\n"
	"	push %rax\n"
	"	push %rdi\n"
	"	push %rsi\n"
	"	sub $8, %rsp\n"
	"	lea -8(%rsp), %rax\n"
	"	mov %rax, 32(%rdi)\n"
	"	.irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
	"	movups 136 + 16 * \\number(%rdi), %xmm\\number\n"
	"	.endr\n"
	"	push 128(%rdi)\n"
	"	popfq\n"
	"	mov 0(%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx\n"
	"	mov 40(%rdi), %rbp; mov 48(%rdi), %rsi; mov 64(%rdi), %r8; mov 72(%rdi), %r9\n"
	"	mov 80(%rdi), %r10; mov 88(%rdi), %r11; mov 96(%rdi), %r12; mov 104(%rdi), %r13\n"
	"	mov 112(%rdi), %r14; mov 120(%rdi), %r15; mov 56(%rdi), %rdi\n"
	"	call *8(%rsp)\n"
	"	mov %rdi, (%rsp)\n"
	"	mov 16(%rsp), %rdi\n"
	"	mov %rax, 0(%rdi); mov %rcx, 8(%rdi); mov %rdx, 16(%rdi); mov %rbx, 24(%rdi)\n"
	"	mov %rbp, 40(%rdi); mov %rsi, 48(%rdi); mov %r8, 64(%rdi); mov %r9, 72(%rdi)\n"
	"	mov %r10, 80(%rdi); mov %r11, 88(%rdi); mov %r12, 96(%rdi); mov %r13, 104(%rdi)\n"
	"	mov %r14, 112(%rdi); mov %r15, 120(%rdi)\n"
	"	mov (%rsp), %rax\n"
	"	mov %rax, 56(%rdi)\n"
	"	lea -8(%rsp), %rax\n"
	"	mov %rax, 32(%rdi)\n"
	"	.irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
	"	movups %xmm\\number, 136 + 16 * \\number(%rdi)\n"
	"	.endr\n"
	"	pushfq\n"
	"	pop 128(%rdi)\n"
	"	cld\n"
	"	add $24, %rsp\n"
	"	pop %rsp\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n"
	".size run_code, . - run_code\n"
	".popsection\n"
	".pushsection .bss\n"
	".balign 16\n"
	"run_stack: .zero 65536\n"
	"run_stack_end:\n"
	".popsection\n");

static inline uint64_t random_word(void)
{
	static uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);

	/* xorshift64: the same patterns in every run */
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* A different pattern every time: registers, vector registers and flags. */
static inline void fill_machine(struct machine *machine)
{
	for (int i = 0; i < 16; i++) {
		machine->general[i] = random_word();
		machine->vector[i][0] = random_word();
		machine->vector[i][1] = random_word();
	}
	machine->flags = (random_word() & MACHINE_FLAGS) | 0x202; /* interrupts on; bit 1 is always set */
}

/* Address space of which pieces can be made usable at chosen distances: size bytes, or NULL. */
static inline uint8_t *reserve_space(size_t size)
{
	void *space = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return space == MAP_FAILED ? NULL : space;
}

static inline int make_executable(uint8_t *space, size_t size)
{
	return mprotect(space, size, PROT_READ | PROT_WRITE | PROT_EXEC);
}

#endif
