/*
 * failing.c: preloaded into stent, makes its write number FAILING to the memory of another process fail, and says so.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset)
{
	static long writes;

	if (++writes == atol(getenv("FAILING"))) {
		dprintf(STDERR_FILENO, "write %ld fails\n", writes);
		errno = EIO;
		return -1;
	}
	return syscall(SYS_pwrite64, descriptor, data, size, offset);
}
