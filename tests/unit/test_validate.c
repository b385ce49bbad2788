/* What the validator takes for right, for wrong and for neither, in hand-written functions and in compiled ones. */
#include "validated.h"

/* One function each, with the symbol of its name, and what becomes of its FDE. */
struct sample {
	const char *name;
	enum row_verdict verdict;
	enum row_reason reason;		/* ROW_UNVERIFIABLE */
	const char *at;			/* ROW_CONTRADICTED: symbol of the first instruction whose row is wrong */
	const char *body;		/* lines between .cfi_startproc and .cfi_endproc */
};

static const struct sample samples[] = {
	{ "plain", ROW_EXACT, REASON_NONE, NULL,
	  "push %rbp\n .cfi_def_cfa_offset 16\n .cfi_offset rbp,-16\n mov %rsp,%rbp\n .cfi_def_cfa_register rbp\n"
	  "push %rbx\n .cfi_offset rbx,-24\n sub $24,%rsp\n call returns\n xor %ebx,%ebx\n mov -8(%rbp),%rbx\n leave\n"
	  ".cfi_def_cfa rsp,8\n ret\n" },
	{ "saves_by_mov", ROW_EXACT, REASON_NONE, NULL,
	  "sub $24,%rsp\n .cfi_def_cfa_offset 32\n mov %r12,8(%rsp)\n .cfi_offset r12,-24\n mov $1,%r12d\n"
	  "mov 8(%rsp),%r12\n .cfi_restore r12\n add $24,%rsp\n .cfi_def_cfa_offset 8\n ret\n" },

	/* False positives that are to be avoided. */
	{ "nops_behind_return", ROW_EXACT, REASON_NONE, NULL,
	  "test %edi,%edi\n je 1f\n push %rbx\n .cfi_def_cfa_offset 16\n .cfi_offset rbx,-16\n pop %rbx\n .cfi_def_cfa_offset 8\n"
	  ".cfi_restore rbx\n ret\n nopw 0(%rax,%rax)\n 1: ret\n nopl 0(%rax)\n" },
	{ "nop_behind_noreturn", ROW_EXACT, REASON_NONE, NULL,
	  "test %edi,%edi\n je 1f\n push %rax\n .cfi_def_cfa_offset 16\n call dies\n nopl 0(%rax)\n"
	  ".cfi_def_cfa_offset 8\n 1: xor %eax,%eax\n ret\n" },
	{ "pushes_for_noreturn", ROW_EXACT, REASON_NONE, NULL,
	  "test %edi,%edi\n je 1f\n sub $8,%rsp\n .cfi_def_cfa_offset 16\n push $1\n .cfi_def_cfa_offset 24\n push $2\n"
	  ".cfi_def_cfa_offset 32\n call dies\n .cfi_def_cfa_offset 8\n 1: xor %eax,%eax\n ret\n" },
	{ "dies_although_it_may_return", ROW_UNVERIFIABLE, REASON_UNCERTAIN_PATH, NULL,
	  "test %edi,%edi\n je 1f\n push %rax\n .cfi_def_cfa_offset 16\n call has_return\n nopl 0(%rax)\n"
	  ".cfi_def_cfa_offset 8\n 1: xor %eax,%eax\n ret\n" },
	{ "crashes_on_purpose", ROW_EXACT, REASON_NONE, NULL,
	  "test %edi,%edi\n je 1f\n push %rax\n .cfi_def_cfa_offset 16\n movb $0,1\n nop\n .cfi_def_cfa_offset 8\n"
	  "1: xor %eax,%eax\n ret\n" },
	{ "fence_on_the_stack", ROW_EXACT, REASON_NONE, NULL, "lock orq $0,(%rsp)\n lock addl $0,(%rsp)\n ret\n" },
	{ "skips_lock_prefix", ROW_EXACT, REASON_NONE, NULL,
	  "test %edi,%edi\n je 1f\n .byte 0xf0\n 1: cmpxchg %esi,(%rdx)\n ret\n" },
	{ "notrack_jump", ROW_EXACT, REASON_NONE, NULL,
	  "cmp $2,%edi\n ja 9f\n push %rbx\n .cfi_def_cfa_offset 16\n .cfi_offset rbx,-16\n mov %edi,%edi\n lea 7f(%rip),%rdx\n"
	  "movslq (%rdx,%rdi,4),%rax\n add %rdx,%rax\n notrack jmp *%rax\n .section .rodata\n 7: .long 1f-7b,2f-7b,3f-7b\n .text\n"
	  "1: xor %ebx,%ebx\n 2: mov $2,%eax\n 3: pop %rbx\n .cfi_def_cfa_offset 8\n .cfi_restore rbx\n ret\n 9: ret\n" },
	{ "hoisted_table", ROW_EXACT, REASON_NONE, NULL,
	  "push %r15\n .cfi_def_cfa_offset 16\n .cfi_offset r15,-16\n test %esi,%esi\n je 4f\n lea 7f(%rip),%r15\n"
	  "5: and $1,%edi\n movslq (%r15,%rdi,4),%rax\n add %r15,%rax\n jmp *%rax\n"
	  ".section .rodata\n 7: .long 1f-7b,2f-7b\n .text\n 1: mov %esi,%edi\n call dies\n nop\n 2: dec %edi\n jmp 5b\n"
	  "4: pop %r15\n .cfi_def_cfa_offset 8\n .cfi_restore r15\n ret\n" },
	{ "switches_stacks", ROW_UNVERIFIABLE, REASON_STACK_POINTER, NULL,
	  "mov %rsp,(%rdi)\n mov (%rsi),%rsp\n ret\n" },
	{ "local_keeps_r11", ROW_UNVERIFIABLE, REASON_FRAME, NULL,
	  "mov %rsp,%r11\n .cfi_def_cfa r11,8\n call returns\n mov %r11,%rsp\n .cfi_def_cfa rsp,8\n ret\n" },
	{ "aligned_with_pointer", ROW_EXACT, REASON_NONE, NULL,
	  "push %rbp\n .cfi_def_cfa_offset 16\n .cfi_offset rbp,-16\n mov %rsp,%rbp\n .cfi_def_cfa_register rbp\n and $-32,%rsp\n"
	  "sub %rdi,%rsp\n call returns\n leave\n .cfi_def_cfa rsp,8\n ret\n" },
	/* gcc, DRAP: CFA = *(rbp - 8), rbp at rbp + 0. */
	{ "realigned", ROW_EXACT, REASON_NONE, NULL,
	  "lea 8(%rsp),%r10\n .cfi_def_cfa r10,0\n and $-32,%rsp\n pushq -8(%r10)\n push %rbp\n mov %rsp,%rbp\n"
	  ".cfi_escape 0x10,0x06,0x02,0x76,0x00\n push %r10\n .cfi_escape 0x0f,0x03,0x76,0x78,0x06\n sub $40,%rsp\n call returns\n"
	  "mov -8(%rbp),%r10\n .cfi_def_cfa r10,0\n leave\n .cfi_restore rbp\n lea -8(%r10),%rsp\n .cfi_def_cfa rsp,8\n ret\n" },
	{ "compares", ROW_EXACT, REASON_NONE, NULL,
	  "cmp %rax,%rbx\n cmp (%rdi),%r15\n cmp %rax,%rsp\n cmp %rsp,%rbp\n test %rbx,%rbx\n add $0,%rax\n ret\n" },
	{ "tail_call", ROW_EXACT, REASON_NONE, NULL,
	  "sub $8,%rsp\n .cfi_def_cfa_offset 16\n call returns\n mov %eax,%edi\n add $8,%rsp\n .cfi_def_cfa_offset 8\n"
	  "test %edi,%edi\n je returns\n jmp *%rax\n" },

	/* What is wrong. */
	{ "forgotten_push", ROW_CONTRADICTED, REASON_NONE, "at_forgotten_push",
	  "push %rbx\n at_forgotten_push: .globl at_forgotten_push\n mov %edi,%eax\n pop %rbx\n ret\n" },
	{ "late_add", ROW_CONTRADICTED, REASON_NONE, "at_late_add",
	  "push %rax\n .cfi_def_cfa_offset 16\n call returns\n add $8,%rsp\n at_late_add: .globl at_late_add\n test %al,%al\n"
	  ".cfi_def_cfa_offset 8\n ret\n" },
	{ "merged_epilogues", ROW_CONTRADICTED, REASON_NONE, "at_merged_epilogues",
	  "push %rbx\n .cfi_def_cfa_offset 16\n .cfi_offset rbx,-16\n test %edi,%edi\n je 1f\n push %rax\n .cfi_def_cfa_offset 24\n"
	  "xor %edi,%edi\n .cfi_def_cfa_offset 16\n at_merged_epilogues: .globl at_merged_epilogues\n 1: pop %rbx\n .cfi_def_cfa_offset 8\n ret\n" },
	{ "wrong_slot", ROW_CONTRADICTED, REASON_NONE, "at_wrong_slot",
	  "push %r12\n .cfi_def_cfa_offset 16\n push %r13\n .cfi_def_cfa_offset 24\n .cfi_offset r12,-24\n .cfi_offset r13,-16\n"
	  "at_wrong_slot: .globl at_wrong_slot\n xor %r12d,%r12d\n xor %r13d,%r13d\n pop %r13\n .cfi_def_cfa_offset 16\n pop %r12\n"
	  ".cfi_def_cfa_offset 8\n ret\n" },
	{ "lost_register", ROW_CONTRADICTED, REASON_NONE, "at_lost_register",
	  "mov %rbx,%r9\n xor %ebx,%ebx\n at_lost_register: .globl at_lost_register\n mov %r9,%rbx\n ret\n" },
	{ "early_frame_pointer", ROW_CONTRADICTED, REASON_NONE, "at_early_frame_pointer",
	  "push %rbp\n .cfi_def_cfa rbp,16\n .cfi_offset rbp,-16\n at_early_frame_pointer: .globl at_early_frame_pointer\n nop\n"
	  "mov %rsp,%rbp\n leave\n .cfi_def_cfa rsp,8\n ret\n" },
	{ "overwritten_slot", ROW_CONTRADICTED, REASON_NONE, "at_overwritten_slot",
	  "push %rbx\n .cfi_def_cfa_offset 16\n .cfi_offset rbx,-16\n xor %ebx,%ebx\n mov %rbx,(%rsp)\n"
	  "at_overwritten_slot: .globl at_overwritten_slot\n mov (%rsp),%rbx\n add $8,%rsp\n .cfi_def_cfa_offset 8\n ret\n" },
	{ "thrown_return_address", ROW_CONTRADICTED, REASON_NONE, "at_thrown_return_address",
	  "mov %rdi,(%rsp)\n at_thrown_return_address: .globl at_thrown_return_address\n ret\n" },

	/* What can't be told. */
	{ "behind_a_call_that_returns", ROW_UNVERIFIABLE, REASON_UNCERTAIN_PATH, NULL,
	  "test %edi,%edi\n je 1f\n push %rax\n .cfi_def_cfa_offset 16\n call returns\n .cfi_def_cfa_offset 8\n"
	  "1: xor %eax,%eax\n ret\n" },
	{ "case_with_another_frame", ROW_UNVERIFIABLE, REASON_UNCERTAIN_PATH, NULL,
	  "cmp $1,%edi\n ja 9f\n push %rbx\n .cfi_def_cfa_offset 16\n .cfi_offset rbx,-16\n mov %edi,%edi\n lea 7f(%rip),%rdx\n"
	  "movslq (%rdx,%rdi,4),%rax\n add %rdx,%rax\n jmp *%rax\n .section .rodata\n 7: .long 1f-7b,9f-7b\n .text\n"
	  "1: pop %rbx\n .cfi_def_cfa_offset 8\n .cfi_restore rbx\n ret\n 9: ret\n" },
	{ "unknown_jump", ROW_UNVERIFIABLE, REASON_INDIRECT_JUMP, NULL,
	  "push %rbx\n .cfi_def_cfa_offset 16\n .cfi_offset rbx,-16\n jmp *%rdi\n pop %rbx\n .cfi_def_cfa_offset 8\n ret\n" },
	{ "no_way_here", ROW_UNVERIFIABLE, REASON_NOT_REACHED, NULL, "ret\n .cfi_def_cfa_offset 16\n xor %eax,%eax\n ret\n" },
	{ "partly_reached", ROW_UNVERIFIABLE, REASON_NOT_REACHED, NULL,
	  "push %rbx\n .cfi_def_cfa_offset 16\n .cfi_offset rbx,-16\n .rept 40\n mov %edi,%eax\n .endr\n jmp 1f\n"
	  "nobody_comes_here: .globl nobody_comes_here\n xor %eax,%eax\n 1: .rept 40\n mov %edi,%eax\n .endr\n jmp 2f\n nop\n"
	  "xor %eax,%eax\n 2: mov %edi,%eax\n pop %rbx\n .cfi_def_cfa_offset 8\n .cfi_restore rbx\n ret\n" },
	{ "data_inside", ROW_UNVERIFIABLE, REASON_UNDECODED, NULL, "jmp 1f\n .byte 0x06,0x06,0x06\n 1: ret\n" },
	{ "unknown_expression", ROW_UNVERIFIABLE, REASON_CFA_EXPRESSION, NULL,
	  ".cfi_escape 0x0f,0x03,0x77,0x08,0x09\n ret\n" },
	{ "claims_a_signal_frame", ROW_UNVERIFIABLE, REASON_SAVED_RULE, NULL, ".cfi_signal_frame\n nop\n ret\n" },
};

#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

/* Callees: one that returns, and is called with straight code behind; one that never does; one of which nobody can tell. */
static const char callees[] =
	".globl returns\n.type returns,@function\nreturns:\n .cfi_startproc\n xor %eax,%eax\n ret\n .cfi_endproc\n"
	".globl has_return\n.type has_return,@function\nhas_return:\n .cfi_startproc\n xor %eax,%eax\n ret\n .cfi_endproc\n"
	".globl dies\n.type dies,@function\ndies:\n .cfi_startproc\n 1: jmp 1b\n .cfi_endproc\n"
	".globl in_two_parts\n.type in_two_parts,@function\nin_two_parts:\n .cfi_startproc\n push %rbx\n .cfi_def_cfa_offset 16\n"
	" .cfi_offset rbx,-16\n test %edi,%edi\n jne its_cold_part_behind_a_nop\n back_from_cold: .globl back_from_cold\n pop %rbx\n"
	" .cfi_def_cfa_offset 8\n ret\n .cfi_endproc\n"
	".globl its_cold_part\nits_cold_part:\n .cfi_startproc\n nop\n its_cold_part_behind_a_nop:\n .cfi_def_cfa_offset 16\n"
	" .cfi_offset rbx,-16\n xor %ebx,%ebx\n jmp back_from_cold\n .cfi_endproc\n";

static char *sample_source(void)
{
	char *source = text_format(".text\n%s", callees);

	for (size_t i = 0; i < SAMPLES; i++) {
		char *longer = text_format("%s.p2align 4\n.globl %s\n.type %s,@function\n%s:\n .cfi_startproc\n %s .cfi_endproc\n", source,
					   samples[i].name, samples[i].name, samples[i].name, samples[i].body);

		free(source);
		source = longer;
	}
	return source;
}

static int build_samples(void **state)
{
	char *source = sample_source();

	*state = validated_build(source, "s", "-Wl,-Bsymbolic");
	free(source);
	return 0;
}

static int free_built(void **state)
{
	validated_free(*state);
	return 0;
}

static void judges_every_sample(void **state)
{
	const struct validated *built = *state;
	unsigned int wrong = 0;

	for (size_t i = 0; i < SAMPLES; i++) {
		enum row_reason reason;
		enum row_verdict verdict = validated_verdict(built, validated_symbol(built, samples[i].name), &reason);

		if (verdict == samples[i].verdict && (verdict != ROW_UNVERIFIABLE || reason == samples[i].reason))
			continue;
		print_error("%s: verdict %d, reason: %s\n", samples[i].name, verdict, row_reason_text(reason));
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

/* Each of the wrong ones is listed once, where the first wrong row begins, and nothing else is. */
static void lists_each_contradiction(void **state)
{
	const struct validated *built = *state;
	size_t expected = 0;

	for (size_t i = 0; i < SAMPLES; i++) {
		uint64_t at;
		size_t found = 0;

		if (samples[i].verdict != ROW_CONTRADICTED)
			continue;
		expected++;
		at = validated_symbol(built, samples[i].at);
		for (size_t j = 0; j < built->validation.contradictions.count; j++)
			found += built->validation.contradictions.item[j].address == at;
		if (found != 1)
			give_up("%s: listed %zu times", samples[i].name, found);
	}
	for (size_t j = 0; built->validation.contradictions.count != expected && j < built->validation.contradictions.count; j++)
		print_error("at 0x%lx from 0x%lx: %s, %s\n", (unsigned long)built->validation.contradictions.item[j].address,
			    (unsigned long)built->validation.contradictions.item[j].from, built->validation.contradictions.item[j].claimed,
			    built->validation.contradictions.item[j].computed);
	assert_int_equal(built->validation.contradictions.count, expected);
	assert_int_equal(built->validation.fdes_contradicted, expected);
}

static void says_what_was_claimed_and_computed(void **state)
{
	const struct validated *built = *state;
	uint64_t at = validated_symbol(built, "at_late_add");

	for (size_t i = 0; i < built->validation.contradictions.count; i++) {
		const struct contradiction *found = &built->validation.contradictions.item[i];

		if (found->address != at)
			continue;
		assert_string_equal(found->subject, "CFA");
		assert_string_equal(found->claimed, "rsp+16");
		assert_string_equal(found->computed, "rsp+8");
		assert_int_equal(found->from, at - 4);
		assert_int_equal(found->fde, validated_symbol(built, "late_add"));
		return;
	}
	give_up("at_late_add is not listed");
}

/* Rows behind a contradiction are exact again only where the frame is right again. */
static void trusts_nothing_behind_a_contradiction(void **state)
{
	const struct validated *built = *state;
	uint64_t at = validated_symbol(built, "at_merged_epilogues");

	assert_int_equal(rows_find(built->rows, at)->verdict, ROW_CONTRADICTED);
	assert_int_not_equal(rows_find(built->rows, at + 1)->verdict, ROW_EXACT);	/* the ret, with 8 bytes too many */
	assert_int_equal(rows_find(built->rows, validated_symbol(built, "merged_epilogues"))->verdict, ROW_EXACT);
	at = validated_symbol(built, "at_late_add");
	assert_int_equal(rows_find(built->rows, at + 2)->verdict, ROW_EXACT);
}

/* One instruction that is not reached does not spoil what comes before and behind it; but a part that is too short for a row gets none. */
static void splits_rows_where_it_pays(void **state)
{
	const struct validated *built = *state;
	uint64_t start = validated_symbol(built, "partly_reached"), missed = validated_symbol(built, "nobody_comes_here");
	const struct row *row = rows_find(built->rows, start);

	assert_int_equal(row->verdict, ROW_EXACT);
	assert_true(row->flags & ROW_STARTS_FDE);
	assert_int_equal(row[1].start + built->rows->text.start, start + 1);
	assert_int_equal(row[1].verdict, ROW_EXACT);
	assert_int_equal(row[2].start + built->rows->text.start, missed);
	assert_int_equal(row[2].verdict, ROW_UNVERIFIABLE);
	assert_int_equal(row[2].reason, REASON_NOT_REACHED);
	assert_int_equal(row[3].start + built->rows->text.start, missed + 2);
	assert_int_equal(row[3].verdict, ROW_EXACT);
	assert_int_equal(row[3].start + 82 + 1, row[4].start);
	assert_int_equal(row[4].verdict, ROW_UNVERIFIABLE);
	assert_int_equal(row[5].verdict, ROW_EXACT);
	for (int i = 1; i <= 5; i++) {
		assert_false(row[i].flags & ROW_STARTS_FDE);
		assert_int_equal(row[i].offset, i == 5 ? 8 : 16);
	}
}

/* A cold part takes its frame from where it is jumped to, and its leading nop is nobody's entry. */
static void follows_cold_parts(void **state)
{
	const struct validated *built = *state;
	uint64_t cold = validated_symbol(built, "its_cold_part");
	enum row_reason reason;

	assert_int_equal(validated_verdict(built, validated_symbol(built, "in_two_parts"), &reason), ROW_EXACT);
	assert_int_equal(rows_find(built->rows, cold + 1)->verdict, ROW_EXACT);
	assert_int_not_equal(rows_find(built->rows, cold)->verdict, ROW_CONTRADICTED);
}

static const char compiled[] =
	"int outside(int), sink(void *); void stop(void) __attribute__((noreturn));\n"
	"static void drop(int *p) { outside(*p); }\n"
	"int landing(int a) { int b __attribute__((cleanup(drop))) = a; return outside(a) + outside(b); }\n"
	"int choose(int a) { switch (a) { case 0: return outside(3); case 1: return outside(1) * 7; case 2: return sink(&a); case 3:\n"
	"	return 5 + outside(9); case 4: stop(); case 5: return outside(a) / 3; default: return 0; } }\n"
	"int labels(const char *p) { static void *const go[] = { &&one, &&two, &&three, &&end }; int s = outside(1); goto *go[*p++ & 3];\n"
	"	one: s += outside(s); goto *go[*p++ & 3]; two: s *= outside(s); goto *go[*p++ & 3]; three: s -= 9; goto *go[*p++ & 3];\n"
	"	end: return s; }\n"
	"int variable(int n) { char room[n]; sink(room); return outside(n); }\n"
	"int aligned(int n) { char room[64] __attribute__((aligned(64))); char more[n]; sink(room); sink(more); return n; }\n"
	"int shrunk(int *p) { if (!p) return 0; if (*p < 0) stop(); for (int i = 0; i < *p; i++) outside(i + outside(*p)); return *p; }\n"
	"int many(int a, int b, int c, int d, int e, int f, int g, int h) { return outside(many(h, g, f, e, d, c, b, a + outside(a))); }\n"
	"__attribute__((cold)) int rare(int a) { if (outside(a)) stop(); return a; }\n"
	"int recursive(int a) { return a ? recursive(outside(a)) + recursive(a - 1) : 0; }\n";

/* Ordinary output of the compiler is exact throughout. */
static void accepts_what_compilers_write(void **state)
{
	static const char *const flags[] = {
		"-O0 -fPIC -fexceptions -fasynchronous-unwind-tables", "-O2 -fPIC -fexceptions -fasynchronous-unwind-tables",
		"-Os -fPIC -fasynchronous-unwind-tables", "-O3 -fPIC -fcf-protection -fexceptions -fasynchronous-unwind-tables",
		"-O2 -fPIC -fno-plt -fno-omit-frame-pointer -fasynchronous-unwind-tables -fstack-clash-protection -fstack-protector-all",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct validated *built = validated_build(compiled, "c", flags[i]);

		unsigned int wrong = 0;

		for (size_t j = 0; j < built->rows->count; j++) {
			const struct row *row = &built->rows->item[j];
			uint64_t fde = row->kind == ROW_NONE ? 0 : validated_fde(built, built->rows->text.start + row->start)->start;

			/* gcc goes on to claim that the caller's frame pointer is at *rbp behind the pop of it, if only to the
			 * end of a function with a realigned stack. */
			if (row->kind == ROW_NONE || row->verdict == ROW_EXACT ||
			    (row->reason == REASON_SAVES && fde == validated_symbol(built, "aligned") - built->rows->text.start))
				continue;
			print_error("%s: 0x%x: verdict %d: %s\n", flags[i], row->start, row->verdict, row_reason_text(row->reason));
			wrong++;
		}
		assert_int_equal(wrong, 0);
		assert_int_equal(built->validation.contradicted, 0);
		assert_true(built->validation.fdes >= 10);
		assert_int_equal(built->validation.uncovered, 0);
		validated_free(built);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(judges_every_sample, build_samples, free_built),
		cmocka_unit_test_setup_teardown(lists_each_contradiction, build_samples, free_built),
		cmocka_unit_test_setup_teardown(says_what_was_claimed_and_computed, build_samples, free_built),
		cmocka_unit_test_setup_teardown(trusts_nothing_behind_a_contradiction, build_samples, free_built),
		cmocka_unit_test_setup_teardown(splits_rows_where_it_pays, build_samples, free_built),
		cmocka_unit_test_setup_teardown(follows_cold_parts, build_samples, free_built),
		cmocka_unit_test(accepts_what_compilers_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
