/* A switch that grew, and one whose table stays the same while its code changes. */
#include "host.h"

static APART long grown(long n)
{
	switch (n) {
	case 0: return 12;
	case 1: return random() & 0 ? 1 : 77;
	case 2: return strlen("two") + n;
	case 3: return atol("3333");
	case 4: return labs(-n) * 9;
	case 5: return 5 * n + 1;
	case 6: return abs(-66);
#if V > 1
	case 7: return atol("7777");
	case 8: return labs(-88);
	case 9: return strlen("nine") * 99;
#endif
	default: return -1;
	}
}

static APART long same_table(long n)
{
	switch (n) {
	case 0: return atol("10") + V;
	case 1: return labs(-20);
	case 2: return atol("30") * V;
	case 3: return strlen("forty");
	case 4: return abs(-50);
	case 5: return atol("60") - 1;
	default: return 0;
	}
}

static long answer(long n)
{
	return grown(n) * 1000 + same_table(n);
}
