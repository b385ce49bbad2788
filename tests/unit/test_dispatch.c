/*
 * test_dispatch.c: a dispatcher leads each thread to the version that selector, table and fallback say, and leaves no trace
 * in any register, flag or byte of the stack, at any alignment and under a storm of signals.
 */
#include <asm/prctl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "arch/arch.h"
#include "arch/dispatch.h"
#include "base/bytes.h"
#include "x86_64_run.h"

#include <cmocka.h>	/* last: it has a fail() of its own */

static const struct arch *const arch = &arch_x86_64;

/* Call run_code() with another thread pointer. Nothing in it uses thread-local memory. */
void run_as(struct machine *machine, uint64_t code, uint64_t thread_pointer);

__asm__(".pushsection .text\n"
	".type run_as, @function\n"
	"run_as:\n"
	"	push %rbx\n"
	"	rdfsbase %rbx\n"
	"	wrfsbase %rdx\n"
	"	call run_code\n"
	"	wrfsbase %rbx\n"
	"	pop %rbx\n"
	"	ret\n"
	".size run_as, . - run_as\n"
	".popsection\n");

extern uint8_t run_stack[] __asm__("run_stack"), run_stack_end[] __asm__("run_stack_end");

#define PIECE 0x10000
#define TABLE_SIZE (sizeof(struct dispatch_entry) << DISPATCH_BITS_MAX)
#define SPACE_SIZE (UINT64_C(2) << 30)
#define FUNCTIONS 7
#define FIRST 5			/* of the functions, these two lead somewhere */
#define SECOND 6
#define DIRECTION_FLAG UINT64_C(0x400)

enum { OLD, NEW };

/* The code stands in the middle of the space, what it refers to at its ends. */
static uint8_t *space, *code;
static struct dispatch dispatch;
static volatile uint64_t *selector, *fallback;
static volatile uint64_t *reached;		/* one word per version */
static struct dispatch_entry *table;
static uint64_t dispatcher[2], framed[2];	/* of FIRST and SECOND; framed: called with the stack pointer moved */
static uint64_t version[2];			/* of FIRST */
static struct { uint64_t mark, word[FUNCTIONS]; } *versions;	/* two */

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

/* A version for C callers: mov $value, %eax; ret */
static uint64_t write_value(uint8_t *out, uint32_t value)
{
	uint8_t bytes[] = { 0xb8, 0, 0, 0, 0, 0xc3 };

	memcpy(bytes + 1, &value, sizeof(value));
	memcpy(out, bytes, sizeof(bytes));
	return address_of(out);
}

/* Code that calls `to` with the stack pointer moved by `bytes`:
 *	lea -bytes(%rsp), %rsp; call to; lea bytes(%rsp), %rsp; ret */
static uint64_t write_frame(uint8_t *out, uint8_t bytes, uint64_t to)
{
	uint8_t frame[] = { 0x48, 0x8d, 0x64, 0x24, (uint8_t)-bytes, 0xe8, 0, 0, 0, 0, 0x48, 0x8d, 0x64, 0x24, bytes, 0xc3 };
	int32_t distance = (int32_t)(to - address_of(out) - 10);

	memcpy(frame + 6, &distance, sizeof(distance));
	memcpy(out, frame, sizeof(frame));
	return address_of(out);
}

static bool make_dispatcher(uint8_t *place, int function)
{
	return arch->write_dispatcher(place, address_of(place), &dispatch, address_of(&versions[OLD].word[function]),
				      address_of(&versions[NEW].word[function]));
}

static int make_space(void **state)
{
	uint8_t *high;

	alarm(60);
	space = reserve_space(SPACE_SIZE);
	if (!space)
		return -1;
	code = space + SPACE_SIZE / 2;
	high = space + SPACE_SIZE - TABLE_SIZE;
	if (make_executable(code, PIECE) != 0 || make_executable(space, PIECE) != 0 || make_executable(high, TABLE_SIZE) != 0)
		return -1;
	memset(code, arch->trap, PIECE);
	table = (struct dispatch_entry *)(void *)high;
	selector = (volatile uint64_t *)(void *)space;
	fallback = selector + 1;
	reached = selector + 2;
	versions = (void *)(space + 0x600);
	versions[NEW].mark = 1;
	versions[OLD].word[FIRST] = version[OLD] = write_version(space + 0x100, &reached[OLD]);
	versions[NEW].word[FIRST] = version[NEW] = write_version(space + 0x200, &reached[NEW]);
	versions[OLD].word[SECOND] = write_value(space + 0x300, OLD);
	versions[NEW].word[SECOND] = write_value(space + 0x400, NEW);
	dispatch = (struct dispatch){ .selector = address_of(selector), .fallback = address_of(fallback), .table = address_of(table),
				      .lookup = address_of(code) };
	dispatcher[0] = address_of(code) + 0x200;
	dispatcher[1] = address_of(code) + 0x300;
	return make_dispatcher(code + 0x200, FIRST) && make_dispatcher(code + 0x300, SECOND) ? 0 : -1;
}

static int free_space(void **state)
{
	return munmap(space, SPACE_SIZE);
}

static uint64_t thread_pointer(void)
{
	uint64_t pointer = 0;

	assert_int_equal(syscall(SYS_arch_prctl, ARCH_GET_FS, &pointer), 0);
	return pointer;
}

/* Begin with an empty table of this size. */
static void use_table(uint8_t bits)
{
	memset(table, 0, sizeof(*table) << bits);
	dispatch.table_bits = bits;
	assert_true(arch->write_lookup(code, &dispatch));
	assert_int_equal(code[arch->lookup_size], arch->trap);
	*selector = 0;
	*fallback = address_of(versions[OLD].word);
}

static struct dispatch_entry *put(uint64_t pointer, int which)
{
	struct dispatch_entry *entry = &table[dispatch_find(table, dispatch.table_bits, dispatch_key(pointer))];

	*entry = (struct dispatch_entry){ dispatch_key(pointer), address_of(versions[which].word) };
	return entry;
}

/* Put in keys of nobody, all with version `which`, until the search for `pointer` would end at number `steps` behind its first. */
static void crowd(uint64_t pointer, size_t steps, int which)
{
	size_t mask = ((size_t)1 << dispatch.table_bits) - 1, first = dispatch_first(dispatch_key(pointer), dispatch.table_bits);

	for (size_t i = 0; i < steps; i++)
		table[(first + i) & mask] = (struct dispatch_entry){ dispatch_key(pointer ^ (i + 1) << 20),
								     address_of(versions[which].word) };
}

/* The same registers, by way of the dispatcher and to the version itself: all are the same afterwards, and only the expected version
 * was reached (-1: any). */
static void compare_runs(uint64_t direct_code, uint64_t dispatched_code, uint64_t pointer, int expected)
{
	struct machine direct, found;

	fill_machine(&direct);
	direct.flags |= random_word() & DIRECTION_FLAG;
	found = direct;
	run_as(&direct, direct_code, pointer);
	reached[OLD] = reached[NEW] = 0;
	run_as(&found, dispatched_code, pointer);
	assert_memory_equal(&direct, &found, sizeof(direct));
	assert_int_equal(reached[OLD] + reached[NEW], 1);
	if (expected >= 0)
		assert_int_equal(reached[expected], 1);
}

static void run_once(uint64_t pointer, int expected)
{
	compare_runs(version[OLD], dispatcher[0], pointer, expected);
}

static void need_rdfsbase(void)
{
	if ((getauxval(AT_HWCAP2) & arch->lookup_hwcap2) != arch->lookup_hwcap2)
		skip();
}

static void the_selector_decides_for_all(void **state)
{
	need_rdfsbase();	/* for run_as() */
	use_table(6);
	for (int i = 0; i < 1000; i++) {
		/* Neither the entry nor the fallback matters. */
		put(0x7000, !(i & 1));
		*fallback = address_of(versions[!(i & 1)].word);
		*selector = address_of(versions[i & 1].word);
		run_once(0x7000, i & 1);
		run_once(0x8000, i & 1);
	}
}

static void threads_find_their_entry(void **state)
{
	static const uint8_t bits[] = { DISPATCH_BITS_MIN, 7, 10, 15, DISPATCH_BITS_MAX };

	need_rdfsbase();
	for (size_t b = 0; b < sizeof(bits); b++) {
		for (int i = 0; i < 200; i++) {
			uint64_t pointer = random_word() >> 17 & ~UINT64_C(63);

			use_table(bits[b]);
			*fallback = address_of(versions[!(i & 1)].word);
			put(pointer, i & 1);
			run_once(pointer, i & 1);
			run_once(pointer ^ 64, !(i & 1));
		}
	}
}

/* Any number of others in front, up to a table with one empty entry, and at any place: past its end, too. */
static void probes_go_on_and_wrap_around(void **state)
{
	size_t wrapped = 0;

	need_rdfsbase();
	for (size_t steps = 0; steps < 63; steps++) {
		for (int i = 0; i < 8; i++) {
			uint64_t pointer = random_word() >> 17;

			use_table(6);
			crowd(pointer, steps, !(i & 1));
			*fallback = address_of(versions[!(i & 1)].word);
			wrapped += put(pointer, i & 1) < &table[dispatch_first(dispatch_key(pointer), 6)];
			run_once(pointer, i & 1);
		}
	}
	assert_in_range(wrapped, 50, 450);
}

static void without_an_entry_the_fallback_decides(void **state)
{
	need_rdfsbase();
	for (size_t steps = 0; steps <= 63; steps++) {
		uint64_t pointer = random_word() >> 17;

		use_table(6);
		crowd(pointer, steps, OLD);
		*fallback = address_of(versions[NEW].word);
		run_once(pointer, NEW);
	}
}

/* A thread pointer of 0 is one like others. One of all ones has the key of empty entries: it is found in none. */
static void any_thread_pointer_is_safe(void **state)
{
	need_rdfsbase();
	use_table(6);
	run_once(0, OLD);
	put(0, NEW);
	run_once(0, NEW);
	*fallback = address_of(versions[NEW].word);
	run_once(UINT64_MAX, NEW);
	*fallback = address_of(versions[OLD].word);
	run_once(UINT64_MAX, OLD);
}

/* Per thread and for all; all flags; the stack pointer at each of 16 alignments. */
static void all_alignments_and_flags(void **state)
{
	static const uint64_t flags[] = { 0x1, 0x4, 0x10, 0x40, 0x80, 0x400, 0x800 };

	need_rdfsbase();
	use_table(6);
	crowd(0x1000, 1, OLD);
	put(0x1000, NEW);
	for (uint8_t bytes = 0; bytes < 16; bytes++) {
		framed[OLD] = write_frame(space + 0x500, bytes, version[NEW]);
		framed[NEW] = write_frame(code + 0x400, bytes, dispatcher[0]);
		for (int i = 0; i < 20; i++) {
			*selector = i & 1 ? address_of(versions[NEW].word) : 0;
			compare_runs(framed[OLD], framed[NEW], 0x1000, NEW);
		}
	}
	*selector = 0;
	for (unsigned int set = 0; set < 128; set++) {
		struct machine machine;

		fill_machine(&machine);
		machine.flags = 0x202;
		for (unsigned int i = 0; i < 7; i++)
			machine.flags |= set & 1u << i ? flags[i] : 0;

		uint64_t before = machine.flags;

		run_as(&machine, dispatcher[0], 0x1000);
		assert_int_equal(machine.flags, before);
	}
}

/* At the dispatcher's entry the stack pointer is 6 words below the end: see run_code(). What is above, the 128 bytes below, and
 * what is more than 48 bytes below those, stays; and nothing that is left there leads back to the dispatcher. */
static void the_red_zone_is_kept(void **state)
{
	const size_t size = (size_t)(run_stack_end - run_stack);
	uint8_t *before = malloc(size);
	struct machine machine;
	size_t changed = 0;

	need_rdfsbase();
	assert_non_null(before);
	use_table(6);
	crowd(0x1000, 3, OLD);
	put(0x1000, NEW);
	fill_machine(&machine);
	run_as(&machine, version[NEW], 0x1000);	/* what run_code() itself leaves there */

	uint8_t *stack = (uint8_t *)(uintptr_t)machine.general[RSP];

	for (int all = 0; all < 2; all++) {
		*selector = all ? address_of(versions[NEW].word) : 0;
		memset(run_stack, 0xa5, (size_t)(stack - run_stack));
		memcpy(before, run_stack, size);
		run_as(&machine, dispatcher[0], 0x1000);
		for (size_t i = 0; i < size; i++) {
			uint8_t *byte = run_stack + i;

			if (byte >= stack + 8 || byte[0] == before[i])	/* run_code() keeps registers there */
				continue;
			assert_true(byte >= stack || (byte >= stack - 128 - 48 && byte < stack - 128));
			changed += byte < stack;
		}
		for (uint8_t *word = stack - 128 - 48; word < stack - 128; word += sizeof(uint64_t))
			assert_true(load64(word) - address_of(code) >= PIECE);
	}
	assert_in_range(changed, 16, 56);
	free(before);
}

/* No instruction writes to more than general registers and flags. */
static void vector_and_floating_point_state_is_not_touched(void **state)
{
	const uint64_t allowed = 0xffff | UINT64_C(1) << 48;
	const struct range { size_t start, size; } pieces[] = { { 0, arch->lookup_size }, { 0x200, arch->dispatcher_size } };

	use_table(6);
	for (size_t i = 0; i < 2; i++) {
		for (size_t at = 0; at < pieces[i].size;) {
			struct insn insn;

			assert_true(arch->decode(code + pieces[i].start + at, pieces[i].size - at, 0, &insn));
			assert_int_equal(insn.clobbers & ~allowed, 0);
			at += insn.length;
		}
	}
}

static volatile sig_atomic_t in_dispatcher, in_lookup, storms;
static struct dispatch_entry *flipped;

/* Move everything in the middle of whatever runs, and spoil the stack below. */
static void flip_all(int signal, siginfo_t *info, void *context)
{
	uint64_t rip = (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	volatile uint8_t spoiled[8192];

	for (size_t i = 0; i < sizeof(spoiled); i++)
		spoiled[i] = 0x5a;
	((volatile struct dispatch_entry *)flipped)->version = address_of(versions[storms & 1].word);
	*fallback = address_of(versions[storms >> 2 & 1].word);
	*selector = storms & 2 ? address_of(versions[storms & 1].word) : 0;
	storms++;
	in_dispatcher += rip - dispatcher[0] < arch->dispatcher_size;
	in_lookup += rip - dispatch.lookup < arch->lookup_size;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A signal comes in the middle of the code seldom, so the test goes on until it has. */
static void signals_in_the_middle(void **state)
{
	struct sigaction action = { .sa_sigaction = flip_all, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec every = { { 0, 30000 }, { 0, 30000 } };
	uint64_t pointer = thread_pointer();
	double start = seconds();
	unsigned int seen[2] = { 0, 0 };
	timer_t timer;

	need_rdfsbase();
	use_table(6);
	crowd(pointer, 2, OLD);
	flipped = put(pointer, NEW);
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	assert_int_equal(timer_settime(timer, 0, &every, NULL), 0);
	while (in_dispatcher < 20 || in_lookup < 50 || seconds() - start < 0.5) {
		for (int i = 0; i < 1000; i++) {
			run_once(pointer, -1);
			seen[reached[NEW] == 1]++;
		}
	}
	assert_int_equal(timer_delete(timer), 0);
	assert_true(seen[OLD] > 0 && seen[NEW] > 0);
}

/* A thread that calls all the time, but when asked to pause: then its entry is flipped, as stent does it. */
struct caller {
	pthread_t thread;
	struct dispatch_entry *entry;
	int expected, pause, paused, stop;	/* atomic */
	uint64_t pointer, calls, wrong;
};

static void *call_all_the_time(void *context)
{
	struct caller *caller = context;
	int (*function)(void) = (int (*)(void))(uintptr_t)dispatcher[1];

	__atomic_store_n(&caller->pointer, thread_pointer(), __ATOMIC_RELEASE);
	while (!__atomic_load_n(&caller->stop, __ATOMIC_ACQUIRE)) {
		bool pause = __atomic_load_n(&caller->pause, __ATOMIC_ACQUIRE);

		__atomic_store_n(&caller->paused, pause, __ATOMIC_RELEASE);
		if (pause || !caller->entry) {
			sched_yield();
			continue;
		}
		for (int i = 0; i < 100; i++)
			caller->wrong += function() != caller->expected;
		caller->calls += 100;
	}
	return NULL;
}

static void ask(struct caller *caller, int pause)
{
	__atomic_store_n(&caller->pause, pause, __ATOMIC_RELEASE);
	while (__atomic_load_n(&caller->paused, __ATOMIC_ACQUIRE) != pause)
		sched_yield();
}

static void threads_of_different_states_at_the_same_time(void **state)
{
	struct caller callers[3] = { { .pause = 1, .expected = OLD }, { .pause = 1, .expected = NEW }, { .pause = 1, .expected = OLD } };
	double end = seconds() + 1;
	unsigned int flips = 0;

	need_rdfsbase();
	use_table(6);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&callers[i].thread, NULL, call_all_the_time, &callers[i]), 0);
		ask(&callers[i], 1);
		callers[i].entry = put(callers[i].pointer, callers[i].expected);
	}
	for (int i = 0; i < 3; i++)
		ask(&callers[i], 0);
	for (; flips < 50 || seconds() < end; flips++) {
		struct caller *caller = &callers[flips % 3];

		ask(caller, 1);
		caller->expected = !caller->expected;
		__atomic_store_n(&caller->entry->version, address_of(versions[caller->expected].word), __ATOMIC_RELAXED);
		*fallback = address_of(versions[flips & 1].word);	/* nobody's affair */
		ask(caller, 0);
	}
	for (int i = 0; i < 3; i++) {
		__atomic_store_n(&callers[i].stop, 1, __ATOMIC_RELEASE);
		pthread_join(callers[i].thread, NULL);
		assert_int_equal(callers[i].wrong, 0);
		assert_true(callers[i].calls > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_selector_decides_for_all),
		cmocka_unit_test(threads_find_their_entry),
		cmocka_unit_test(probes_go_on_and_wrap_around),
		cmocka_unit_test(without_an_entry_the_fallback_decides),
		cmocka_unit_test(any_thread_pointer_is_safe),
		cmocka_unit_test(all_alignments_and_flags),
		cmocka_unit_test(the_red_zone_is_kept),
		cmocka_unit_test(vector_and_floating_point_state_is_not_touched),
		cmocka_unit_test(signals_in_the_middle),
		cmocka_unit_test(threads_of_different_states_at_the_same_time),
	};

	return cmocka_run_group_tests(tests, make_space, free_space);
}
