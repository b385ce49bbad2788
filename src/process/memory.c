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
		/* Nobody uses that memory any more: mem_rw() in fs/proc/base.c. */
		if (!count)
			errno = ESRCH;
		if (count <= 0)
			return false;
		done += (size_t)count;
	}
	return true;
}

#define TOGETHER_MAX 512u	/* pieces that are compared at once; at most IOV_MAX */

static bool hold_together(const struct process *process, const struct process_bytes *pieces, size_t count)
{
	struct iovec places[TOGETHER_MAX];
	size_t size = 0;
	uint8_t *bytes;
	bool hold;

	for (size_t i = 0; i < count; i++) {
		places[i] = (struct iovec){ (void *)pieces[i].address, pieces[i].size };
		size += pieces[i].size;
	}
	bytes = memory_resize(NULL, size, 1);
	hold = process_read_pieces(process->pid, places, count, bytes, size);
	for (size_t i = 0, at = 0; i < count && hold; at += pieces[i++].size)
		hold = !memcmp(bytes + at, pieces[i].bytes, pieces[i].size);
	free(bytes);
	return hold;
}

bool process_holds(const struct process *process, const struct process_bytes *pieces, size_t count)
{
	size_t some;

	for (; count; pieces += some, count -= some) {
		some = count < TOGETHER_MAX ? count : TOGETHER_MAX;
		if (!hold_together(process, pieces, some))
			return false;
	}
	return true;
}

/* By the descriptor, which reads what the process itself may not. */
static bool holds(const struct process *process, const struct process_bytes *piece)
{
	uint8_t few[64], *copy = piece->size > sizeof(few) ? memory_resize(NULL, piece->size, 1) : few;
	bool same = process_read(process, piece->address, copy, piece->size) && !memcmp(copy, piece->bytes, piece->size);

	if (copy != few)
		free(copy);
	return same;
}

static enum status read_back(const struct process *process, const struct process_bytes *pieces, size_t count, struct error *error)
{
	if (count > 1 && process_holds(process, pieces, count))
		return STATUS_OK;
	for (size_t i = 0; i < count; i++)
		if (!holds(process, &pieces[i]))
			return fail(error, "process %d: what was written at %#lx does not read back", process->pid, pieces[i].address);
	return STATUS_OK;
}

#define PUTS_MAX 64u	/* who puts more has them read back at once, which takes one call as well */

/* What was put and has not been read back. No two overlap. */
struct process_puts {
	bool off;
	ARRAY(struct process_bytes) pieces;	/* the bytes are owned */
};

static void forget(struct process_puts *puts)
{
	for (size_t i = 0; i < puts->pieces.count; i++)
		free((void *)puts->pieces.item[i].bytes);
	puts->pieces.count = 0;
}

static enum status read_back_puts(const struct process *process, struct error *error)
{
	struct process_puts *puts = process->puts;
	enum status status = read_back(process, puts->pieces.item, puts->pieces.count, error);

	forget(puts);
	return status;
}

static struct process_bytes *find_overlap(struct process_puts *puts, const struct process_bytes *piece)
{
	for (size_t i = 0; i < puts->pieces.count; i++)
		if (puts->pieces.item[i].address < piece->address + piece->size &&
		    piece->address < puts->pieces.item[i].address + puts->pieces.item[i].size)
			return &puts->pieces.item[i];
	return NULL;
}

/* Those that the piece hides in part, or takes the place of, are as they were until it is written. */
static enum status make_room(const struct process *process, const struct process_bytes *pieces, size_t count, struct error *error)
{
	bool hides = process->puts->pieces.count + count > PUTS_MAX;

	for (size_t i = 0; i < count && !hides; i++)
		hides = find_overlap(process->puts, &pieces[i]) != NULL;
	return hides ? read_back_puts(process, error) : STATUS_OK;
}

static void remember(struct process_puts *puts, const struct process_bytes *piece)
{
	*array_add(&puts->pieces) = (struct process_bytes){ piece->address, memory_copy(piece->bytes, piece->size), piece->size };
}

enum status process_put_all(const struct process *process, const struct process_bytes *pieces, size_t count, struct error *error)
{
	bool off = process->puts && process->puts->off && count <= PUTS_MAX;
	enum status status = off ? make_room(process, pieces, count, error) : STATUS_OK;

	for (size_t i = 0; i < count && status == STATUS_OK; i++) {
		if (!process_write(process, pieces[i].address, pieces[i].bytes, pieces[i].size))
			return fail(error, "process %d: can't write %zu bytes at %#lx: %s", process->pid, pieces[i].size, pieces[i].address,
				    strerror(errno));
		if (off)
			remember(process->puts, &pieces[i]);
	}
	return status == STATUS_OK && !off ? read_back(process, pieces, count, error) : status;
}

void process_put_off(const struct process *process)
{
	process->puts->off = true;
}

enum status process_put_done(const struct process *process, struct error *error)
{
	process->puts->off = false;
	return read_back_puts(process, error);
}

struct process_puts *process_puts_new(void)
{
	return memory_zeroed(1, sizeof(struct process_puts));
}

void process_puts_free(struct process_puts *puts)
{
	if (!puts)
		return;
	forget(puts);
	array_free(&puts->pieces);
	free(puts);
}

enum status process_put(const struct process *process, uint64_t address, const void *data, size_t size,
			struct error *error)
{
	return process_put_all(process, &(struct process_bytes){ address, data, size }, 1, error);
}
