/*
 * torture.c: 16 threads call a chain of four functions, whose protocol differs from version to version, as long as standard
 * input is open. Each function checks that it was called by its own version, and each caller that its own version answered.
 *
 * The check rests on no luck: caller and callee pass the version in a structure that is the first argument, in its first word,
 * in all versions; only when that is right is the rest looked at, which lies elsewhere in each. An answer has the version in
 * its lowest bits, whatever its type. Everything is compared twice: when a function is entered, and when it goes on
 * after it has called, slept or spun.
 *
 * "calls" is answered with "CALLS MIXED ERRORS VERSION1 VERSION2 VERSION3"; ERRORS: values that were not what they should
 * be though the versions were; VERSIONn: calls by which the chain was entered.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION 1
#endif

#define THREADS 16

/* Not noipa: callers keep values in registers that they know the callee not to write (-fipa-ra). */
#define PATCHED static __attribute__((noinline, noclone))
#define KEPT static __attribute__((noinline, noclone, noipa))

enum nature {
	PATIENT,
	MORTAL,	/* ends soon, and is followed by another, which may get its stack and its thread pointer */
	HASTY,	/* the same, and it rests only at its end: much of its time is spent between entry and function */
	FLEETING,	/* does not rest at all: the kernel's list of threads ends where one of them ends just then */
};

static atomic_bool calm;
static _Thread_local bool hasty;
static atomic_long calls, mixed, errors, entered[4];

/* --- the protocol --- */

/* The structure has grown, with its members in another order; the arguments behind it change places, and become more. */
#if VERSION == 1
struct message {
	unsigned int version;
	int number;
	long square;
};
#define PARAMETERS int number, long square, const char *name
#define ARGUMENTS(number, square, name) number, square, name
#define FILLER_HOLDS(message) 1
#define FILL(message)
#elif VERSION == 2
struct message {
	unsigned int version;
	long filler[3], square;
	int number;
};
#define PARAMETERS const char *name, long square, int number
#define ARGUMENTS(number, square, name) name, square, number
#define FILLER_HOLDS(message) ((message)->filler[0] == number && (message)->filler[2] == square)
#define FILL(message) ((message)->filler[0] = number, (message)->filler[2] = square)
#else
struct message {
	unsigned int version;
	char letters[40];
	int number;
	long filler[9], square;
};
#define PARAMETERS long square, const char *name, int number, int negative
#define ARGUMENTS(number, square, name) square, name, number, -(number)
#define FILLER_HOLDS(message) ((message)->filler[8] == square && (message)->letters[39] == *name && negative == -number)
#define FILL(message) ((message)->filler[8] = square, (message)->letters[39] = *name)
#endif

/* Widened: a short one, an int, a long. */
#if VERSION == 1
typedef short answer;
#elif VERSION == 2
typedef int answer;
#else
typedef long answer;
#endif
#define ANSWER_MARK ((long)0x5a5a5a5a << (sizeof(answer) * 4))
/* As many bits of the number as the type has room for, and the version below. */
#define ANSWER(number) ((answer)((((long)(number) & 0xff) << 2) + VERSION + (sizeof(answer) > 2 ? ANSWER_MARK & ~0x3ffl : 0)))

static const char texts[16][8] = { "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
				   "twelve", "hundred", "score", "dozen" };

/* --- what stays --- */

KEPT void count(_Atomic long *what)
{
	(*what)++;
}

/* Most threads are asleep most of the time, inside of the chain or, when calm, outside; the others spin a little. */
KEPT void pass_time(unsigned int seed, bool inside)
{
	const struct timespec nap = { 0, 20000 + seed % 7 * 150000 };

	if (inside == calm || hasty)
		return;
	if (seed % 5)
		nanosleep(&nap, NULL);
	else
		for (volatile unsigned int i = 0; i < seed % 1000; i++)
			;
}

/* --- the chain --- */

/* The caller is of this version, and has passed what it should: used where it is entered, and again before it returns. */
#define CHECK_CALLER()										\
	do {											\
		if (message->version != VERSION) {						\
			mixed++;								\
			return 0;								\
		}										\
		if (message->number != number || message->square != square || square != (long)number * number ||	\
		    name != texts[number & 15] || !FILLER_HOLDS(message))			\
			errors++;								\
	} while (0)

static void fill(struct message *message, int number)
{
	const char *name = texts[number & 15];
	long square = (long)number * number;

	memset(message, 0, sizeof(*message));
	message->version = VERSION;
	message->number = number;
	message->square = square;
	FILL(message);
	(void)name;
}

/* The answer is of this version, and says what it should. */
static void check_answer(answer answered, int number)
{
	if ((answered & 3) != VERSION)
		mixed++;
	else if (answered != ANSWER(number))
		errors++;
}

#define CALL(callee, message, number) callee(message, ARGUMENTS(number, (message)->square, texts[(number) & 15]))

/* It calls nobody and writes few registers: its callers keep values in the others. */
PATCHED answer last(const struct message *message, PARAMETERS)
{
	CHECK_CALLER();
	return ANSWER(number + 4);
}

PATCHED answer third(const struct message *message, PARAMETERS)
{
	struct message own;

	CHECK_CALLER();
	fill(&own, number + 1);
	check_answer(CALL(last, &own, number + 1), number + 5);
	pass_time((unsigned int)number, true);
	check_answer(CALL(last, &own, number + 1), number + 5);
	CHECK_CALLER();
	return ANSWER(number + 3);
}

PATCHED answer second(const struct message *message, PARAMETERS)
{
	struct message own;

	CHECK_CALLER();
	fill(&own, number - 1);
	check_answer(CALL(third, &own, number - 1), number + 2);
	if (number % 3 == 0)
		pass_time((unsigned int)number / 3, true);
	check_answer(CALL(third, &own, number - 1), number + 2);
	CHECK_CALLER();
	return ANSWER(number + 2);
}

/* From outside it is the same in all versions. */
PATCHED int first(int number)
{
	struct message own;

	fill(&own, number);
	check_answer(CALL(second, &own, number), number + 2);
	return VERSION;
}

static void begin(enum nature nature);

static void *work(void *argument)
{
	enum nature nature = (enum nature)(long)argument;
	int number = 3, life = nature == HASTY ? 2000 : 100;

	hasty = nature >= HASTY;
	for (int i = 0; nature == PATIENT || i < life; i += nature != PATIENT) {
		number = (number * 7 + 3) % 30000;
		count(&entered[first(number)]);
		count(&calls);
		pass_time((unsigned int)number / 4, false);
	}
	hasty = false;
	if (nature != FLEETING)
		pass_time((unsigned int)number, !calm);
	begin(nature);
	return NULL;
}

/* (Detached from the beginning: pthread_detach() of one that has ended already sometimes fails, or worse.) */
static void begin(enum nature nature)
{
	pthread_attr_t detached;
	pthread_t thread;
	int failed;

	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	failed = pthread_create(&thread, &detached, work, (void *)(long)nature);
	if (failed) {
		fprintf(stderr, "no thread can be made: %s\n", strerror(failed));
		abort();
	}
}

int main(void)
{
	char line[16];

	prctl(PR_SET_TIMERSLACK, 1000);
	for (int i = 0; i < THREADS; i++)
		begin(i % 8 == 0 ? HASTY : i % 8 == 4 ? MORTAL : i % 2 ? FLEETING : PATIENT);
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (line[0] == 'c' || line[0] == 'b')
			calm = line[0] == 'c';
		printf("%ld %ld %ld %ld %ld %ld\n", calls, mixed, errors, entered[1], entered[2], entered[3]);
		fflush(stdout);
	}
	return 0;
}
