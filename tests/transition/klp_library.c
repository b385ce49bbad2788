/* klp_library.c: for selftests.sh, a library that comes and goes. Its functions are patched; WORK is their version. */
#include <stdio.h>
#include <stdlib.h>

int work(void);
int linger(void (*wait)(void));

int work(void)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", WORK);
	return atoi(text);
}

int linger(void (*wait)(void))
{
	wait();
	return WORK;
}
