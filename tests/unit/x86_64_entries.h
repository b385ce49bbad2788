/*
 * x86_64_entries.h: functions whose entries are to be displaced, for test_entry.c. Position-independent, since
 * they are copied before they run.
 *
 * ENTRY(name, code, padding, rest): the function's code, what pads it, and what else it needs. Behind
 * each follow, by the numbers of their labels:
 *	90: a callee that notes where it is to return to (in 93), how often it ran, and changes rax and the flags
 *	91: the address of 90, for indirect calls	92: 32 bytes to work on	93: the notes
 * rdi and r12 hold the address of 91 on entry; rax that of 90; ecx is a small number.
 */
#ifndef STENT_TESTS_X86_64_ENTRIES_H
#define STENT_TESTS_X86_64_ENTRIES_H

#include <stdint.h>

struct entry {
	const char *name;
	const uint8_t *code, *end, *padded, *callee, *pointer, *last;
};

#define ENTRY(name, code, padding, rest)                                                                     \
	extern const uint8_t entry_##name[], entry_##name##_end[], entry_##name##_padded[],                  \
		entry_##name##_callee[], entry_##name##_pointer[], entry_##name##_last[];                    \
	__asm__(".pushsection .rodata\n"                                                                     \
		"entry_" #name ": " code "\n"                                                                \
		"entry_" #name "_end: " padding "\n"                                                         \
		"entry_" #name "_padded: " rest "\n"                                                         \
		"entry_" #name "_callee: 90: mov (%rsp), %rax; mov %rax, 93f(%rip); incq 93f+8(%rip); "      \
		"cmp 92f(%rip), %rax; ret\n"                                                                 \
		".balign 8\n"                                                                                \
		"entry_" #name "_pointer: 91: .quad 0\n"                                                     \
		"92: .quad 0x1122334455667788, 0x99aabbccddeeff00, 5, 6\n"                                   \
		"93: .quad 0, 0\n"                                                                           \
		"entry_" #name "_last:\n"                                                                    \
		".popsection\n");

#define ENTRY_CASE(name)                                                                                     \
	{ #name, entry_##name, entry_##name##_end, entry_##name##_padded, entry_##name##_callee,             \
	  entry_##name##_pointer, entry_##name##_last }

#define NO_PADDING ""
#define NO_REST "hlt"

/* --- entries that can be redirected --- */

ENTRY(plain, "push %rbx; mov %rsp, %rbx; sub $24, %rsp; add $24, %rsp; pop %rbx; ret", NO_PADDING, NO_REST)
ENTRY(exact, "mov $0x12345678, %eax; ret", NO_PADDING, NO_REST)
ENTRY(stack_protector, "mov %fs:0x28, %rax; xor %eax, %eax; ret", NO_PADDING, NO_REST)
ENTRY(string, "rep stosb; nopl (%rax); ret", NO_PADDING, NO_REST)

ENTRY(pc_load, "mov 92f(%rip), %rdx; ret", NO_PADDING, NO_REST)
ENTRY(pc_store_immediate, "movl $0x12345678, 92f(%rip); ret", NO_PADDING, NO_REST)
ENTRY(pc_store_byte_immediate, "movb $0x12, 92f+3(%rip); ret", NO_PADDING, NO_REST)
ENTRY(pc_store_word_immediate, "movw $0x1234, 92f+2(%rip); ret", NO_PADDING, NO_REST)
ENTRY(pc_compare, "cmpb $5, 92f+16(%rip); setz %al; ret", NO_PADDING, NO_REST)
ENTRY(pc_address, "lea 92f(%rip), %rsi; mov (%rsi), %rsi; ret", NO_PADDING, NO_REST)
ENTRY(pc_own_address, "lea entry_pc_own_address(%rip), %rsi; ret", NO_PADDING, NO_REST)
ENTRY(pc_vector, "movups 92f(%rip), %xmm3; ret", NO_PADDING, NO_REST)
ENTRY(pc_locked, "lock xadd %rcx, 92f(%rip); ret", NO_PADDING, NO_REST)
ENTRY(pc_third, "push %rbp; mov %rsp, %rbp; mov 92f+8(%rip), %r9; pop %rbp; ret", NO_PADDING, NO_REST)

ENTRY(jcc_short, "jz 1f; mov $1, %eax; ret; 1: mov $2, %eax; ret", NO_PADDING, NO_REST)
ENTRY(jcc_short_second, "test %ecx, %ecx; js 1f; jz 1f; mov $1, %eax; ret; 1: mov $2, %eax; ret", NO_PADDING, NO_REST)
ENTRY(jcc_near, ".byte 0x0f, 0x8c; .long 1f - . - 4; mov $1, %eax; ret; 1: mov $2, %eax; ret", NO_PADDING, NO_REST)
ENTRY(jcc_to_end, "jz 1f; cmp %ecx, %eax; nop; 1: sbb %edx, %edx; ret", NO_PADDING, NO_REST)
ENTRY(jump_short, "jmp 1f", "nop; nop; nop; nop", "1: mov $7, %eax; ret")
ENTRY(jump_near, ".byte 0xe9; .long 1f - . - 4", NO_PADDING, "1: mov $7, %eax; ret")
ENTRY(jump_second, "xor %edx, %edx; jmp 1f", "int3; int3", "1: mov $7, %eax; ret")
ENTRY(jump_memory, "jmp *91f(%rip)", NO_PADDING, NO_REST)
ENTRY(jump_register, "notrack jmp *%rax", "nopl (%rax)", NO_REST)

ENTRY(loop, "loop 1f; mov $1, %edx; ret; 1: mov $2, %edx; ret", NO_PADDING, NO_REST)
ENTRY(loope, "loope 1f; mov $1, %edx; ret; 1: mov $2, %edx; ret", NO_PADDING, NO_REST)
ENTRY(loopne, "loopne 1f; mov $1, %edx; ret; 1: mov $2, %edx; ret", NO_PADDING, NO_REST)
ENTRY(jrcxz, "jrcxz 1f; mov $1, %edx; ret; 1: mov $2, %edx; ret", NO_PADDING, NO_REST)
ENTRY(jecxz, "bswap %rcx; jecxz 1f; mov $1, %edx; ret; 1: mov $2, %edx; ret", NO_PADDING, NO_REST)
ENTRY(two_of_them, "jrcxz 1f; loop 1f; nop; ret; 1: mov $2, %edx; ret", NO_PADDING, NO_REST)

/* Back to their own first byte. */
ENTRY(loop_to_entry, "decq %rcx; jg entry_loop_to_entry; mov $3, %eax; ret", NO_PADDING, NO_REST)
ENTRY(loop_to_entry_near, "decl %ecx; .byte 0x0f, 0x8f; .long entry_loop_to_entry_near - . - 4; ret", NO_PADDING, NO_REST)
ENTRY(loop_insn_to_entry, "incl %edx; jrcxz 1f; loop entry_loop_insn_to_entry; 1: incl %edx; ret", NO_PADDING, NO_REST)
ENTRY(endbr_loop_to_entry, "endbr64; decq %rcx; jg entry_endbr_loop_to_entry; ret", NO_PADDING, NO_REST)
ENTRY(endbr_loop_behind, "endbr64; 1: decq %rcx; jg 1b; ret", NO_PADDING, NO_REST)

ENTRY(call, "call 90f; mov $1, %edx; ret", NO_PADDING, NO_REST)
ENTRY(call_pushed, "push %rbx; call 90f; pop %rbx; ret", NO_PADDING, NO_REST)
ENTRY(call_aligned, "sub $8, %rsp; call 90f; lea 8(%rsp), %rsp; ret", NO_PADDING, NO_REST)
ENTRY(call_next, "call 1f; 1: pop %rdx; ret", NO_PADDING, NO_REST)
ENTRY(call_memory, "call *91f(%rip); mov $1, %edx; ret", NO_PADDING, NO_REST)
ENTRY(call_fentry, "endbr64; call *91f(%rip); push %rbx; pop %rbx; ret", NO_PADDING, NO_REST)
ENTRY(call_register, "push %rbx; nop; nop; call *%rax; pop %rbx; ret", NO_PADDING, NO_REST)
ENTRY(call_register_high, "mov %rax, %r10; call *%r10; ret", NO_PADDING, NO_REST)
ENTRY(call_based, "push %rbx; push %rbp; .byte 0xff, 0x57, 0; pop %rbp; pop %rbx; ret", NO_PADDING, NO_REST)
ENTRY(call_based_r12, "push %rbx; call *(%r12); pop %rbx; ret", NO_PADDING, NO_REST)
ENTRY(call_notrack, "push %rbx; nop; notrack call *%rax; pop %rbx; ret", NO_PADDING, NO_REST)
ENTRY(call_prefixed, ".byte 0x66, 0x66, 0x48, 0xe8; .long 90f - . - 4; ret", NO_PADDING, NO_REST)
ENTRY(call_at_end, "call 90f", NO_PADDING, "mov $1, %edx; ret")

ENTRY(endbr, "endbr64; push %rbp; mov %rsp, %rbp; mov 92f(%rip), %edx; pop %rbp; ret", NO_PADDING, NO_REST)
ENTRY(endbr_return, "endbr64; ret", "nopl 8(%rax)", NO_REST)
ENTRY(one_byte, "ret", ".byte 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0", NO_REST)
ENTRY(one_byte_traps, "ret", "int3; int3; int3; int3", NO_REST)
ENTRY(padding_inside, "xor %eax, %eax; ret; nop; nop; mov $1, %eax; ret", NO_PADDING, NO_REST)
ENTRY(repeat_return, "mov %ecx, %eax; rep ret", "nop", NO_REST)

/* --- entries that are to be refused --- */

ENTRY(no_padding, "xor %eax, %eax; ret", NO_PADDING, NO_REST)
ENTRY(little_padding, "xor %eax, %eax; ret", "nop", NO_REST)
ENTRY(falls_through, "nop; nop", "nop; nop; nop", NO_REST)
ENTRY(code_behind_return, "ret; 1: mov $1, %eax; jmp 1b", NO_PADDING, NO_REST)
ENTRY(code_behind_jump, "jmp 1f; xor %eax, %eax; xor %edx, %edx; 1: ret", NO_PADDING, NO_REST)
ENTRY(branch_inside, "jz 1f; nop; 1: mov $1, %eax; ret", NO_PADDING, NO_REST)
ENTRY(branch_into_insn, "jz entry_branch_into_insn + 3; mov $1, %eax; ret", NO_PADDING, NO_REST)
ENTRY(branch_behind_jump, "jz entry_branch_behind_jump + 6; mov $1, %eax; ret", NO_PADDING, NO_REST)
ENTRY(branch_into_endbr, "endbr64; jz entry_branch_into_endbr + 2; mov $1, %eax; ret", NO_PADDING, NO_REST)
ENTRY(branch_into_padding, "jz entry_branch_into_padding + 4; ret", "nop; nop; nop", NO_REST)
ENTRY(jump_behind_itself, "jmp 1f; 1:", "nop; nop; nop", "ret")
ENTRY(early_call, "call *%rax; pop %rbx; push %rbx; ret", NO_PADDING, NO_REST)
ENTRY(short_call_padded, "call *%rax", "nop; nop; nop; nop", NO_REST)
ENTRY(call_inside, "1: push %rbx; call 1b+3; ret", NO_PADDING, NO_REST)
ENTRY(call_stack_register, "push %rbx; nop; nop; call *%rsp; ret", NO_PADDING, NO_REST)
ENTRY(call_stack_memory, "push %rbx; push %rax; call *8(%rsp); ret", NO_PADDING, NO_REST)
ENTRY(call_far, "push %rbx; push %rax; lcall *8(%rdi); ret", NO_PADDING, NO_REST)
ENTRY(own_bytes, "cmpl $3, entry_own_bytes+1(%rip); ret", NO_PADDING, NO_REST)
ENTRY(own_label, "nop; 1: lea 1b(%rip), %rax; ret", NO_PADDING, NO_REST)
ENTRY(pc_32_bit, "mov 92f(%eip), %rax; ret", NO_PADDING, NO_REST)
ENTRY(branch_16_bit, ".byte 0x66, 0xe9; .long 1f - . - 4; 1: ret", NO_PADDING, NO_REST)
ENTRY(no_instruction, "nop; .byte 0x06, 0x06, 0x06, 0x06, 0x06; ret", NO_PADDING, NO_REST)
ENTRY(cut_instruction, "nop; .byte 0x48, 0x8b", NO_PADDING, NO_REST)

#endif
