/*
 * A program that forges ledgers keeps no stent busy: as many as it can map, and entries that lead in a circle, with which
 * the bytes below one are those of the other.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live/survey.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

#define PAGE 4096u
#define BASE UINT64_C(0x100000000000)
#define APART (UINT64_C(16) << 20)
#define MANY 600
#define FUNCTIONS 12000	/* of a ledger with a circle */
#define JUMP 5
#define MEMORY (UINT64_C(64) << 20)	/* that may be used for them */

extern const uint8_t etext[];	/* the end of this program's code */

static uint64_t site_of(size_t function)
{
	return (uint64_t)etext - 8 * (FUNCTIONS + 1) + 8 * function;
}

static void add_function(struct ledger *ledger, size_t index, bool circle)
{
	struct ledger_function *function = array_add(&ledger->functions);
	uint8_t here[JUMP], other[JUMP];

	memcpy(here, (const void *)site_of(index), JUMP);
	for (size_t i = 0; i < JUMP; i++)
		other[i] = (uint8_t)~here[i];
	*function = (struct ledger_function){ .name = text_copy("f"), .redirected = true, .site = site_of(index), .size = JUMP,
					      .span = JUMP };
	memcpy(function->original, circle ? here : other, JUMP);
	memcpy(function->settled, circle ? other : here, JUMP);
	memcpy(function->jump, function->settled, JUMP);
}

static void add_part(struct ledger *ledger, uint64_t *at, uint64_t size, uint32_t flags)
{
	*array_add(&ledger->parts) = (struct ledger_part){ { *at, *at + size }, flags };
	*at += size;
}

static void lay_out(struct ledger *ledger, uint64_t base, uint64_t size)
{
	uint64_t at = base + PAGE, tables = ledger->functions.count * 8;

	ledger->parts.count = 0;
	add_part(ledger, &at, size, SEGMENT_READ);
	ledger->images.item[0].code = (struct range){ at, at + PAGE };
	add_part(ledger, &at, PAGE, SEGMENT_READ | SEGMENT_EXECUTE);
	ledger->dispatch = (struct dispatch){ .selector = at, .fallback = at + 8, .table = at + 16, .table_bits = DISPATCH_BITS_MIN };
	ledger->old_table = at + 16 + (sizeof(struct dispatch_entry) << DISPATCH_BITS_MIN);
	ledger->new_table = ledger->old_table + tables;
	add_part(ledger, &at, (ledger->new_table + tables - at + PAGE - 1) / PAGE * PAGE, SEGMENT_READ);
	ledger->scratch = at;
	add_part(ledger, &at, LEDGER_SCRATCH, SEGMENT_READ | SEGMENT_WRITE);
	ledger->images.item[0].region = (struct range){ base, at };
}

static bool map(struct range range, uint32_t flags)
{
	int protection = (flags & SEGMENT_READ ? PROT_READ : 0) | (flags & SEGMENT_WRITE ? PROT_WRITE : 0) |
			 (flags & SEGMENT_EXECUTE ? PROT_EXEC : 0);

	return mmap((void *)range.start, range.end - range.start, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
	       MAP_FAILED;
}

/* One that is as it should be, but for what it says. */
static bool forge(size_t number, size_t functions, bool circle)
{
	struct ledger ledger = { .state = LEDGER_ACTIVE, .name = text_copy("forged"), .description = text_copy(""),
				 .tool = text_copy(""), .nonce = number, .machine = 62 };
	bool done = true;
	uint8_t *bytes;
	size_t size;

	*array_add(&ledger.images) = (struct ledger_image){ .name = text_copy(""), .old_version = text_copy(""),
							    .new_version = text_copy("") };
	for (size_t i = 0; i < functions; i++)
		add_function(&ledger, i, circle);
	lay_out(&ledger, BASE + number * APART, PAGE);
	free(ledger_encode(&ledger, &size));
	lay_out(&ledger, BASE + number * APART, size);
	bytes = ledger_encode(&ledger, &size);
	done &= map(ledger.images.item[0].region, 0);
	for (size_t i = 0; i < ledger.parts.count; i++)
		done &= map(ledger.parts.item[i].range, ledger.parts.item[i].flags | (i ? 0 : SEGMENT_WRITE));
	memcpy((void *)ledger_address(&ledger), bytes, size);
	mprotect((void *)ledger_address(&ledger), size, PROT_READ);
	free(bytes);
	ledger_free(&ledger);
	return done;
}

static pid_t start_forger(size_t ledgers)
{
	int ends[2];
	pid_t child;
	char byte;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (!child) {
		bool done = true;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (size_t i = 0; i < ledgers; i++)
			done &= forge(i, i < 2 ? FUNCTIONS : 1, i == 1);
		if (done && write(ends[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	assert_true(child > 0);
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	close(ends[0]);
	return child;
}

/* From here on, memory_resize() of more than that ends the test. */
static void limit_memory(void)
{
	struct rlimit limit = { 0 };
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lu", &pages), 1);
	fclose(file);
	limit.rlim_cur = limit.rlim_max = pages * PAGE + MEMORY;
	setrlimit(RLIMIT_AS, &limit);
}

static void look(size_t ledgers, size_t *read, size_t *damaged)
{
	pid_t forger = start_forger(ledgers);
	struct error error = { 0 };
	struct process process;
	struct survey survey;

	assert_int_equal(process_open(forger, PROCESS_LOOK, &process, &error), STATUS_OK);
	assert_int_equal(survey_read(&process, &survey, &error), STATUS_OK);
	survey_unwind(&survey);
	*read = survey.ledgers.count;
	*damaged = survey.damaged;
	if (survey.damaged)
		assert_string_equal(survey.ledgers.why, "there are more than any patches need");
	survey_free(&survey);
	process_close(&process);
	kill(forger, SIGKILL);
	assert_int_equal(waitpid(forger, NULL, 0), forger);
}

/* Each is read, and the circle ends. */
static void test_circle(void **state)
{
	size_t read, damaged;

	look(250, &read, &damaged);
	assert_int_equal(read, 250);
	assert_int_equal(damaged, 0);
}

static void test_too_many(void **state)
{
	size_t read, damaged;

	look(MANY, &read, &damaged);
	assert_int_equal(read, LEDGERS_MAX);
	assert_int_equal(damaged, MANY - LEDGERS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_circle), cmocka_unit_test(test_too_many) };

	alarm(60);
	limit_memory();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
