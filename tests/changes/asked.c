/* refused: an object's size changed: .* tells valloc 0x48 bytes where it told it 0x40
 * unseen with gcc -O2 -static -s: nothing says which function is valloc()
 * As larger.c; of the function that is asked for the memory nothing but the name is known. */
#include "host.h"

struct record {
	long number, total;
	char name[48];
#if V > 1
	long calls;
#endif
};

static struct record *records[4];

static APART struct record *get(long n)
{
	struct record **at = &records[n & 3];

	if (!*at) {
		*at = valloc(sizeof(**at));
		(*at)->number = n;
		(*at)->total = 0;
		strcpy((*at)->name, "name");
	}
	return *at;
}

static long answer(long n)
{
	struct record *record = get(n);

	record->total += n;
	return record->total + (long)strlen(record->name);
}
