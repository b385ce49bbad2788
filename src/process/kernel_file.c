#include "process/kernel_file.h"

#include <fcntl.h>
#include <sys/vfs.h>
#include <unistd.h>

int kernel_file_open(const char *path, long magic)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	struct statfs system;

	if (descriptor >= 0 && (fstatfs(descriptor, &system) < 0 || system.f_type != magic)) {
		close(descriptor);
		descriptor = -1;
	}
	return descriptor;
}
