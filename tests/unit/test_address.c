/* What code does with the address of a table: only what is seen to do nothing but load from it is taken for that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/arch.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

#define LEA_RAX 0x48, 0x8d, 0x05, 0, 0, 0, 0	/* lea rax, [rip] */
#define LEA_RCX 0x48, 0x8d, 0x0d, 0, 0, 0, 0
#define LEA_RDX 0x48, 0x8d, 0x15, 0, 0, 0, 0
#define LEA_RSI 0x48, 0x8d, 0x35, 0, 0, 0, 0
#define RET 0xc3

#define assert_loads(answer, ...)                                                               \
	do {                                                                                    \
		const uint8_t bytes[] = { __VA_ARGS__ };                                        \
		assert_int_equal(arch_x86_64.only_loads(bytes, sizeof(bytes)), answer);         \
	} while (0)

static void test_loads(void **state)
{
	assert_loads(true, LEA_RAX, 0x48, 0x8b, 0x04, 0xf8);			/* mov rax, [rax+rdi*8] */
	assert_loads(true, LEA_RAX, 0x89, 0xff, 0x48, 0x8b, 0x04, 0xf8);	/* mov edi, edi before that */
	assert_loads(true, LEA_RAX, 0x8b, 0x04, 0xb8);				/* mov eax, [rax+rdi*4] */
	assert_loads(true, LEA_RAX, 0x48, 0x63, 0x04, 0xb8);			/* movsxd rax, [rax+rdi*4] */
	assert_loads(true, LEA_RAX, 0x48, 0x3b, 0x38, 0x31, 0xff, 0xb8, 1, 0, 0, 0);	/* cmp rdi, [rax]; xor edi, edi; mov eax, 1 */
}

/* Nobody reads rcx behind a return, but perhaps rdx. */
static void test_returns(void **state)
{
	assert_loads(true, LEA_RCX, 0x48, 0x8b, 0x04, 0xf9, RET);
	assert_loads(false, LEA_RDX, 0x48, 0x8b, 0x04, 0xfa, RET);
	assert_loads(false, LEA_RAX, RET);
}

static void test_keeps(void **state)
{
	assert_loads(false, LEA_RAX, 0x48, 0x89, 0x03, 0x31, 0xc0);		/* mov [rbx], rax; xor eax, eax */
	assert_loads(false, LEA_RAX, 0x50, 0xb8, 1, 0, 0, 0);			/* push rax; mov eax, 1 */
	assert_loads(false, LEA_RAX, 0x48, 0x39, 0xd8, 0xb8, 1, 0, 0, 0);	/* cmp rax, rbx; mov eax, 1 */
	assert_loads(false, LEA_RAX, 0x48, 0x89, 0xc3, 0xb8, 1, 0, 0, 0);	/* mov rbx, rax; mov eax, 1 */
}

static void test_computes(void **state)
{
	assert_loads(false, LEA_RAX, 0x48, 0x8d, 0x40, 0x08);			/* lea rax, [rax+8] */
	assert_loads(false, LEA_RAX, 0x48, 0x01, 0xf8);				/* add rax, rdi */
	assert_loads(false, LEA_RAX, 0x31, 0xc0);				/* xor eax, eax: it is read */
	assert_loads(false, LEA_RSI, 0xf3, 0xa4);				/* rep movsb */
}

static void test_overwrites_in_part(void **state)
{
	assert_loads(false, LEA_RAX, 0xb0, 0x01, 0x48, 0x8b, 0x04, 0xf8);	/* mov al, 1 */
	assert_loads(false, LEA_RAX, 0x48, 0x0f, 0x45, 0x00);			/* cmovne rax, [rax] */
}

static void test_stores(void **state)
{
	assert_loads(false, LEA_RAX, 0x48, 0x89, 0x38, 0xb8, 1, 0, 0, 0);	/* mov [rax], rdi; mov eax, 1 */
}

static void test_leaves(void **state)
{
	assert_loads(false, LEA_RAX, 0xe8, 0, 0, 0, 0, 0xb8, 1, 0, 0, 0);	/* call; mov eax, 1 */
	assert_loads(false, LEA_RAX, 0x75, 0, 0x48, 0x8b, 0x04, 0xf8);		/* jne */
	assert_loads(false, LEA_RCX, 0xeb, 0, RET);				/* jmp; ret */
	assert_loads(false, LEA_RAX, 0x90);					/* no more is seen */
}

static void test_is_no_address(void **state)
{
	assert_loads(false, 0x48, 0x8b, 0x05, 0, 0, 0, 0, 0x48, 0x8b, 0x04, 0xf8);	/* mov rax, [rip]; mov rax, [rax+rdi*8] */
	assert_loads(false, 0x48, 0x8d, 0x04, 0xf8, 0x48, 0x8b, 0x04, 0xf8);		/* lea rax, [rax+rdi*8] */
	assert_loads(false, 0x06);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loads),
		cmocka_unit_test(test_returns),
		cmocka_unit_test(test_keeps),
		cmocka_unit_test(test_computes),
		cmocka_unit_test(test_overwrites_in_part),
		cmocka_unit_test(test_stores),
		cmocka_unit_test(test_leaves),
		cmocka_unit_test(test_is_no_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
