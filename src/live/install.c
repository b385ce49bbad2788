/*
 * One thread of the target makes the mappings, in one stop (process/remote.c); the others run. What may happen:
 * - stent is killed before the ledger is written: inaccessible or empty memory without a name stays mapped. Nothing leads there.
 * - killed later: the ledger says PREPARED, and the next stent unmaps the region.
 * - the program maps something at the chosen place first: MAP_FIXED_NOREPLACE fails, and nothing was changed.
 * - the program unmaps the region or parts of it (it would have to guess the address): the writes fail or the read-back at
 *   the switch does, and the patch is refused.
 *
 * It goes in this order, of a ledger that says PREPARED. The pieces are the regions of further images, and the pages of finders:
 *
 *	mark each piece		the ledger's random number at the start of its code, which nobody will run any more. Killed: all is there
 *				still, and is marked again
 *	ledger: removing	from here on a piece counts only if it has its mark
 *	unmap each piece	killed: the next stent finds the ledger, and unmaps those that are left. What the program has mapped meanwhile in the
 *				place of one has no mark
 *	unmap the first region	the ledger's: killed before it, the ledger is there, and behind it nothing is. One munmap takes it as a whole
 */
#include "live/install.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "live/headroom.h"
#include "process/remote.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

static uint64_t protection(uint32_t flags)
{
	return (flags & SEGMENT_READ ? PROT_READ : 0u) | (flags & SEGMENT_WRITE ? PROT_WRITE : 0u) |
	       (flags & SEGMENT_EXECUTE ? PROT_EXEC : 0u);
}

/* mmap in the target, at exactly this place. */
static enum status map(struct remote *remote, struct range range, uint64_t protect, uint64_t flags, struct error *error)
{
	const uint64_t arguments[6] = { range.start, range.end - range.start, protect,
					MAP_PRIVATE | MAP_ANONYMOUS | flags, UINT64_MAX, 0 };
	const struct process *process = remote->process;
	int64_t result;
	enum status status = remote_call(remote, SYS_mmap, arguments, &result, error);

	if (status != STATUS_OK)
		return status;
	if ((uint64_t)result == range.start)
		return STATUS_OK;
	if (result == -EEXIST)
		return STATUS_NOTHING;
	if (result < 0 && result > -4096)
		return refuse(error, "process %d (%s) can't map %lu KiB%s: %s", process->pid, process->comm,
			      arguments[1] / 1024, protect & PROT_EXEC ? " of code" : "", strerror((int)-result));

	/* A kernel before 4.17 takes the address for a hint, and has found another one. */
	const uint64_t undo[6] = { (uint64_t)result, arguments[1] };

	status = remote_call(remote, SYS_munmap, undo, &result, error);
	return status == STATUS_OK ? STATUS_NOTHING : status;
}

static enum status unmap(struct remote *remote, struct range range, struct error *error)
{
	const uint64_t arguments[6] = { range.start, range.end - range.start };
	int64_t result = 0;
	enum status status = remote_call(remote, SYS_munmap, arguments, &result, error);

	if (status == STATUS_OK && !result)
		return STATUS_OK;
	return fail(error, "process %d (%s): unused memory of stent at %#lx-%#lx was left behind", remote->process->pid,
		    remote->process->comm, range.start, range.end);
}

/* The first so many. False: one stays. */
static bool unmap_regions(struct remote *remote, const struct ledger *ledger, size_t count, struct error *error)
{
	bool all = true;

	for (size_t i = 0; i < count; i++)
		all &= unmap(remote, ledger->images.item[i].region, error) == STATUS_OK;
	return all;
}

/* What a patch has mapped besides the region that its ledger is in. */
struct piece {
	struct range range;
	uint64_t mark;		/* address of the word that is its mark when it is about to go */
};

static size_t count_pieces(const struct ledger *ledger)
{
	return ledger->images.count - 1 + ledger->finders.count;
}

static struct piece get_piece(const struct ledger *ledger, size_t index)
{
	const struct ledger_finder *finder;

	if (index < ledger->images.count - 1)
		return (struct piece){ ledger->images.item[index + 1].region, ledger->images.item[index + 1].code.start };
	finder = &ledger->finders.item[index - (ledger->images.count - 1)];
	return (struct piece){ finder->code, finder->code.start };
}

static enum status mark_pieces(const struct process *process, struct ledger *ledger, struct error *error)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < count_pieces(ledger) && status == STATUS_OK; i++)
		status = process_put(process, get_piece(ledger, i).mark, &ledger->nonce, sizeof(ledger->nonce), error);
	if (status != STATUS_OK)
		return status;
	ledger->removing = true;
	return ledger_store_flags(process, ledger, error);
}

static bool is_marked(const struct process *process, const struct ledger *ledger, const struct piece *piece)
{
	uint64_t mark;

	return process_read(process, piece->mark, &mark, sizeof(mark)) && mark == ledger->nonce;
}

enum status install_unmap(struct remote *remote, struct ledger *ledger, struct error *error)
{
	enum status status = ledger->removing ? STATUS_OK : mark_pieces(remote->process, ledger, error);

	for (size_t i = 0; i < count_pieces(ledger) && status == STATUS_OK; i++) {
		const struct piece piece = get_piece(ledger, i);

		if (is_marked(remote->process, ledger, &piece))
			status = unmap(remote, piece.range, error);
	}
	return status == STATUS_OK ? unmap(remote, ledger->images.item[0].region, error) : status;
}

/*
 * First the whole of each region, inaccessible, so that it can't be split by others; then each part with its final protection:
 * under MDWE (PR_SET_MDWE, systemd's MemoryDenyWriteExecute) nothing can become executable later.
 */
static enum status map_regions(struct remote *remote, const struct link *link, struct error *error)
{
	const struct ledger *ledger = &link->ledger;
	enum status status = STATUS_OK;
	bool left = false;
	size_t regions = 0, pages = 0;

	for (; regions < ledger->images.count && status == STATUS_OK; regions += status == STATUS_OK)
		status = map(remote, ledger->images.item[regions].region, PROT_NONE, MAP_FIXED_NOREPLACE | MAP_NORESERVE, error);
	if (status == STATUS_NOTHING)
		return unmap_regions(remote, ledger, regions, error) ? STATUS_NOTHING : STATUS_ERROR;
	for (size_t i = 0; i < link->parts.count && status == STATUS_OK; i++)
		status = map(remote, link->parts.item[i].range, protection(link->parts.item[i].flags), MAP_FIXED, error);
	if (status == STATUS_NOTHING)
		status = STATUS_REFUSED;
	for (; pages < link->pages.count && status == STATUS_OK; pages += status == STATUS_OK)
		status = map(remote, link->pages.item[pages].range, protection(link->pages.item[pages].flags), MAP_FIXED_NOREPLACE, error);
	for (size_t i = 0; i < pages && status != STATUS_OK; i++)
		left |= unmap(remote, link->pages.item[i].range, error) != STATUS_OK;
	if (status != STATUS_OK)
		left |= !unmap_regions(remote, ledger, regions, error);
	return left ? STATUS_ERROR : status;
}

/* A long write can be cut short by SIGKILL after any page, so what makes it a ledger comes last. */
static enum status write_ledger(const struct process *process, const struct link_part *part, struct error *error)
{
	enum status status = process_put(process, part->range.start + LEDGER_MAGIC_SIZE, part->bytes + LEDGER_MAGIC_SIZE,
					 part->range.end - part->range.start - LEDGER_MAGIC_SIZE, error);

	return status == STATUS_OK ? process_put(process, part->range.start, part->bytes, LEDGER_MAGIC_SIZE, error) : status;
}

static enum status write_parts(const struct survey *survey, const struct link *link, bool again, struct error *error)
{
	enum status status = STATUS_OK;

	/* The ledger is the first part: from there on the region can be recognised. */
	for (size_t i = 0; i < link->parts.count && status == STATUS_OK; i++) {
		const struct link_part *part = &link->parts.item[i];

		/*
		 * The ledger of a region that is used again says REVERTED, which stays true until the transition. What dispatchers
		 * read is as it should be, and may be changed only while all threads are stopped.
		 */
		if (again && (!i || part->flags & SEGMENT_WRITE || range_holds(part->range, link->ledger.dispatch.selector)))
			continue;
		status = i ? process_put(survey->process, part->range.start, part->bytes,
					 part->range.end - part->range.start, error) :
			     write_ledger(survey->process, part, error);
	}
	/* That of a region that is used again may still stand in a chain, and is as it should be. */
	for (size_t i = 0; i < link->pages.count && !again && status == STATUS_OK; i++)
		status = process_put(survey->process, link->pages.item[i].range.start, link->pages.item[i].bytes,
				     link->pages.item[i].range.end - link->pages.item[i].range.start, error);
	return status;
}

/* What was mapped for a patch whose contents can't be written. */
static enum status unmap_unwritten(const struct survey *survey, const struct link *link, uint64_t *borrowed, struct error *error)
{
	const struct patience undo = patience_for(INSTALL_UNDO_MILLISECONDS, NULL);
	struct remote remote;
	enum status status = remote_begin(survey->process, &undo, &remote, error);

	for (size_t i = 0; i < link->pages.count && status == STATUS_OK; i++)
		status = unmap(&remote, link->pages.item[i].range, error);
	/* The one with the ledger is the first, and goes last. */
	for (size_t i = link->ledger.images.count; i-- > 0 && status == STATUS_OK;)
		status = unmap(&remote, link->ledger.images.item[i].region, error);
	*borrowed += remote_end(&remote);
	return status;
}

enum status install_region(const struct survey *survey, const struct link *link, const struct patience *patience,
			   uint64_t *borrowed, struct error *error)
{
	struct remote remote;
	enum status status = headroom_check_install(survey, link, error);

	if (status != STATUS_OK)
		return status;
	status = remote_begin(survey->process, patience, &remote, error);
	if (status == STATUS_OK)
		status = map_regions(&remote, link, error);
	*borrowed += remote_end(&remote);
	if (status != STATUS_OK)
		return status;

	status = write_parts(survey, link, false, error);
	if (status != STATUS_OK && unmap_unwritten(survey, link, borrowed, error) != STATUS_OK)
		return STATUS_ERROR;
	return status;
}

enum status install_again(const struct survey *survey, const struct link *link, struct error *error)
{
	enum status status = headroom_check_install(survey, link, error);

	return status == STATUS_OK ? write_parts(survey, link, true, error) : status;
}

/*
 * A stent that was killed while a thread was about to unmap for it can't take the call back: the thread makes it when it runs on, which may be after
 * this stent has found the ledger. The ledger's memory goes last, so without it there is nothing left.
 */
static bool is_gone(const struct process *process, const struct ledger *ledger)
{
	uint8_t byte;

	return !process_read(process, ledger_address(ledger), &byte, sizeof(byte));
}

/*
 * Another stent that has this region in use, or has put its own at the place, changes that only with all threads stopped. So
 * what the ledger says in the stop of the thread that unmaps it is so until it has.
 */
enum status install_remove(const struct survey *survey, const struct ledger *found, const struct patience *patience,
			   uint64_t *borrowed, struct error *error)
{
	const struct process *process = survey->process;
	struct ledger ledger = *found;	/* (shares what it owns) */
	struct remote remote;
	enum status status = remote_begin(process, patience, &remote, error);
	bool gone = status == STATUS_OK && is_gone(process, found);

	if (status == STATUS_OK && !gone && !ledger_is_there(process, found))
		status = fail(error, "process %d (%s): what is at %#lx is no longer what it was", process->pid, process->comm,
			      ledger_address(found));
	if (status == STATUS_OK && !gone)
		status = install_unmap(&remote, &ledger, error);
	*borrowed += remote_end(&remote);
	return status == STATUS_OK ? status : STATUS_ERROR;
}
