/* Which code keeps the addresses of a table to itself: hand-written functions, one for each way that an address can take. */
#include "build_pair.h"

#include "diff/escape.h"

struct code {
	enum fate fate;
	const char *text;
};

/* `table` has 32 bytes, and `end` behind it is another object. */
static const struct code codes[] = {
	/* loads */
	{ FATE_KEPT, "lea table(%rip), %rax; mov (%rax,%rdi,8), %rax; ret" },
	{ FATE_KEPT, "lea table(%rip), %rax; mov %edi, %edi; movslq (%rax,%rdi,4), %rax; ret" },
	{ FATE_KEPT, "lea table(%rip), %rax; cmp (%rax), %rdi; mov $0, %eax; sete %al; ret" },
	{ FATE_KEPT, "lea table(%rip), %rcx; cmpq $0, (%rcx,%rdi,8); mov $1, %eax; ret" },
	{ FATE_KEPT, "lea table(%rip), %rcx; shl $4, %rdi; add %rdi, %rcx; mov 8(%rcx), %rax; ret" },
	{ FATE_KEPT, "lea table(%rip), %rcx; lea 8(%rcx,%rdi,8), %rdx; mov %rdx, %rcx; mov (%rcx), %rdx; mov %rdx, %rax; ret" },
	{ FATE_KEPT, "lea table(%rip), %rsi; mov $4, %ecx; lea -40(%rsp), %rdi; rep movsq; mov -40(%rsp), %rax; ret" },
	{ FATE_KEPT, "lea table(%rip), %rax; xor %eax, %eax; ret" },
	{ FATE_KEPT, "lea table(%rip), %rcx; movups (%rcx), %xmm0; movq %xmm0, %rax; ret" },
	/* a loop up to the end, with calls */
	{ FATE_KEPT, "push %rbx; push %r12; push %r13; lea table(%rip), %rbx; lea end(%rip), %r12; mov %rdi, %r13;"
		"1: mov (%rbx), %rdi; mov %r13, %rsi; xor %eax, %eax; call other@plt; test %eax, %eax; jne 2f; add $8, %rbx; cmp %r12, %rbx; jne 1b;"
		"2: pop %r13; pop %r12; pop %rbx; mov $0, %eax; ret" },
	{ FATE_KEPT, "push %rbx; lea table(%rip), %rbx; mov %rbx, %rdx; mov $0, %edx; call other@plt; mov 8(%rbx), %rax; pop %rbx; jmp *%rax" },
	{ FATE_KEPT, "lea table(%rip), %rcx; lea 8(%rcx,%rdi), %rax; sub %rcx, %rax; ret" },	/* how far from its start is a number */
	{ FATE_KEPT, "lea table(%rip), %rcx; lea end(%rip), %rsi; test %edi, %edi; cmove %rsi, %rcx; cmp %rcx, %rsi; ja 1f; mov $1, %eax; ret; 1: mov (%rcx), %rax; ret" },
	{ FATE_KEPT, "lea table(%rip), %rcx; test %edi, %edi; je 1f; sub $8, %rsp; mov $0, %ecx; call abort@plt; 1: mov (%rcx), %rax; ret" },
	{ FATE_KEPT, "push %rbx; lea table(%rip), %rbx; test %edi, %edi; je 1f; call abort@plt; 2: cmp %rbx, %rdi; sete %al; movzbl %al, %eax; pop %rbx; ret;"
		     "1: mov (%rbx), %rbx; jmp 2b" },
	{ FATE_KEPT, "lea table(%rip), %rcx; lea end(%rip), %rax; xor %rcx, %rax; ret" },
	/* out of the function */
	{ FATE_OUT, "lea table(%rip), %rax; ret" },
	{ FATE_OUT, "lea table(%rip), %rdx; mov (%rdx), %rax; ret" },
	{ FATE_OUT, "lea table(%rip), %rbx; mov (%rbx), %rax; ret" },
	{ FATE_OUT, "push %rbx; lea table(%rip), %rbx; lea (%rbx,%rdi,8), %rdi; pop %rbx; jmp other@plt" },
	{ FATE_OUT, "sub $8, %rsp; lea table(%rip), %rdi; call other@plt; add $8, %rsp; ret" },
	{ FATE_OUT, "sub $8, %rsp; lea table(%rip), %r11; call *8(%r11); add $8, %rsp; ret" },
	{ FATE_OUT, "lea table(%rip), %rax; jmp *8(%rax)" },
	{ FATE_OUT, "lea table(%rip), %rdi; mov $1, %eax; syscall; ret" },
	{ FATE_OUT, "lea table(%rip), %rcx; jmp unknown@plt" },
	/* into memory, or where it is not followed */
	{ FATE_OUT, "lea table(%rip), %rax; mov %rax, (%rdi); xor %eax, %eax; ret" },
	{ FATE_OUT, "lea table(%rip), %rax; mov %rax, -8(%rsp); xor %eax, %eax; ret" },
	{ FATE_OUT, "lea table(%rip), %rcx; push %rcx; pop %rcx; xor %eax, %eax; ret" },
	{ FATE_OUT, "lea table(%rip), %rcx; movq %rcx, %xmm0; xor %eax, %eax; ret" },
	{ FATE_OUT, "lea table(%rip), %rcx; mov %ecx, %eax; ret" },
	{ FATE_OUT, "lea table(%rip), %rcx; xchg %rcx, (%rdi); xor %eax, %eax; ret" },
	{ FATE_OUT, "lea table(%rip), %rcx; add %rcx, (%rdi); xor %eax, %eax; ret" },
	{ FATE_OUT, "lea table(%rip), %rax; mov $1, %al; ret" },
	{ FATE_OUT, "lea table(%rip), %rcx; shr $4, %rcx; xor %eax, %eax; ret" },
	{ FATE_OUT, "lea table(%rip), %rsi; mov %rsi, %rcx; lea -40(%rsp), %rdi; rep movsb; xor %eax, %eax; ret" },
	/* stored to */
	{ FATE_OUT, "lea table(%rip), %rcx; mov %rdi, (%rcx); xor %eax, %eax; ret" },
	{ FATE_OUT, "lea table(%rip), %rdi; mov $4, %ecx; xor %eax, %eax; rep stosq; ret" },
	/* compared with what may come from elsewhere */
	{ FATE_COMPARED, "lea table(%rip), %rcx; xor %eax, %eax; cmp %rdi, %rcx; sete %al; ret" },
	{ FATE_COMPARED, "lea table(%rip), %rcx; xor %eax, %eax; cmp (%rdi), %rcx; sete %al; ret" },
	{ FATE_COMPARED, "lea table(%rip), %rcx; xor %eax, %eax; cmp %rcx, (%rdi); sete %al; ret" },
	{ FATE_COMPARED, "lea table(%rip), %rcx; mov %rdi, %rax; sub %rcx, %rax; ret" },
	{ FATE_COMPARED, "lea table(%rip), %rcx; lea far(%rip), %rsi; xor %eax, %eax; cmp %rsi, %rcx; sete %al; ret" },
	{ FATE_COMPARED, "lea table(%rip), %rcx; mov %rcx, 8(%rdi); cmp %rcx, (%rdi); sete %al; movzbl %al, %eax; ret" },	/* also stored before */
	{ FATE_COMPARED, "push %rbx; lea table(%rip), %rbx; mov $0, %eax; call other@plt; cmp %rbx, %rax; sete %al; movzbl %al, %eax; pop %rbx; ret" },
	{ FATE_COMPARED, "lea table(%rip), %rcx; lea 8(%rsi), %rax; xor %rdi, %rcx; or %rcx, %rax; sete %al; movzbl %al, %eax; ret" },
	{ FATE_COMPARED, "lea table(%rip), %rcx; mov %rdi, %rax; xor %rcx, %rax; ret" },
	{ FATE_OUT, "lea table(%rip), %rcx; sub %rdi, %rcx; mov %rcx, %rax; ret" },
	/* perhaps with each other */
	{ FATE_OUT, "push %rbx; lea table(%rip), %rbx; mov %rbx, %rdi; call other@plt; sub %rbx, %rax; pop %rbx; ret" },
	{ FATE_OUT, "lea table(%rip), %rcx; mov %rcx, %rdx; test %edi, %edi; cmove %rsi, %rdx; xor %eax, %eax; cmp %rdx, %rcx; sete %al; mov %eax, %edx; ret" },
	{ FATE_OUT, "lea table(%rip), %rcx; xor %eax, %eax; test %edi, %edi; je 1f; lea end(%rip), %rsi; 1: cmp %rsi, %rcx; sete %al; ret" },
	{ FATE_OUT, "lea table(%rip), %rcx; xor %eax, %eax; cmp $0, %rcx; sete %al; ret" },
	/* a way that is not seen leads to the comparison */
	{ FATE_OUT, "mov %rdi, %rcx; lea 2f(%rip), %rdx; add %rsi, %rdx; jmp *%rdx; 1: lea table(%rip), %rcx; 2: lea end(%rip), %rsi; xor %eax, %eax;"
		 "cmp %rsi, %rcx; sete %al; ret" },
	{ FATE_OUT, "lea table(%rip), %rcx; lea 2f(%rip), %rdx; jmp *%rdx; 2: mov (%rcx), %rax; ret" },
};

#define CODES (sizeof(codes) / sizeof(*codes))

static char *source_of_all(void)
{
	char *source = text_copy("__asm__(\".section .data.rel.ro,\\\"aw\\\"; .balign 32;\"\n"
				 "\"table: .quad table, table, table, table; end: .quad table, table, table, table; far: .quad table;\"\n"
				 "\".type table, @object; .size table, 32; .type end, @object; .size end, 32; .text\");\n");

	for (size_t i = 0; i < CODES; i++) {
		char *longer = text_format("%s__attribute__((naked)) void code%zu(void) { __asm__(\"%s\"); }\n", source, i, codes[i].text);

		free(source);
		source = longer;
	}
	return source;
}

static uint64_t symbol_value(const struct image *image, const char *name)
{
	for (size_t i = 0; i < image->symbols.count; i++)
		if (strcmp(image->symbols.item[i].name, name) == 0)
			return image->symbols.item[i].value;
	print_error("no symbol %s\n", name);
	assert_true(false);
	return 0;
}

static void test_all(void **unused)
{
	char *source = source_of_all();
	struct build_pair pair = build_pair(source, "-O2 -fPIC -shared -fcf-protection=none", 0);
	struct image image = { 0 };
	struct program program = { 0 };
	struct error error = { 0 };
	uint64_t table;

	assert_int_equal(image_open(pair.file[0], &image, &error), STATUS_OK);
	assert_int_equal(program_load(&image, &program, &error), STATUS_OK);
	table = symbol_value(&image, "table");
	assert_int_equal(symbol_value(&image, "end"), table + 32);
	for (size_t i = 0; i < CODES; i++) {
		char *name = text_format("code%zu", i);
		uint32_t function = program_function(&program, symbol_value(&image, name));
		enum fate fate;

		assert_int_not_equal(function, NO_FUNCTION);
		fate = escape_of(&program, function, (struct range){ table, table + 32 });
		if (fate != codes[i].fate)
			print_error("%d, not %d: %s\n", fate, codes[i].fate, codes[i].text);
		assert_int_equal(fate, codes[i].fate);
		free(name);
	}
	program_free(&program);
	image_close(&image);
	error_clear(&error);
	build_pair_free(&pair);
	free(source);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
