/*
 * crowd.c: many processes of one program. Built several times, with -DVERSION=1 to 3.
 *
 *	crowd COUNT [ROOT]	so many children, each of which calls version() five times a second and writes down what it says;
 *				with ROOT they and their parent go there with chroot(2) once they are running
 *
 * It answers each line of standard input with how many children versions 1, 2 and 3 have answered in since the line came, when
 * all of them have. End of input ends it and them.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION 1
#endif

#define VERSIONS 3
#define PATCHED __attribute__((noinline, noclone, noipa))

int version(int number);

/* By a call of the C library, so that it is more than a constant. */
PATCHED int version(int number)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", number * VERSION);
	return atoi(text);
}

static _Noreturn void live(atomic_int *said)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (1) {
		*said = version(1);
		usleep(200000);
	}
}

static void answer(atomic_int *said, int count)
{
	int versions[VERSIONS + 1] = { 0 };

	for (int i = 0; i < count; i++)
		said[i] = 0;
	for (int i = 0; i < count; i++) {
		while (!said[i])
			usleep(10000);
		versions[said[i] > 0 && said[i] <= VERSIONS ? said[i] : 0]++;
	}
	printf("%d %d %d\n", versions[1], versions[2], versions[3]);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 1;
	atomic_int *said = mmap(NULL, (size_t)count * sizeof(*said), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char line[64];

	if (said == MAP_FAILED || (argc > 2 && (chroot(argv[2]) < 0 || chdir("/") < 0)))
		return 1;
	for (int i = 0; i < count; i++) {
		pid_t child = fork();

		if (child == 0)
			live(&said[i]);
		if (child < 0)
			return 1;
	}
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		answer(said, count);
	return 0;
}
