/* What only looks like sizes that allocators are told: lines of the source, behind a file's name or a size. */
#include "host.h"

static APART void *debug_alloc(const char *file, int line, size_t size)
{
	void *memory = line > 0 && *file ? malloc(size) : NULL;

	if (!memory)
		abort();
	return memory;
}

static APART void *sized_alloc(size_t size, int line)
{
	return debug_alloc("told.c", line, size);
}

#if V > 1
static APART long more(long n)
{
	return n * 5 + 1;
}

#endif

static APART long first(long n)
{
	long *number = debug_alloc("told.c", __LINE__, sizeof(*number)), result;

	*number = n;
#if V > 1
	result = more(*number);
#else
	result = *number * 3;
#endif
	free(number);
	return result;
}

static APART long second(long n)
{
	long *number = sized_alloc(sizeof(*number), __LINE__), result;

	*number = n;
#if V > 1
	result = more(*number) - 1;
#else
	result = *number * 4;
#endif
	free(number);
	return result;
}

static long answer(long n)
{
	return first(n) + second(n);
}
