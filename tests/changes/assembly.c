/* Hand-written assembly: a function that changes, one that only new code calls, and one that does not change, with constants beside it. */
#include "host.h"

long by_hand(long n);
long by_hand_too(long n);
long by_constants(long n);

#if V == 1
#define FACTOR "3"
#else
#define FACTOR "5"
#endif

__asm__(".text\n"
	".p2align 4\n"
	".type by_hand, @function\n"
	"by_hand:\n"
	"	.cfi_startproc\n"
	"	push %rbx\n"
	"	.cfi_def_cfa_offset 16\n"
	"	.cfi_offset %rbx, -16\n"
	"	mov %rdi, %rbx\n"
	"	imul $" FACTOR ", %rbx, %rax\n"
	"	add $1, %rax\n"
	"	pop %rbx\n"
	"	.cfi_def_cfa_offset 8\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size by_hand, .-by_hand\n"
	".p2align 4\n"
	".type by_hand_too, @function\n"
	"by_hand_too:\n"
	"	.cfi_startproc\n"
	"	lea 11(%rdi, %rdi), %rax\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size by_hand_too, .-by_hand_too\n"
	".p2align 4\n"
	".type by_constants, @function\n"
	"by_constants:\n"
	"	.cfi_startproc\n"
	"	mov constants(%rip), %rax\n"
	"	add constants+8(%rip), %rax\n"
	"	lea more(%rip), %rdx\n"
	"	add 8(%rdx), %rax\n"
	"	add %rdi, %rax\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size by_constants, .-by_constants\n"
	".p2align 5\n"
	"constants:\n"
	"	.quad 0, 0\n"
	".p2align 5\n"
	"more:\n"
	"	.quad 0, 4\n");

static APART long user(long n)
{
	return labs(by_hand_too(n)) + V;
}

static long answer(long n)
{
	return by_hand(n) * 1000 + user(n) + by_constants(n);
}
