/* A finder answers for its own program counters as the C library's _dl_find_object() does, and passes all others on. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "arch/arch.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

#define PAGE 4096ul
#define NEXT_AT 1024
#define START UINT64_C(0x7f1234567000)
#define END UINT64_C(0x7f1234569000)
#define INDEX UINT64_C(0x7f1234561040)

typedef int find(void *pc, struct dl_find_object *result);

static void *asked;
static struct dl_find_object *passed;

static int next(void *pc, struct dl_find_object *result)
{
	asked = pc;
	passed = result;
	return -1;
}

static find *make(void)
{
	const struct finder answers = { { START, END }, INDEX, 0 };
	struct finder finder = answers;
	uint8_t *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	find *target = next, *made;

	assert_ptr_not_equal(page, MAP_FAILED);
	memset(page, 0xcc, PAGE);
	finder.next = (uint64_t)(page + NEXT_AT);
	assert_true(arch_x86_64.write_finder(page, (uint64_t)page, &finder));
	assert_int_equal(page[arch_x86_64.finder_size], 0xcc);
	memcpy(page + NEXT_AT, &target, sizeof(target));
	memcpy(&made, &page, sizeof(made));
	return made;
}

static void check_own(find *finder, uint64_t pc)
{
	struct dl_find_object result;

	memset(&result, 0x5a, sizeof(result));
	passed = NULL;
	assert_int_equal(finder((void *)pc, &result), 0);
	assert_null(passed);
	assert_int_equal(result.dlfo_flags, 0);
	assert_int_equal((uint64_t)result.dlfo_map_start, START);
	assert_int_equal((uint64_t)result.dlfo_map_end, END);
	assert_int_equal((uint64_t)result.dlfo_eh_frame, INDEX);
	assert_null(result.dlfo_link_map);
}

static void check_other(find *finder, uint64_t pc)
{
	struct dl_find_object result;

	passed = NULL;
	assert_int_equal(finder((void *)pc, &result), -1);
	assert_ptr_equal(passed, &result);
	assert_ptr_equal(asked, (void *)pc);
}

static void test_bounds(void **state)
{
	find *finder = make();

	check_own(finder, START);
	check_own(finder, START + 1);
	check_own(finder, END - 1);
	check_other(finder, START - 1);
	check_other(finder, END);
	check_other(finder, 0);
	check_other(finder, UINT64_MAX);
}

static void test_out_of_reach(void **state)
{
	const struct finder finder = { { START, END }, INDEX, UINT64_C(1) << 40 };
	uint8_t bytes[256] = { 0 }, none[256] = { 0 };

	assert_false(arch_x86_64.write_finder(bytes, 0x1000, &finder));
	assert_memory_equal(bytes, none, sizeof(bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_out_of_reach),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
