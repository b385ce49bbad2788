/*
 * Memory of a process through /proc/PID/mem. The descriptor belongs to the address space, not to the
 * number: after an exec or exit every access fails, so nothing can be written to a stranger.
 *
 * What may interrupt a write: nothing of ours is half done inside one pwrite() unless it crosses
 * pages, and stent writes only to memory that no thread of the process executes or reads at that time,
 * or while all threads are stopped; live/transition.c orders these. The exceptions are aligned words.
 */
#include "process/process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

bool process_read(const struct process *process, uint64_t address, void *out, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t count = pread(process->memory, (char *)out + done, size - done, (off_t)(address + done));

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return false;
		done += (size_t)count;
	}
	return true;
}

bool process_read_pieces(pid_t tid, const struct iovec *pieces, size_t count, void *out, size_t size)
{
	const struct iovec local = { out, size };

	return process_vm_readv(tid, &local, 1, pieces, count, 0) == (ssize_t)size;
}

bool process_read_stopped(pid_t tid, uint64_t address, void *out, size_t size)
{
	const struct iovec piece = { (void *)address, size };

	return process_read_pieces(tid, &piece, 1, out, size);
}

bool process_write(const struct process *process, uint64_t address, const void *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t count = pwrite(process->memory, (const char *)data + done, size - done, (off_t)(address + done));

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return false;
		done += (size_t)count;
	}
	return true;
}

enum status process_put(const struct process *process, uint64_t address, const void *data, size_t size,
			struct error *error)
{
	uint8_t few[64], *copy = size > sizeof(few) ? memory_resize(NULL, size, 1) : few;
	enum status status = STATUS_OK;

	if (!process_write(process, address, data, size))
		status = fail(error, "process %d: can't write %zu bytes at %#lx: %s", process->pid, size, address,
			      strerror(errno));
	else if (!process_read(process, address, copy, size) || memcmp(copy, data, size) != 0)
		status = fail(error, "process %d: what was written at %#lx does not read back", process->pid, address);
	if (copy != few)
		free(copy);
	return status;
}
