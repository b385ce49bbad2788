/* Which code switches stacks: as boost, libco and others do it, with unwind data and without; and what only looks like it. */
#include "validated.h"

#define FUNCTION(name) ".globl " name "\n.type " name ",@function\n" name ":\n"
#define END(name) ".size " name ",.-" name "\n"

static const char routines[] =
	".text\n"
	/* boost, make_x86_64_sysv_elf_gas.S and jump_x86_64_sysv_elf_gas.S, shortened */
	FUNCTION("boost") ".cfi_startproc\n lea -0x38(%rsp),%rsp\n mov %r12,0x8(%rsp)\n mov %rsp,%rax\n mov %rdi,%rsp\n"
	"mov 0x38(%rsp),%r8\n mov 0x8(%rsp),%r12\n lea 0x40(%rsp),%rsp\n jmp *%r8\n .cfi_endproc\n" END("boost")
	FUNCTION("boost_bare") "lea -0x38(%rsp),%rsp\n mov %r12,0x8(%rsp)\n mov %rsp,%rax\n mov %rdi,%rsp\n"
	"mov 0x38(%rsp),%r8\n mov 0x8(%rsp),%r12\n lea 0x40(%rsp),%rsp\n jmp *%r8\n" END("boost_bare")
	/* libco, amd64.c */
	FUNCTION("libco") "mov %rsp,(%rsi)\n mov (%rdi),%rsp\n pop %rax\n mov %rbp,8(%rsi)\n mov 8(%rdi),%rbp\n jmp *%rax\n" END("libco")
	FUNCTION("by_variables") ".cfi_startproc\n push %rbp\n mov %rsp,current(%rip)\n mov next(%rip),%rsp\n pop %rbp\n ret\n"
	".cfi_endproc\n" END("by_variables")
	FUNCTION("by_exchange") ".cfi_startproc\n xchg %rsp,%rdi\n mov %rdi,(%rsi)\n ret\n .cfi_endproc\n" END("by_exchange")
	/* in a C function's inline assembler */
	FUNCTION("inlined") ".cfi_startproc\n push %r15\n .cfi_adjust_cfa_offset 8\n mov current(%rip),%rax\n mov %rdi,current(%rip)\n"
	"push %rbx\n push %rbp\n mov %rsp,(%rax)\n mov (%rdi),%rsp\n pop %rbp\n pop %rbx\n pop %r15\n .cfi_adjust_cfa_offset -8\n"
	"ret\n .cfi_endproc\n" END("inlined")
	/* a frame in memory that was given, but it is not the one that is current then; or it is put away, too */
	FUNCTION("stores_frame") "mov (%rsp),%rax\n mov %rbp,(%rsi)\n mov %rax,8(%rsi)\n mov %rdx,%rbp\n mov %rdi,%rsp\n"
	"leave\n ret\n" END("stores_frame")
	FUNCTION("changes_link") "mov %rbp,(%rsi)\n lea 16(%rsi),%rsi\n mov %rsi,%rbp\n mov %rdi,%rsp\n leave\n ret\n" END("changes_link")
	FUNCTION("calls_between") "mov %rbp,(%rbx)\n call other@PLT\n mov %rbx,%rbp\n mov next(%rip),%rsp\n leave\n ret\n" END("calls_between")
	FUNCTION("stores_link") "mov %rbp,(%rsi)\n mov %rsi,%rbp\n mov %rbp,current(%rip)\n mov %rdi,%rsp\n leave\n ret\n" END("stores_link")
	FUNCTION("stores_register") "mov %rbp,(%rsi)\n mov %rsi,%rbp\n mov %rsi,current(%rip)\n mov %rdi,%rsp\n leave\n ret\n"
	END("stores_register")
	/* in two statements of inline assembler: the compiler fetches the other stack pointer in between */
	FUNCTION("in_two_statements") ".cfi_startproc\n push %rbx\n .cfi_adjust_cfa_offset 8\n mov %rdi,%rbx\n mov %rsp,(%rdi)\n"
	"call counts\n mov 8(%rbx),%rax\n mov (%rax),%rax\n mov %rax,%rsp\n pop %rbx\n .cfi_adjust_cfa_offset -8\n ret\n .cfi_endproc\n"
	END("in_two_statements")
	FUNCTION("by_way_of_the_next") ".cfi_startproc\n mov %rsp,%rax\n mov %rax,(%rdi)\n mov 8(%rdi),%rcx\n mov (%rcx),%rsp\n"
	"ret\n .cfi_endproc\n" END("by_way_of_the_next")
	FUNCTION("two_bare_statements") "mov %rsp,(%rdi)\n mov 8(%rdi),%rax\n mov (%rax),%rax\n mov %rax,%rsp\n pop %rbx\n ret\n"
	END("two_bare_statements")
	FUNCTION("counts") ".cfi_startproc\n ret\n .cfi_endproc\n" END("counts")
	".bss\n current: .quad 0\n next: .quad 0\n";

static const char others[] =
	".text\n"
	/* glibc, __longjmp.S */
	FUNCTION("jumps") ".cfi_startproc\n mov 0x30(%rdi),%r8\n mov 0x38(%rdi),%rdx\n mov (%rdi),%rbx\n mov %esi,%eax\n"
	"mov %r8,%rsp\n jmp *%rdx\n .cfi_endproc\n" END("jumps")
	FUNCTION("saves") ".cfi_startproc\n mov %rbx,(%rdi)\n lea 8(%rsp),%rdx\n mov %rdx,0x30(%rdi)\n xor %eax,%eax\n ret\n"
	".cfi_endproc\n" END("saves")
	/* libffi, ffi_call_win64 in win64.S: a call on memory that was given */
	FUNCTION("links_bare") "mov (%rsp),%rax\n mov %rbp,(%rsi)\n mov %rax,8(%rsi)\n mov %rsi,%rbp\n mov %rdi,%rsp\n mov %rdx,%r10\n"
	"mov (%rsp),%rcx\n call *0x10(%rbp)\n mov 0x18(%rbp),%ecx\n mov 0x20(%rbp),%r8\n leave\n ret\n" END("links_bare")
	/* OpenSSL's AES: the caller's stack pointer is kept in the aligned frame. */
	FUNCTION("realigns") ".cfi_startproc\n mov %rsp,%rax\n sub $192,%rsp\n and $-64,%rsp\n mov %rdi,(%rsp)\n mov %rax,16(%rsp)\n"
	"call other@PLT\n mov 16(%rsp),%rsi\n lea (%rsi),%rsp\n ret\n .cfi_endproc\n" END("realigns")
	FUNCTION("realigns_bare") "mov %rsp,%rax\n sub $192,%rsp\n and $-64,%rsp\n mov %rdi,(%rsp)\n mov %rax,16(%rsp)\n"
	"call other@PLT\n mov 16(%rsp),%rsi\n lea (%rsi),%rsp\n ret\n" END("realigns_bare")
	/* the dynamic linker's lazy binding */
	FUNCTION("in_rbx") ".cfi_startproc\n push %rbx\n .cfi_adjust_cfa_offset 8\n .cfi_offset rbx,-16\n mov %rsp,%rbx\n"
	".cfi_def_cfa_register rbx\n and $-64,%rsp\n sub $256,%rsp\n call other@PLT\n mov %rbx,%rsp\n mov (%rsp),%rbx\n add $8,%rsp\n"
	".cfi_restore rbx\n .cfi_def_cfa rsp,8\n ret\n .cfi_endproc\n" END("in_rbx");

static const char compiled[] =
	"int other(void *); int variable(int n, int m) { int s = 0; for (int i = 0; i < m; i++) { char a[n + i]; s += other(a); } return s; }\n"
	"void *stored; int stores(int n) { char a[n]; stored = a; return other(&stored); }\n"
	"struct list { struct list *next; }; void links(struct list *head) { struct list mine = { head->next }; head->next = &mine; other(head); }\n"
	"int aligned(int n) { char room[64] __attribute__((aligned(64))); char more[n]; other(more); return other(room); }\n";

static size_t switches_between(const struct validated *built, const char *name)
{
	const struct validation *validation = &built->validation;
	size_t count = 0;

	for (size_t i = 0; i < built->image.symbols.count; i++) {
		const struct symbol *symbol = &built->image.symbols.item[i];

		if (!symbol->defined || symbol->dynamic || strcmp(symbol->name, name) != 0)
			continue;
		for (size_t j = 0; j < validation->switches.count; j++)
			count += validation->switches.item[j] - symbol->value < symbol->size;
	}
	return count;
}

static void routines_that_switch_are_found(void **state)
{
	static const char *const names[] = { "boost", "boost_bare", "libco", "by_variables", "by_exchange", "inlined", "stores_frame",
		"changes_link", "calls_between", "stores_link", "stores_register", "in_two_statements", "by_way_of_the_next",
		"two_bare_statements" };
	struct validated *built = validated_build(routines, "s", "");

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (switches_between(built, names[i]) != 1)
			give_up("%s: %zu", names[i], switches_between(built, names[i]));
	assert_int_equal(built->validation.switches.count, sizeof(names) / sizeof(names[0]));
	validated_free(built);
}

static void nothing_else_is(void **state)
{
	static const char *const flags[] = { "-O0 -fPIC", "-O2 -fPIC", "-Os -fPIC -fstack-clash-protection" };
	struct validated *built = validated_build(others, "s", "");

	(void)state;
	if (built->validation.switches.count)
		give_up("0x%lx", (unsigned long)built->validation.switches.item[0]);
	validated_free(built);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		built = validated_build(compiled, "c", flags[i]);
		if (built->validation.switches.count)
			give_up("%s: 0x%lx", flags[i], (unsigned long)built->validation.switches.item[0]);
		validated_free(built);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routines_that_switch_are_found),
		cmocka_unit_test(nothing_else_is),
	};

	return cmocka_run_group_tests_name("switches", tests, NULL, NULL);
}
