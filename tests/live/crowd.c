/*
 * crowd.c: many processes of one program. Built twice, the second time with -DVERSION=2.
 *
 *	crowd COUNT	so many children, each of which calls version() five times a second and writes down what it says
 *
 * It answers each line of standard input with "OLD NEW", how many children each version has answered in since the line came, when
 * all of them have. End of input ends it and them.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION 1
#endif

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

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 1;
	atomic_int *said = mmap(NULL, (size_t)count * sizeof(*said), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char line[64];

	if (said == MAP_FAILED)
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
	while (fgets(line, sizeof(line), stdin)) {
		int versions[3] = { 0 };

		for (int i = 0; i < count; i++)
			said[i] = 0;
		for (int i = 0; i < count; i++) {
			while (!said[i] && waitpid(-1, NULL, WNOHANG) == 0)
				usleep(10000);
			versions[said[i] > 0 && said[i] < 3 ? said[i] : 0]++;
		}
		printf("%d %d\n", versions[1], versions[2]);
		fflush(stdout);
	}
	return 0;
}
