/* refused: an object's size changed: .* tells memset.* 0x[12][0f]8 bytes where it told it 0x[12][0f]0
 * An object that others have made, and to which a member comes at its end, is filled with zeros. */
#include "host.h"

struct record {
	long number, total;
	char name[496];
#if V > 1
	long calls;
#endif
};

static char arena[2][1024];
static volatile long which;

static APART long begin(struct record *record, long n)
{
	memset(record, 0, sizeof(*record));
	record->number = n;
	record->total = n * 3;
	return record->number + record->total;
}

static long answer(long n)
{
	return begin((struct record *)arena[which], n);
}
