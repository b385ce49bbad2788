/* test_stub.c: jumps lead to their target, and bytes in front of a return address are told to be a call, or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "arch/arch.h"
#include "x86_64_run.h"

#include <cmocka.h>	/* last: it has a fail() of its own */

static const struct arch *const arch = &arch_x86_64;

static void jumps_lead_to_their_target(void **state)
{
	const uint64_t place = UINT64_C(0x7f0000000000);
	uint8_t out[16];
	struct insn insn;

	(void)state;
	for (int sign = -1; sign <= 1; sign += 2) {
		uint64_t far = place + (uint64_t)sign * arch->reach, beyond = place + (uint64_t)sign * (INT64_C(1) << 31) * 2;

		assert_true(arch->write_jump(out, 5, place, far));
		assert_true(arch->decode(out, 5, place, &insn));
		assert_int_equal(insn.kind, INSN_JUMP);
		assert_int_equal(insn.ref[0].target, far);
		assert_false(arch->write_jump(out, 5, place, beyond));
	}
	assert_false(arch->write_jump(out, 4, place, place));
	assert_false(arch->write_jump(out, 6, place, place));
	/* The last byte that rel32 reaches, and the next. */
	assert_true(arch->write_jump(out, 5, place, place + 5 + INT32_MAX));
	assert_false(arch->write_jump(out, 5, place, place + 5 + INT32_MAX + 1));
}

/* A jump over 6 GiB, with all registers and flags as a direct call finds them. */
static void far_jumps_lead_anywhere(void **state)
{
	static const uint8_t version[] = { 0x48, 0x8d, 0x40, 1, 0xc3 };	/* lea 1(%rax), %rax; ret: changes no flag */
	const size_t size = UINT64_C(6) << 30;
	uint8_t *space = reserve_space(size);
	uint64_t far = (uint64_t)(uintptr_t)space + size - 4096;
	struct machine direct, jumped;

	(void)state;
	assert_non_null(space);
	assert_int_equal(make_executable(space, 4096), 0);
	assert_int_equal(make_executable(space + size - 4096, 4096), 0);
	memset(space, arch->trap, 4096);
	memcpy(space + size - 4096, version, sizeof(version));
	arch->write_far_jump(space + 16, far);
	assert_int_equal(space[16 + arch->far_jump_size], arch->trap);
	for (int i = 0; i < 100; i++) {
		fill_machine(&direct);
		jumped = direct;
		run_code(&direct, far);
		run_code(&jumped, (uint64_t)(uintptr_t)space + 16);
		assert_memory_equal(&direct, &jumped, sizeof(direct));
	}
	munmap(space, size);
}

struct bytes {
	uint8_t size, byte[16];
};

static void calls_are_recognised(void **state)
{
	static const struct bytes calls[] = {
		{ 5, { 0xe8, 0, 0, 0, 0 } },				/* call rel32 */
		{ 2, { 0xff, 0xd0 } },					/* call *%rax */
		{ 3, { 0x41, 0xff, 0xd4 } },				/* call *%r12 */
		{ 2, { 0xff, 0x10 } },					/* call *(%rax) */
		{ 3, { 0xff, 0x50, 8 } },				/* call *8(%rax) */
		{ 4, { 0xff, 0x54, 0x24, 8 } },				/* call *8(%rsp) */
		{ 6, { 0xff, 0x90, 0, 1, 0, 0 } },			/* call *256(%rax) */
		{ 7, { 0xff, 0x94, 0x24, 0, 1, 0, 0 } },		/* call *256(%rsp) */
		{ 8, { 0x41, 0xff, 0x94, 0x24, 0, 1, 0, 0 } },		/* call *256(%r12) */
		{ 6, { 0xff, 0x15, 0, 0, 0, 0 } },			/* call *0(%rip) */
		{ 7, { 0xff, 0x14, 0xc5, 0, 0, 0x40, 0 } },		/* call *table(,%rax,8) */
		{ 8, { 0x64, 0xff, 0x14, 0x25, 0x10, 0, 0, 0 } },	/* call *%fs:16 */
		{ 3, { 0x3e, 0xff, 0xd0 } },				/* notrack call *%rax */
		{ 6, { 0xf2, 0xe8, 0, 0, 0, 0 } },			/* bnd call */
		{ 6, { 0x67, 0xe8, 0, 0, 0, 0 } },			/* call, as relaxed by linkers */
		{ 8, { 0x66, 0x66, 0x48, 0xe8, 0, 0, 0, 0 } },		/* call __tls_get_addr@PLT */
		{ 9, { 0x90, 0x90, 0x90, 0x90, 0xe8, 0, 0, 0, 0 } },	/* behind other instructions */
	};
	static const struct bytes others[] = {
		{ 0, { 0 } },
		{ 1, { 0xe8 } },
		{ 8, { 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90 } },
		{ 5, { 0xe9, 0, 0, 0, 0 } },				/* jmp rel32 */
		{ 2, { 0xff, 0xe0 } },					/* jmp *%rax */
		{ 6, { 0xff, 0x25, 0, 0, 0, 0 } },			/* jmp *0(%rip) */
		{ 2, { 0xff, 0xf0 } },					/* push %rax */
		{ 4, { 0xe8, 0, 0, 0 } },				/* a call that is not over */
		{ 6, { 0xe8, 0, 0, 0, 0, 0x90 } },			/* a call, and one byte more */
		{ 3, { 0xff, 0xd0, 0x90 } },
		{ 6, { 0x0f, 0x84, 0, 0, 0, 0 } },			/* jz rel32 */
		{ 1, { 0xc3 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		assert_true(arch->ends_with_call(calls[i].byte + calls[i].size, calls[i].size));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(arch->ends_with_call(others[i].byte + others[i].size, others[i].size));
	/* No byte in front of those that there are counts. */
	assert_false(arch->ends_with_call(calls[0].byte + 5, 4));
}

/* ff /3, behind a REX prefix or not: far calls, which leave more than a return address. */
static bool is_far_call(const uint8_t *bytes, size_t length)
{
	size_t prefix = bytes[0] >> 4 == 4;

	return length > prefix + 1 && bytes[prefix] == 0xff && (bytes[prefix + 1] >> 3 & 7) == 3;
}

/* By the decoder: some tail of the bytes is one instruction, and a near call. */
static bool decodes_to_call(const uint8_t *end, size_t size)
{
	for (size_t length = 1; length <= size; length++) {
		struct insn insn;

		if (!is_far_call(end - length, length) && arch->decode(end - length, length, 0, &insn) && insn.length == length &&
		    (insn.kind == INSN_CALL || insn.kind == INSN_CALL_INDIRECT))
			return true;
	}
	return false;
}

/* Every call that there is of up to 7 bytes, as far as it is told by its first three, and bytes that are none. */
static void calls_are_what_the_decoder_says(void **state)
{
	static const uint8_t first[] = { 0xe8, 0xff, 0x41, 0xfe, 0x9a, 0x90 };
	uint8_t bytes[7] = { 0 };
	size_t calls = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(first); i++)
		for (unsigned int next = 0; next < 65536; next++)
			for (size_t at = 0; at < sizeof(bytes) - 1; at++) {
				bool call;

				memset(bytes, 0x90, sizeof(bytes));
				bytes[at] = first[i];
				bytes[at + 1] = (uint8_t)next;
				if (at + 2 < sizeof(bytes))
					bytes[at + 2] = (uint8_t)(next >> 8);
				call = arch->ends_with_call(bytes + sizeof(bytes), sizeof(bytes));
				if (call != decodes_to_call(bytes + sizeof(bytes), sizeof(bytes)))
					fail_msg("%02x %02x %02x at %zu", first[i], bytes[at + 1], next >> 8, at);
				calls += call;
			}
	assert_true(calls > 40000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jumps_lead_to_their_target),
		cmocka_unit_test(far_jumps_lead_anywhere),
		cmocka_unit_test(calls_are_recognised),
		cmocka_unit_test(calls_are_what_the_decoder_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
