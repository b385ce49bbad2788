/*
 * The frame of a redirected entry and of its copy: of entries that compilers and people write they agree, of those whose unwind data
 * is wrong nothing is proven, and a copy that is not what it should be is a conflict. The copy is damaged in every way that
 * a mistake in copy_entry() could.
 */
#include "validated.h"

#include "arch/dispatch.h"
#include "unwind/alternatives.h"

struct sample {
	const char *name;
	enum alternatives_verdict verdict;
	const char *why;	/* part of the reason */
	const char *body;	/* lines between .cfi_startproc and .cfi_endproc */
};

#define PUSHED " .cfi_adjust_cfa_offset 8\n"
#define POPPED " .cfi_adjust_cfa_offset -8\n"

static const struct sample samples[] = {
	{ "one_instruction", ALTERNATIVES_AGREE, NULL, "mov $1,%eax\n ret\n" },
	{ "pushes", ALTERNATIVES_AGREE, NULL,
	  "push %rbp\n" PUSHED ".cfi_offset rbp,-16\n mov %rsp,%rbp\n .cfi_def_cfa_register rbp\n push %rbx\n .cfi_offset rbx,-24\n"
	  "xor %ebx,%ebx\n pop %rbx\n .cfi_restore rbx\n pop %rbp\n .cfi_def_cfa rsp,8\n .cfi_restore rbp\n ret\n" },
	{ "pops_again", ALTERNATIVES_AGREE, NULL, "push $34\n" PUSHED "pop %rax\n" POPPED "syscall\n mov $1,%eax\n ret\n" },
	{ "endbr", ALTERNATIVES_AGREE, NULL, "endbr64\n sub $8,%rsp\n" PUSHED "xor %eax,%eax\n add $8,%rsp\n" POPPED "ret\n" },
	{ "refers", ALTERNATIVES_AGREE, NULL, "push %rbx\n" PUSHED ".cfi_offset rbx,-16\n lea 1f(%rip),%rbx\n pop %rbx\n" POPPED
	  ".cfi_restore rbx\n 1: ret\n" },
	{ "branches", ALTERNATIVES_AGREE, NULL, "test %edi,%edi\n je 1f\n nopl (%rax)\n mov $1,%eax\n 1: ret\n" },
	{ "counts", ALTERNATIVES_AGREE, NULL, "mov %esi,%ecx\n loop 1f\n nopl (%rax)\n nop\n 1: ret\n" },
	{ "calls", ALTERNATIVES_AGREE, NULL, "push %rax\n" PUSHED "call one_instruction\n pop %rdx\n" POPPED "ret\n" },
	{ "calls_by_pointer", ALTERNATIVES_AGREE, NULL, "sub $8,%rsp\n" PUSHED "call *(%rdi)\n add $8,%rsp\n" POPPED "ret\n" },
	{ "jumps", ALTERNATIVES_AGREE, NULL, "jmp one_instruction\n" },
	{ "returns", ALTERNATIVES_AGREE, NULL, "xor %eax,%eax\n ret\n nop\n nop\n nop\n" },

	{ "says_nothing_of_a_push", ALTERNATIVES_UNPROVEN, "not exact", "push %rbx\n mov $1,%ebx\n pop %rbx\n ret\n" },
	{ "says_so_late", ALTERNATIVES_UNPROVEN, "not exact",
	  "push %rax\n mov %edi,%eax\n test %eax,%eax\n" PUSHED "nop\n pop %rax\n" POPPED "ret\n" },
	{ "wrong_behind_the_entry", ALTERNATIVES_UNPROVEN, "not exact", "sub $8,%rsp\n nop\n nopl 0(%rax)\n add $8,%rsp\n ret\n" },
	{ "runs_out", ALTERNATIVES_UNPROVEN, "no unwind data", "nopw 0x1000(%rax)\n .cfi_endproc\n ret\n .cfi_startproc\n ret\n" },
	{ "inner", ALTERNATIVES_CONFLICT, "another frame than a call",
	  ".cfi_def_cfa_offset 16\n mov $1,%eax\n pop %rdx\n" POPPED "ret\n" },
};

#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

static struct validated *built;

static int build(void **state)
{
	char *source = text_copy(".text\n"), *whole;

	alarm(60);
	for (size_t i = 0; i < SAMPLES; i++) {
		const char *name = samples[i].name;
		bool function = samples[i].verdict != ALTERNATIVES_CONFLICT;	/* of a function's symbol the validator knows better */
		char *more = text_format("%s.p2align 4\n.globl %s\n.type %s,@%s\n%s: .cfi_startproc\n%s .cfi_endproc\n.size %s,.-%s\n",
					 source, name, name, function ? "function" : "notype", name, samples[i].body, name, name);

		free(source);
		source = more;
	}
	/* What makes the row at the entry of `inner` exact: nobody calls it, and who jumps there has pushed. */
	whole = text_format("%sleads_inside: .cfi_startproc\n push %%rax\n" PUSHED " jmp inner\n .cfi_endproc\n .fill 64,1,0xcc\n", source);
	built = validated_build(whole, "s", "-Wl,-Bsymbolic");
	free(whole);
	free(source);
	return 0;
}

static int unbuild(void **state)
{
	validated_free(built);
	return 0;
}

struct made {
	struct entry_plan plan;
	struct entry_copy copy;
	struct alternatives alternatives;
};

#define DISTANCE 0x12345	/* of the copy */

static void make(const struct sample *sample, struct made *made)
{
	uint64_t entry = validated_symbol(built, sample->name);
	const uint8_t *code = image_bytes(&built->image, entry, ARCH_ENTRY_MAX);
	const struct arch *arch = built->image.arch;
	const char *why;

	*made = (struct made){ 0 };
	assert_non_null(code);
	why = arch->plan_entry(code, ARCH_ENTRY_MAX, 0, &made->plan);
	if (!why)
		why = arch->copy_entry(code, &made->plan, entry, entry + DISTANCE, &made->copy);
	if (why)
		give_up("%s: %s", sample->name, why);
	made->alternatives = (struct alternatives){
		.arch = arch, .rows = built->rows, .entry = entry, .code = code, .plan = &made->plan, .copy = &made->copy,
		.at = entry + DISTANCE,
	};
}

static void entries_are_compared(void **state)
{
	for (size_t i = 0; i < SAMPLES; i++) {
		enum alternatives_verdict verdict;
		struct made made;
		const char *why;

		make(&samples[i], &made);
		verdict = alternatives_compare(&made.alternatives, &why);
		if (verdict != samples[i].verdict || !why != !samples[i].why || (why && !strstr(why, samples[i].why)))
			give_up("%s: %d, %s", samples[i].name, verdict, why ? why : "no reason");
	}
}

static void a_bias_is_taken_off(void **state)
{
	const uint64_t bias = 0x7f0000000000;
	struct made made;
	const char *why;

	make(&samples[1], &made);
	made.alternatives.rows_bias = bias;
	made.alternatives.entry += bias;
	made.alternatives.at += bias;
	assert_int_equal(alternatives_compare(&made.alternatives, &why), ALTERNATIVES_AGREE);
	made.alternatives.rows_bias = 0;
	assert_int_equal(alternatives_compare(&made.alternatives, &why), ALTERNATIVES_UNPROVEN);
}

static void without_rows_nothing_is_proven(void **state)
{
	for (size_t i = 0; i < SAMPLES; i++) {
		struct made made;
		const char *why;

		make(&samples[i], &made);
		made.alternatives.rows = NULL;
		assert_int_equal(alternatives_compare(&made.alternatives, &why), ALTERNATIVES_UNPROVEN);
	}
}

static void find(const char *name, struct made *made)
{
	for (size_t i = 0; i < SAMPLES; i++)
		if (!strcmp(samples[i].name, name)) {
			make(&samples[i], made);
			return;
		}
	give_up("no sample %s", name);
}

static void conflicts(const struct made *made, const char *what)
{
	const char *why;

	if (alternatives_compare(&made->alternatives, &why) != ALTERNATIVES_CONFLICT)
		give_up("not seen: %s", what);
	assert_non_null(why);
}

static void insert(struct made *made, size_t at, uint8_t byte)
{
	memmove(made->copy.code + at + 1, made->copy.code + at, ARCH_COPY_MAX - at - 1);
	made->copy.code[at] = byte;
	made->copy.size++;
	for (size_t i = 0; i < sizeof(made->copy.at); i++)
		if (made->copy.at[i] != 0xff && made->copy.at[i] > at)
			made->copy.at[i]++;
	made->alternatives.at--;	/* so that the jump back leads where it did */
}

static void damaged_copies_conflict(void **state)
{
	struct made made;

	find("pushes", &made);
	made.copy.code[0] = 0x90;
	conflicts(&made, "a push that is missing");
	find("pushes", &made);
	made.copy.code[0] = 0x53;
	conflicts(&made, "another register is pushed");
	find("pushes", &made);
	made.copy.code[3] = 0xe3;
	conflicts(&made, "another frame pointer");
	find("pushes", &made);
	insert(&made, 0, 0x50);
	conflicts(&made, "one push too many");
	find("one_instruction", &made);
	insert(&made, 5, 0x50);
	conflicts(&made, "a push before the jump back");
	find("one_instruction", &made);
	insert(&made, 0, 0x5b);
	conflicts(&made, "a pop at the start");
	find("one_instruction", &made);
	made.copy.code[0] = 0xbb;	/* mov $1, %ebx */
	conflicts(&made, "a saved register is overwritten");
	find("one_instruction", &made);
	made.copy.code[6]++;
	conflicts(&made, "a jump back to another place");
	find("one_instruction", &made);
	made.copy.at[5] = 0xff;
	conflicts(&made, "no jump back");
	find("endbr", &made);
	made.copy.code[3] = 16;
	conflicts(&made, "another size of the frame");
	find("endbr", &made);
	made.copy.at[4]--;
	conflicts(&made, "the middle of an instruction");
	find("calls", &made);
	made.copy.size = made.copy.at[1];
	conflicts(&made, "a call that is missing");
	find("calls", &made);
	memset(made.copy.code + made.copy.at[1], 0x90, 6);
	conflicts(&made, "a call without a return address");
	find("calls", &made);
	made.copy.code[made.copy.at[1] + 6] = 0xe8;
	conflicts(&made, "a call that is copied as such");
	find("jumps", &made);
	made.copy.code[0] = 0xe8;
	conflicts(&made, "a jump that has become a call");
	find("counts", &made);
	made.copy.code[4] = 0x50;
	made.copy.code[5] = 0x90;
	conflicts(&made, "a push in a replacement");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_are_compared),
		cmocka_unit_test(a_bias_is_taken_off),
		cmocka_unit_test(without_rows_nothing_is_proven),
		cmocka_unit_test(damaged_copies_conflict),
	};

	return cmocka_run_group_tests(tests, build, unbuild);
}
