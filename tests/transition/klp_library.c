/* klp_library.c: for selftests.sh, a library that comes and goes. Its function is patched; WORK is its version. */
#include <stdio.h>
#include <stdlib.h>

int work(void);

int work(void)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", WORK);
	return atoi(text);
}
