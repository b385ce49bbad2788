/*
 * thrown.c: the library of thrower.cc, in C, which is patched: fa, fb and helper as in contract.c. What fa waits in may throw
 * an exception through its frame (-fexceptions gives it unwind data for that, no landing pads).
 */
#ifndef FAMILY
#define FAMILY 1
#endif
#ifndef B
#define B FAMILY
#endif

#define PATCHED __attribute__((noinline, noclone))

void note(char what, int version);	/* of the program */
int fa(void (*inside)(int), int depth);
int fb(void);

#if FAMILY == 1
struct request {
	int mark, number;
};
#else
struct request {
	int mark;
	long more[4];
	int number;
};
#endif
#define MARK (0x5a5a0000 + FAMILY)

static PATCHED int helper(const struct request *request)
{
	if (request->mark != MARK) {
		note('M', FAMILY);
		return -1;
	}
	note('h', FAMILY);
#if FAMILY > 1
	for (int i = 0; i < 4; i++)
		if (request->more[i] != request->number)
			note('M', FAMILY);
#endif
	return request->number;
}

PATCHED int fa(void (*inside)(int), int depth)
{
	struct request request = { .mark = MARK, .number = depth };

#if FAMILY > 1
	for (int i = 0; i < 4; i++)
		request.more[i] = depth;
#endif
	note('a', FAMILY);
	inside(depth);
	return helper(&request);
}

PATCHED int fb(void)
{
	note('b', B);
	return B;
}
