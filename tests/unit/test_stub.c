/*
 * test_stub.c: stubs and switches lead where their memory says, and leave no trace in any register, under
 * a storm of signals too; bytes in front of a return address are told to be a call, or not.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "arch/arch.h"
#include "x86_64_run.h"

#include <cmocka.h>	/* last: it has a fail() of its own */

static const struct arch *const arch = &arch_x86_64;

#define PIECE 0x10000
#define SPACE_SIZE (UINT64_C(2) << 30)
#define INDEX 5

/* The stub or switch stands in the middle of the space; selector and versions at its ends. */
static uint8_t *space, *code;
static volatile uint64_t *selector, *reached;	/* in the pieces of data and of versions */
static uint64_t version[2];			/* their addresses */

static uint64_t address_of(const volatile void *place)
{
	return (uint64_t)(uintptr_t)place;
}

/* A version says that it ran and returns; mov and ret change no flag:
 *	movb $1, reached(%rip); ret */
static uint64_t write_version(uint8_t *out, volatile uint64_t *mark)
{
	uint8_t bytes[] = { 0xc6, 0x05, 0, 0, 0, 0, 1, 0xc3 };
	int32_t distance = (int32_t)(address_of(mark) - address_of(out) - 7);

	memcpy(bytes + 2, &distance, sizeof(distance));
	memcpy(out, bytes, sizeof(bytes));
	return address_of(out);
}

static int make_space(void **state)
{
	uint8_t *ends[2];

	(void)state;
	alarm(60);
	space = reserve_space(SPACE_SIZE);
	if (!space)
		return -1;
	code = space + SPACE_SIZE / 2;
	ends[0] = space;
	ends[1] = space + SPACE_SIZE - PIECE;
	if (make_executable(code, PIECE) != 0 || make_executable(ends[0], PIECE) != 0 ||
	    make_executable(ends[1], PIECE) != 0)
		return -1;
	selector = (volatile uint64_t *)(uintptr_t)ends[0];
	reached = selector + 1;
	version[0] = write_version(ends[0] + 0x100, &reached[0]);
	version[1] = write_version(ends[0] + 0x200, &reached[1]);
	return 0;
}

static int free_space(void **state)
{
	(void)state;
	return munmap(space, SPACE_SIZE);
}

/* Run the code once: it changes no register that the version itself leaves alone (that is, none), and
 * reaches the version meant and no other. -1: either will do. */
static void run_once(int expected)
{
	struct machine direct, found;

	fill_machine(&direct);
	found = direct;
	run_code(&direct, version[0]);
	reached[0] = reached[1] = 0;
	run_code(&found, address_of(code));
	assert_memory_equal(&direct, &found, sizeof(direct));
	assert_int_equal(reached[0] + reached[1], 1);
	if (expected >= 0)
		assert_int_equal(reached[expected], 1);
}

/* Two tables of versions; only the entry at INDEX leads somewhere. */
static uint64_t tables[2][INDEX + 2];

static void write_tables(void)
{
	for (unsigned i = 0; i < 2; i++) {
		memset(tables[i], 0, sizeof(tables[i]));
		tables[i][INDEX] = version[i];
	}
	assert_true(arch->write_switch(code, address_of(code), address_of(selector), INDEX));
}

static void stubs_keep_all_registers(void **state)
{
	(void)state;
	memset(code, arch->trap, PIECE);
	assert_true(arch->write_stub(code, address_of(code), address_of(selector)));
	assert_int_equal(code[arch->stub_size], arch->trap);
	for (int i = 0; i < 1000; i++) {
		*selector = version[i & 1];
		run_once(i & 1);
	}
}

static void switches_keep_all_registers(void **state)
{
	(void)state;
	memset(code, arch->trap, PIECE);
	write_tables();
	assert_int_equal(code[arch->switch_size], arch->trap);
	for (int i = 0; i < 1000; i++) {
		*selector = address_of(tables[i & 1]);
		run_once(i & 1);
	}
}

static volatile sig_atomic_t in_code, storms;

/* Move the selector in the middle of whatever runs. The signal frame alone spoils some kilobytes of stack. */
static void flip_selector(int signal, siginfo_t *info, void *context)
{
	uint64_t rip = (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

	(void)signal;
	(void)info;
	*selector = address_of(tables[storms & 1]);
	storms++;
	if (rip - address_of(code) < arch->switch_size)
		in_code++;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A signal comes in the middle of a switch seldom, so the test goes on until it has. */
static void switches_survive_signals(void **state)
{
	struct sigaction action = { .sa_sigaction = flip_selector, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec every = { { 0, 30000 }, { 0, 30000 } };
	double start = seconds();
	unsigned seen[2] = { 0, 0 };
	timer_t timer;

	(void)state;
	write_tables();
	*selector = address_of(tables[0]);
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	assert_int_equal(timer_settime(timer, 0, &every, NULL), 0);
	while (in_code < 50 || seconds() - start < 0.5) {
		for (int i = 0; i < 1000; i++) {
			run_once(-1);
			seen[reached[1] == 1]++;
		}
	}
	assert_int_equal(timer_delete(timer), 0);
	assert_true(seen[0] > 0 && seen[1] > 0);
}

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
		assert_true(arch->write_stub(out, place, far));
		assert_true(arch->decode(out, arch->stub_size, place, &insn));
		assert_int_equal(insn.kind, INSN_JUMP_INDIRECT);
		assert_int_equal(insn.ref[0].target, far);
		assert_false(arch->write_jump(out, 5, place, beyond));
		assert_false(arch->write_stub(out, place, beyond));
		assert_false(arch->write_switch(out, place, beyond, 0));
	}
	assert_false(arch->write_jump(out, 4, place, place));
	assert_false(arch->write_jump(out, 6, place, place));
	/* The last byte that rel32 reaches, and the next. */
	assert_true(arch->write_jump(out, 5, place, place + 5 + INT32_MAX));
	assert_false(arch->write_jump(out, 5, place, place + 5 + INT32_MAX + 1));
}

static void switches_refuse_an_index_out_of_reach(void **state)
{
	uint8_t out[64];

	(void)state;
	assert_true(sizeof(out) >= arch->switch_size);
	assert_true(arch->write_switch(out, 0x1000, 0x2000, INT32_MAX / 8));
	assert_false(arch->write_switch(out, 0x1000, 0x2000, INT32_MAX / 8 + 1));
	assert_false(arch->write_switch(out, 0x1000, 0x2000, UINT32_MAX));
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
		cmocka_unit_test(stubs_keep_all_registers),
		cmocka_unit_test(switches_keep_all_registers),
		cmocka_unit_test(switches_survive_signals),
		cmocka_unit_test(jumps_lead_to_their_target),
		cmocka_unit_test(switches_refuse_an_index_out_of_reach),
		cmocka_unit_test(calls_are_recognised),
		cmocka_unit_test(calls_are_what_the_decoder_says),
	};

	return cmocka_run_group_tests(tests, make_space, free_space);
}
