/* refused: an object's size changed: .* tells malloc 0x30 bytes where it told it 0x28
 * unseen with gcc -O2 -static -s: nothing says which function is malloc()
 * A member comes to the end of a structure of which objects live in the process. Nothing else moves. */
#include "host.h"

struct record {
	long number, total;
	char name[24];
#if V > 1
	long calls;
#endif
};

static struct record *records[4];

/* The size is only handed on. */
static APART void *get_memory(size_t size)
{
	void *memory = malloc(size);

	if (!memory)
		abort();
	return memory;
}

static APART struct record *get(long n)
{
	struct record **at = &records[n & 3];

	if (!*at) {
		*at = get_memory(sizeof(**at));
		(*at)->number = n;
		(*at)->total = 0;
#if V > 1
		(*at)->calls = 0;
#endif
		strcpy((*at)->name, "name");
	}
	return *at;
}

static APART long add(struct record *record, long n)
{
	record->total += n;
#if V > 1
	record->total += ++record->calls;
#endif
	return record->total + (long)strlen(record->name);
}

static long answer(long n)
{
	return add(get(n), n);
}
