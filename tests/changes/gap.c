/* refused: a structure has a new member: new code loads and stores 4 bytes at displacement 0x1f4
 * A member comes into a gap at the end of a structure of which objects live in the process: neither its size nor another member's place changes. */
#include "host.h"

struct record {
	long number, total;
	char name[480];
	int limit;
#if V > 1
	int calls;
#endif
};

static struct record *records[4];

static APART struct record *get(long n)
{
	struct record **at = &records[n & 3];

	if (!*at) {
		*at = calloc(1, sizeof(**at));
		strcpy((*at)->name, "name");
		(*at)->number = n;
		(*at)->limit = 1000;
	}
	return *at;
}

#if V > 1
static APART int count(struct record *record)
{
	return ++record->calls;
}
#endif

static APART long add(struct record *record, long n)
{
	if (record->total < record->limit)
		record->total += n;
#if V > 1
	record->total += count(record);
#endif
	return record->total + (long)strlen(record->name);
}

static long answer(long n)
{
	return add(get(n), n);
}
