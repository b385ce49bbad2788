/* A variable that only a changed function refers to, with another register than before. A line with 0 lets it begin anew. */
#include "host.h"

#if V == 1
#define REGISTER "r12"
#define FACTOR "3"
#else
#define REGISTER "rbx"
#define FACTOR "5"
#endif

long total(long n);

__asm__(".data\n"
	".balign 16\n"
	".globl beside\n"
	"beside: .quad 11, 12\n"
	"counted: .quad 0, 7\n"
	".globl behind\n"
	"behind: .quad 13, 14\n"
	".text\n"
	".p2align 4\n"
	".type total, @function\n"
	"total:\n"
	"	.cfi_startproc\n"
	"	push %" REGISTER "\n"
	"	.cfi_def_cfa_offset 16\n"
	"	.cfi_offset %" REGISTER ", -16\n"
	"	lea counted(%rip), %" REGISTER "\n"
	"	test %rdi, %rdi\n"
	"	cmovz %rdi, %rcx\n"
	"	cmovnz (%" REGISTER "), %rcx\n"
	"	add %rcx, %rdi\n"
	"	mov %rdi, (%" REGISTER ")\n"
	"	imul $" FACTOR ", 8(%" REGISTER "), %rax\n"
	"	imul %rdi, %rax\n"
	"	pop %" REGISTER "\n"
	"	.cfi_def_cfa_offset 8\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size total, .-total\n");

extern long beside[2] __attribute__((visibility("hidden"))), behind[2] __attribute__((visibility("hidden")));

static APART long others(long n)
{
	return beside[n & 1] * 100 + behind[n & 1];
}

static long answer(long n)
{
	return total(n) * 10000 + others(n);
}
