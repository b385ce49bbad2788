/* Where a patch may lie: in reach of the whole image, and in nobody's way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "live/place.h"

#undef fail	/* cmocka has one of its own */
#include <cmocka.h>

#define REACH ((2ul << 30) - 65536)

static void load(struct maps *maps, const char *text)
{
	*maps = (struct maps){ 0 };
	assert_true(maps_parse(text_copy(text), maps));
}

static uint64_t distance(uint64_t one, uint64_t other)
{
	return one < other ? other - one : one - other;
}

/* What must hold of every answer. */
static void check(const struct maps *maps, const struct place_request *request, uint64_t at)
{
	uint64_t end = at + request->size;

	assert_int_equal(at % 4096, 0);
	assert_true(at >= request->lowest && end <= request->limit && end > at);
	assert_true(distance(at, request->image.end) <= request->reach && distance(end, request->image.start) <= request->reach);
	assert_true(distance(at, request->image.start) <= request->reach && distance(end, request->image.end) <= request->reach);
	for (size_t i = 0; i < maps->count; i++)
		assert_true(end <= maps->item[i].range.start || at >= maps->item[i].range.end);
}

static const char pie[] = "555555554000-555555600000 r-xp 00000000 fe:01 1 /bin/server\n"
			  "555555700000-555555800000 rw-p 00000000 00:00 0 [heap]\n"
			  "7ffff7000000-7ffff7200000 r-xp 00000000 fe:01 2 /lib/libc.so\n"
			  "7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0 [stack]\n";

static void test_below_the_program(void **state)
{
	struct place_request request = { { 0x555555554000, 0x555555600000 }, REACH, 1ul << 47, 65536, 0x40000, NULL };
	struct maps maps;
	uint64_t at;

	(void)state;
	load(&maps, pie);
	assert_true(place_find(&maps, &request, &at));
	check(&maps, &request, at);
	assert_true(at < request.image.start);	/* not into the way of the heap */
	maps_free(&maps);
}

static void test_library(void **state)
{
	struct place_request request = { { 0x7ffff7000000, 0x7ffff7200000 }, REACH, 1ul << 47, 65536, 0x40000, NULL };
	struct maps maps;
	uint64_t at;

	(void)state;
	load(&maps, pie);
	assert_true(place_find(&maps, &request, &at));
	check(&maps, &request, at);
	assert_true(at < 0x7ffff7000000);	/* the stack grows towards the other side */
	maps_free(&maps);
}

static void test_low_addresses_only(void **state)
{
	struct place_request request = { { 0x400000, 0x500000 }, REACH, 1ul << 31, 65536, 0x40000, NULL };
	struct maps maps;
	uint64_t at;

	(void)state;
	load(&maps, "400000-500000 r-xp 00000000 fe:01 1 /bin/static\n10000000-10100000 rw-p 00000000 00:00 0 [heap]\n");
	assert_true(place_find(&maps, &request, &at));
	check(&maps, &request, at);
	request.size = 32ul << 20;	/* larger than what is below the program */
	assert_true(place_find(&maps, &request, &at));
	check(&maps, &request, at);
	request.size = 512ul << 20;	/* only above the heap, and not next to it */
	assert_true(place_find(&maps, &request, &at));
	check(&maps, &request, at);
	assert_true(at > 0x10100000 + (256ul << 20));
	request.size = 2ul << 30;
	assert_false(place_find(&maps, &request, &at));
	maps_free(&maps);
}

static void test_crowded(void **state)
{
	struct place_request request = { { 0x555555554000, 0x555555600000 }, REACH, 1ul << 47, 65536, 0x40000, NULL };
	struct maps maps;
	uint64_t at;

	(void)state;
	load(&maps, "5554c0000000-555555554000 ---p 00000000 00:00 0\n555555554000-555555600000 r-xp 00000000 fe:01 1 /bin/a\n"
		    "555555600000-5555d6000000 ---p 00000000 00:00 0\n");
	assert_false(place_find(&maps, &request, &at));
	maps_free(&maps);
	load(&maps, "5554c0000000-555555554000 ---p 00000000 00:00 0\n555555554000-555555600000 r-xp 00000000 fe:01 1 /bin/a\n"
		    "555555600000-5555a0000000 ---p 00000000 00:00 0\n5555a0100000-5555d6000000 ---p 00000000 00:00 0\n");
	assert_true(place_find(&maps, &request, &at));
	check(&maps, &request, at);
	maps_free(&maps);
}

/* Many random address spaces: what is found is right. */
static void test_random(void **state)
{
	unsigned int found = 0;

	(void)state;
	srandom(1);
	for (unsigned int round = 0; round < 2000; round++) {
		struct maps maps = { 0 };
		uint64_t at = 0x10000, size = ((uint64_t)random() % 1000 + 1) * 4096;
		struct place_request request = { .reach = REACH, .limit = 1ul << 47, .lowest = 65536, .size = size };
		unsigned int count = (unsigned int)random() % 30 + 1, image = (unsigned int)random() % count;

		for (unsigned int i = 0; i < count; i++) {
			at += ((uint64_t)random() % 300000) * 4096;

			uint64_t end = at + ((uint64_t)random() % 100000 + 1) * 4096;

			*array_add(&maps) = (struct mapping){ .range = { at, end }, .name = "" };
			if (i == image)
				request.image = (struct range){ at, end };
			at = end;
		}
		if (place_find(&maps, &request, &at)) {
			check(&maps, &request, at);
			found++;
		}
		maps_free(&maps);
	}
	assert_in_range(found, 1000, 2000);
}

static bool overlaps(const struct place_avoid *avoid, uint64_t at, uint64_t size)
{
	for (size_t i = 0; i < avoid->count; i++)
		if (avoid->item[i].start < at + size && avoid->item[i].end > at)
			return true;
	return false;
}

/* What leads somewhere already is gone round, on both sides of the image, and not at any price. */
static void test_avoided(void **state)
{
	struct range pages[64], all = { 0, 1ul << 47 };
	struct place_avoid avoid = { .item = pages };
	struct place_request requests[] = {
		{ { 0x555555554000, 0x555555600000 }, REACH, 1ul << 47, 65536, 0x40000, &avoid },	/* downwards */
		{ { 0x7ffff7000000, 0x7ffff7200000 }, REACH, 1ul << 47, 65536, 0x40000, &avoid },	/* upwards */
	};
	struct maps maps;
	uint64_t at, plain;

	(void)state;
	load(&maps, pie);
	for (size_t i = 0; i < 2; i++) {
		avoid = (struct place_avoid){ .item = pages };
		assert_true(place_find(&maps, &requests[i], &plain));
		/* One page in each place that is tried next, sorted. */
		for (size_t j = 0; j < 64; j++) {
			uint64_t page = i ? plain + j * 0x20000 : plain + 0x3f000 - (63 - j) * 0x20000;

			pages[j] = (struct range){ page, page + 4096 };
		}
		avoid.count = 64;
		assert_true(place_find(&maps, &requests[i], &at));
		check(&maps, &requests[i], at);
		assert_false(overlaps(&avoid, at, requests[i].size));
		assert_true(distance(at, plain) < 65 * 0x20000);
		avoid = (struct place_avoid){ .item = &all, .count = 1 };
		assert_true(place_find(&maps, &requests[i], &at));
		assert_true(at == plain);
	}
	maps_free(&maps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_below_the_program),
		cmocka_unit_test(test_library),
		cmocka_unit_test(test_avoided),
		cmocka_unit_test(test_low_addresses_only),
		cmocka_unit_test(test_crowded),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("place", tests, NULL, NULL);
}
