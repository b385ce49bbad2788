/* refused: layout
 * A member is put into a structure of which objects live in the process. */
#include "host.h"

struct record {
	long number;
#if V > 1
	long inserted;
#endif
	long total;
	char name[16];
};

static struct record *records[4];

static APART long add(struct record *record, long n)
{
	record->total += n;
	return record->total + (long)strlen(record->name);
}

static APART struct record *get(long n)
{
	struct record **at = &records[n & 3];

	if (!*at) {
		*at = calloc(1, sizeof(**at));
		strcpy((*at)->name, "name");
		(*at)->number = n;
	}
	return *at;
}

static long answer(long n)
{
	return add(get(n), n);
}
