/*
 * Functions that are made to fool the validator: their unwind data is wrong somewhere, by way of an instruction, a callee or
 * an entry that is easily overlooked. None of them may be called exact.
 */
#include "validated.h"

struct liar {
	const char *name;
	const char *body;	/* lines between .cfi_startproc and .cfi_endproc */
};

#define SAVE "push %rbx\n .cfi_def_cfa_offset 16\n .cfi_offset rbx,-16\n"
#define RESTORE "pop %rbx\n .cfi_def_cfa_offset 8\n .cfi_restore rbx\n ret\n"

static const struct liar liars[] = {
	{ "pops_into_slot",
	  SAVE "xor %ebx,%ebx\n push %rax\n .cfi_adjust_cfa_offset 8\n pop 0(%rsp)\n .cfi_adjust_cfa_offset -8\n nop\n"
	  "xor %eax,%eax\n" RESTORE },
	{ "saves_vectors",
	  SAVE "sub $0x800,%rsp\n .cfi_adjust_cfa_offset 0x800\n xor %ebx,%ebx\n xsave (%rsp)\n xor %eax,%eax\n"
	  "add $0x800,%rsp\n .cfi_adjust_cfa_offset -0x800\n" RESTORE },
	{ "aligned_store",
	  "push %rbp\n .cfi_def_cfa_offset 16\n .cfi_offset rbp,-16\n mov %rsp,%rbp\n .cfi_def_cfa_register rbp\n"
	  "push %rbx\n .cfi_offset rbx,-24\n xor %ebx,%ebx\n and $-32,%rsp\n mov %rax,(%rsp)\n mov %rax,8(%rsp)\n"
	  "xor %eax,%eax\n mov -8(%rbp),%rbx\n leave\n .cfi_def_cfa rsp,8\n ret\n" },
	{ "moves_conditionally",
	  "cmp %esi,%edi\n cmove %rdi,%rbx\n xor %eax,%eax\n ret\n" },
	{ "sets_bl",
	  "cmp %esi,%edi\n sete %bl\n xor %eax,%eax\n ret\n" },
	{ "identifies",
	  "xor %eax,%eax\n cpuid\n xor %eax,%eax\n ret\n" },
	{ "writes_bh",
	  "mov $1,%bh\n xor %eax,%eax\n ret\n" },
	{ "exchanges_and_adds",
	  "xadd %rbx,%rax\n xor %eax,%eax\n ret\n" },
	{ "multiplies",
	  "mulx %rbx,%rbp,%rax\n xor %eax,%eax\n ret\n" },
	{ "compares_and_exchanges",
	  SAVE "xor %ebx,%ebx\n cmpxchg16b (%rsp)\n xor %eax,%eax\n" RESTORE },
	{ "exchanges_halves",
	  "xchg %ebx,%eax\n xor %eax,%eax\n ret\n" },
	{ "clears_upper_half",
	  "mov %ebp,%ebp\n xor %eax,%eax\n ret\n" },
	{ "extended",
	  "mov %rbx,%rax\n cltq\n mov %rax,%rbx\n xor %eax,%eax\n ret\n" },
	{ "stores_vector",
	  SAVE "xor %ebx,%ebx\n movups %xmm0,-8(%rsp)\n xor %eax,%eax\n" RESTORE },
	{ "stores_byte",
	  SAVE "xor %ebx,%ebx\n movb $1,7(%rsp)\n xor %eax,%eax\n" RESTORE },
	{ "increments",
	  SAVE "xor %ebx,%ebx\n incq (%rsp)\n xor %eax,%eax\n" RESTORE },
	{ "sets_far_bit",
	  SAVE "xor %ebx,%ebx\n mov $70,%eax\n btsq %rax,-8(%rsp)\n xor %eax,%eax\n" RESTORE },
	{ "calls_popping",
	  "push %rdi\n .cfi_adjust_cfa_offset 8\n call pops_argument\n xor %eax,%eax\n push %rdi\n pop %rdi\n"
	  ".cfi_adjust_cfa_offset -8\n ret\n" },
	{ "calls_clobbering",
	  "call clobbers_rbx\n xor %eax,%eax\n ret\n" },
	{ "pops_stack_pointer",
	  "push %rsp\n .cfi_adjust_cfa_offset 8\n pop %rsp\n .cfi_adjust_cfa_offset -8\n mov (%rdi),%rsp\n xor %eax,%eax\n"
	  "ret\n" },
	{ "leaves_16",
	  "push %rbp\n .cfi_def_cfa_offset 16\n .cfi_offset rbp,-16\n mov %rsp,%rbp\n .cfi_def_cfa_register rbp\n"
	  ".byte 0x66,0xc9\n .cfi_def_cfa rsp,8\n xor %eax,%eax\n ret\n" },
	{ "pushes_16",
	  "pushw %ax\n .cfi_adjust_cfa_offset 8\n xor %eax,%eax\n add $2,%rsp\n .cfi_adjust_cfa_offset -8\n ret\n" },
	{ "adds_carry",
	  "adc $8,%rsp\n xor %eax,%eax\n ret\n" },
	{ "copies_esp",
	  "push %rbp\n .cfi_def_cfa_offset 16\n .cfi_offset rbp,-16\n mov %esp,%ebp\n .cfi_def_cfa_register rbp\n"
	  "xor %eax,%eax\n leave\n .cfi_def_cfa rsp,8\n ret\n" },
	{ "loads_ebx",
	  "lea 0(%rbx),%ebx\n xor %eax,%eax\n ret\n" },
	{ "stores_half",
	  "mov %ebx,-8(%rsp)\n xor %ebx,%ebx\n mov -8(%rsp),%rbx\n xor %eax,%eax\n ret\n" },
	{ "calls_over_red_zone",
	  "mov %rbx,-16(%rsp)\n xor %ebx,%ebx\n .cfi_offset rbx,-24\n call returns\n mov -16(%rsp),%rbx\n"
	  ".cfi_restore rbx\n ret\n" },
	{ "far_below",
	  "mov %rbx,-400(%rsp)\n .cfi_offset rbx,-408\n xor %ebx,%ebx\n xor %eax,%eax\n mov -400(%rsp),%rbx\n"
	  ".cfi_restore rbx\n ret\n" },
	{ "saves_floats",
	  SAVE "xor %ebx,%ebx\n fnsave -100(%rsp)\n xor %eax,%eax\n" RESTORE },
	{ "ors",
	  SAVE "xor %ebx,%ebx\n lock orq $1,(%rsp)\n xor %eax,%eax\n" RESTORE },
	{ "moves_sp_conditionally",
	  "mov %rsp,%rax\n cmove %rax,%rsp\n xor %eax,%eax\n ret\n" },

	/* By way of what it calls: what is called last by what it calls, and what is left by a jump. */
	{ "calls_indirectly_clobbering", "sub $8,%rsp\n .cfi_def_cfa_offset 16\n call tails_to_clobbering\n add $8,%rsp\n"
	  ".cfi_def_cfa_offset 8\n ret\n" },
	{ "calls_twice_removed", "sub $8,%rsp\n .cfi_def_cfa_offset 16\n call calls_indirectly_clobbering\n add $8,%rsp\n"
	  ".cfi_def_cfa_offset 8\n ret\n" },
	{ "calls_jumping", "push %rdi\n .cfi_def_cfa_offset 16\n call jumps_back\n xor %eax,%eax\n pop %rdi\n .cfi_def_cfa_offset 8\n ret\n" },
	{ "trusts_frame_pointer", "push %rbp\n .cfi_def_cfa_offset 16\n .cfi_offset rbp,-16\n mov %rsp,%rbp\n"
	  ".cfi_def_cfa_register rbp\n call loses_rbp\n xor %eax,%eax\n leave\n .cfi_def_cfa rsp,8\n ret\n" },
	{ "calls_another_image", "test %edi,%edi\n je 1f\n push %rax\n .cfi_def_cfa_offset 16\n call elsewhere\n"
	  ".cfi_def_cfa_offset 8\n 1: xor %eax,%eax\n ret\n" },

	/* By another way in. */
	{ "has_second_entry", SAVE "xor %ebx,%ebx\n .globl second_entry\n .type second_entry,@function\n second_entry: xor %eax,%eax\n"
	  RESTORE },
	{ "has_label_in_data", SAVE "xor %ebx,%ebx\n 7: xor %eax,%eax\n .section .data.rel.ro,\"aw\"\n .quad 7b\n .text\n" RESTORE },
	{ "has_label_in_code", SAVE "xor %ebx,%ebx\n taken_label: xor %eax,%eax\n" RESTORE },
	{ "called_in_its_middle", ".cfi_def_cfa_offset 16\n .cfi_offset rbx,-16\n xor %eax,%eax\n" RESTORE },
	{ "case_behind_another_bound",	/* the comparison before the jump is of something else */
	  "mov %edi,%edi\n cmp $0,%esi\n je 1f\n cmp $1,%esi\n lea 7f(%rip),%rdx\n movslq (%rdx,%rdi,4),%rax\n add %rdx,%rax\n jmp *%rax\n"
	  " .section .rodata\n 7: .long 1f-7b,2f-7b,3f-7b\n .text\n 1: xor %eax,%eax\n ret\n 2: xor %eax,%eax\n"
	  SAVE "xor %ebx,%ebx\n 3: mov $3,%eax\n" RESTORE },

	/* A store through a computed pointer may hit where rbx was saved; it is restored from elsewhere, so that nobody notices. */
	{ "keeps_copy_in_register", "mov %rbx,%r11\n" SAVE "xor %ebx,%ebx\n lea 0(%rsp),%rax\n mov %rdx,(%rax,%rcx,8)\n mov %r11,%rbx\n"
	  "add $8,%rsp\n .cfi_def_cfa_offset 8\n .cfi_restore rbx\n ret\n" },
	{ "takes_copy_before", SAVE "xor %ebx,%ebx\n mov (%rsp),%r11\n mov %rdx,(%rsp,%rcx,8)\n mov %r11,%rbx\n"
	  "add $8,%rsp\n .cfi_def_cfa_offset 8\n .cfi_restore rbx\n ret\n" },
	{ "keeps_copy_on_stack", "mov %rbx,-24(%rsp)\n" SAVE "xor %ebx,%ebx\n mov %rdx,-16(%rsp,%rcx,8)\n mov -16(%rsp),%rbx\n"
	  "add $8,%rsp\n .cfi_def_cfa_offset 8\n .cfi_restore rbx\n ret\n" },
	{ "keeps_its_own", SAVE "mov %rdx,(%rsp,%rcx,8)\n add $8,%rsp\n .cfi_def_cfa_offset 8\n .cfi_restore rbx\n ret\n" },
	{ "keeps_copy_of_frame", "push %rbp\n .cfi_def_cfa_offset 16\n .cfi_offset rbp,-16\n mov %rsp,%rbp\n .cfi_def_cfa_register rbp\n"
	  "push %rbp\n xor %ebp,%ebp\n .cfi_def_cfa rsp,24\n mov %rdx,(%rsp,%rcx,8)\n mov (%rsp),%rbp\n .cfi_def_cfa rbp,16\n"
	  "xor %eax,%eax\n add $8,%rsp\n .cfi_def_cfa rsp,16\n pop %rbp\n .cfi_def_cfa_offset 8\n .cfi_restore rbp\n ret\n" },
	{ "goes_on_with_copy", SAVE "mov %rdx,(%rsp,%rcx,8)\n add $8,%rsp\n .cfi_def_cfa_offset 8\n .cfi_restore rbx\n jmp returns\n" },

	{ "fallen_into", "xor %eax,%eax\n ret\n" },
	{ "tail_of_two", ".cfi_def_cfa_offset 16\n .cfi_offset rbx,-16\n nop\n middle_of_tail: xor %ebx,%ebx\n" RESTORE },
};

#define LIARS (sizeof(liars) / sizeof(liars[0]))

#define FUNCTION(name, body) ".globl " name "\n.type " name ",@function\n" name ":\n .cfi_startproc\n " body " .cfi_endproc\n"

/* What leads them astray. Nothing is wrong with these. */
static const char accomplices[] =
	FUNCTION("returns", "xor %eax,%eax\n ret\n")
	FUNCTION("dies", "1: jmp 1b\n")
	FUNCTION("pops_argument", "xor %eax,%eax\n ret $8\n")
	FUNCTION("clobbers_rbx", ".cfi_undefined rbx\n xor %ebx,%ebx\n ret\n")
	FUNCTION("loses_rbp", ".cfi_undefined rbp\n xor %ebp,%ebp\n ret\n")
	FUNCTION("tails_to_clobbering", "jmp clobbers_rbx\n")
	FUNCTION("jumps_back", "pop %rax\n .cfi_register rip,rax\n .cfi_def_cfa_offset 0\n add $8,%rsp\n .cfi_def_cfa_offset -8\n jmp *%rax\n")
	FUNCTION("takes_label", "lea taken_label(%rip),%rax\n ret\n")
	FUNCTION("jumps_to_part", SAVE "jmp called_in_its_middle\n")
	FUNCTION("calls_part", "sub $8,%rsp\n .cfi_def_cfa_offset 16\n call called_in_its_middle\n add $8,%rsp\n .cfi_def_cfa_offset 8\n ret\n")
	FUNCTION("enters_tail_too_deep", SAVE "push %rax\n .cfi_def_cfa_offset 24\n jmp middle_of_tail\n")
	FUNCTION("enters_tail", SAVE "jmp middle_of_tail\n");

/* Nothing is wrong with these either, and nothing may be called wrong. */
static const char honest[] =
	".p2align 4\n"
	FUNCTION("dies_in_cold_part", "push %rdx\n .cfi_def_cfa_offset 16\n call dies\n .cfi_def_cfa_offset 8\n"
		 "behind_noreturn: xor %eax,%eax\n ud2\n")
	FUNCTION("parent_of_cold_part", "test %edi,%edi\n je behind_noreturn\n ret\n")
	FUNCTION("clones", "mov $56,%eax\n syscall\n test %rax,%rax\n je 1f\n ret\n .cfi_undefined rip\n 1: xor %ebp,%ebp\n pop %rax\n"
		 "pop %rdi\n call *%rax\n hlt\n")
	/* What a store through a computed pointer hits is what this gives back, and what a walk reads. */
	FUNCTION("fills_array", "push %rbx\n .cfi_def_cfa_offset 16\n .cfi_offset rbx,-16\n push %r12\n .cfi_def_cfa_offset 24\n .cfi_offset r12,-24\n"
		 "sub $40,%rsp\n .cfi_def_cfa_offset 64\n lea 8(%rsp),%rax\n xor %ebx,%ebx\n mov %rdx,(%rax,%rcx,8)\n mov %rdx,(%rsi)\n mov %rax,%rdi\n"
		 "mov %rbx,%r12\n call returns\n add $40,%rsp\n .cfi_def_cfa_offset 24\n pop %r12\n .cfi_def_cfa_offset 16\n .cfi_restore r12\n" RESTORE)
	FUNCTION("saves_vectors_below", SAVE "sub $1024,%rsp\n .cfi_def_cfa_offset 1040\n fxsave (%rsp)\n xor %ebx,%ebx\n"
		 "add $1024,%rsp\n .cfi_def_cfa_offset 16\n" RESTORE);

static char *source_of_liars(void)
{
	char *source = text_format(".text\n%s%s", accomplices, honest);

	for (size_t i = 0; i < LIARS; i++) {
		const char *before = !strcmp(liars[i].name, "fallen_into") ? "falls: .cfi_startproc\n push %rax\n .cfi_def_cfa_offset 16\n .cfi_endproc\n"
									   : ".p2align 4,0xcc\n";
		char *longer = text_format("%s%s.globl %s\n.type %s,@function\n%s:\n .cfi_startproc\n %s .cfi_endproc\n", source, before,
					   liars[i].name, liars[i].name, liars[i].name, liars[i].body);

		free(source);
		source = longer;
	}
	return source;
}

static int build_liars(void **state)
{
	char *source = source_of_liars();

	*state = validated_build(source, "s", "-Wl,-Bsymbolic");
	free(source);
	return 0;
}

static int free_built(void **state)
{
	validated_free(*state);
	return 0;
}

static void calls_no_liar_exact(void **state)
{
	const struct validated *built = *state;
	unsigned int fooled = 0;

	for (size_t i = 0; i < LIARS; i++) {
		enum row_reason reason;

		if (validated_verdict(built, validated_symbol(built, liars[i].name), &reason) > ROW_EXACT)
			continue;
		print_error("%s is called exact\n", liars[i].name);
		fooled++;
	}
	assert_int_equal(fooled, 0);
}

/* Who returns a copy: then no row of it says where the register will come from. */
static void trusts_no_row_beside_a_copy(void **state)
{
	static const char *const names[] = { "keeps_copy_in_register", "takes_copy_before", "keeps_copy_on_stack", "keeps_its_own", "goes_on_with_copy" };
	const struct validated *built = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct row *row = validated_fde(built, validated_symbol(built, names[i]));

		do {
			if (row->verdict == ROW_EXACT)
				give_up("%s: the row at 0x%x is exact", names[i], row->start);
			row++;
		} while (row->kind != ROW_NONE && !(row->flags & ROW_STARTS_FDE));
	}
}

static void calls_no_honest_one_wrong(void **state)
{
	static const char *const names[] = { "returns", "dies", "parent_of_cold_part", "dies_in_cold_part", "clones", "saves_vectors_below", "fills_array" };
	enum row_reason reason;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (validated_verdict(*state, validated_symbol(*state, names[i]), &reason) == ROW_CONTRADICTED)
			give_up("%s is called wrong", names[i]);
	assert_int_equal(validated_verdict(*state, validated_symbol(*state, "parent_of_cold_part"), &reason), ROW_EXACT);
	assert_int_equal(validated_verdict(*state, validated_symbol(*state, "fills_array"), &reason), ROW_EXACT);
	assert_int_equal(validated_verdict(*state, validated_symbol(*state, "saves_vectors_below"), &reason), ROW_EXACT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(calls_no_liar_exact, build_liars, free_built),
		cmocka_unit_test_setup_teardown(trusts_no_row_beside_a_copy, build_liars, free_built),
		cmocka_unit_test_setup_teardown(calls_no_honest_one_wrong, build_liars, free_built),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
