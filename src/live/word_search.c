/*
 * Nearly all of the time goes into the kernel's copying (process_vm_readv(2)), which several threads do side by side. What is read is scanned at
 * once, while it is in the cache of the processor that has read it.
 */
#include "live/word_search.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define ALONE 4u	/* pieces that are read sooner than others wake up */
#define TOGETHER 64u	/* runs that are read in one call */
#define ROOM 4096u	/* for runs, at first */

/* Memory that is there, because it has been written to, while a process stands still. */
static void *touched(size_t count, size_t size)
{
	void *memory = memory_resize(NULL, count, size);

	return memset(memory, 1, count * size);
}

void word_search_open(bool helped, struct word_search *search)
{
	*search = (struct word_search){ .workers = helped ? workers_start() : NULL };
	search->bytes = touched(helped ? workers_count(search->workers) : 1, WORD_SEARCH_PIECE);
	search->runs.room = search->pieces.room = ROOM;
	search->runs.item = touched(ROOM, sizeof(*search->runs.item));
	search->pieces.item = touched(ROOM, sizeof(*search->pieces.item));
}

void word_search_close(struct word_search *search)
{
	workers_stop(search->workers);
	free(search->bytes);
	array_free(&search->runs);
	array_free(&search->pieces);
	*search = (struct word_search){ 0 };
}

void word_search_clear(struct word_search *search)
{
	search->runs.count = search->pieces.count = 0;
	search->size = 0;
}

/* To the last piece, if it has room. */
static void add_to_piece(struct word_search *search, struct range run)
{
	struct word_piece *last = search->pieces.count ? &search->pieces.item[search->pieces.count - 1] : NULL;
	size_t size = run.end - run.start;

	if (!last || last->count == TOGETHER || last->size + size > WORD_SEARCH_PIECE) {
		last = array_add(&search->pieces);
		*last = (struct word_piece){ .first = search->runs.count };
	}
	last->count++;
	last->size += size;
	*array_add(&search->runs) = run;
	search->size += size;
}

static bool add_run(void *context, struct range run)
{
	for (uint64_t at = run.start, end; at < run.end; at = end) {
		end = run.end - at > WORD_SEARCH_PIECE ? at + WORD_SEARCH_PIECE : run.end;
		add_to_piece(context, (struct range){ at, end });
	}
	return true;
}

bool word_search_add(struct word_search *search, struct pages *pages, struct range range)
{
	return pages_each(pages, range, add_run, search);
}

/* What the threads share: pieces are given out in order. */
struct running {
	const struct word_search *search;
	const struct word_visit *visit;
	pthread_mutex_t lock;	/* one visit at a time */
	atomic_size_t next;
	atomic_bool over;	/* a visit wanted no more */
};

static void visit_hit(struct running *running, uint64_t word, uint64_t place)
{
	const struct word_visit *visit = running->visit;

	pthread_mutex_lock(&running->lock);
	if (!running->over)
		running->over = !visit->hit(visit->context, word, place);
	pthread_mutex_unlock(&running->lock);
}

static void visit_unreadable(struct running *running, struct range run)
{
	const struct word_visit *visit = running->visit;

	pthread_mutex_lock(&running->lock);
	if (!running->over)
		running->over = !visit->unreadable(visit->context, run);
	pthread_mutex_unlock(&running->lock);
}

static void scan_bytes_of(struct running *running, struct range run, const uint8_t *bytes)
{
	const struct scan_set *set = running->visit->set;
	size_t count = run.end - run.start;

	for (size_t at = scan_bytes(set, bytes, count); at < count && !running->over; at += 1 + scan_bytes(set, bytes + at + 1, count - at - 1))
		visit_hit(running, load64(bytes + at), run.start + at);
}

static void scan_words_of(struct running *running, struct range run, const uint8_t *bytes)
{
	const struct scan_set *set = running->visit->set;
	const uint64_t *words = (const uint64_t *)(const void *)bytes;	/* (pages, in an aligned buffer) */
	size_t count = (run.end - run.start) / sizeof(*words);

	for (size_t at = scan_words(set, words, count); at < count && !running->over; at += 1 + scan_words(set, words + at + 1, count - at - 1))
		visit_hit(running, words[at], run.start + at * sizeof(*words));
}

/* False: some can't be read, or not this way. */
static bool read_together(const struct running *running, const struct word_piece *piece, uint8_t *bytes)
{
	const struct range *runs = running->search->runs.item + piece->first;
	struct iovec pieces[TOGETHER];

	for (size_t i = 0; i < piece->count; i++)
		pieces[i] = (struct iovec){ (void *)runs[i].start, runs[i].end - runs[i].start };
	return running->visit->tid && process_read_pieces(running->visit->tid, pieces, piece->count, bytes, piece->size);
}

/* (What the process may not read itself, by its memory's file.) */
static bool read_run(const struct running *running, struct range run, uint8_t *bytes)
{
	size_t size = run.end - run.start;

	return (running->visit->tid && process_read_stopped(running->visit->tid, run.start, bytes, size)) ||
	       process_read(running->visit->process, run.start, bytes, size);
}

/* Words that begin in a run and end in the next one, where that follows at once. */
static void search_seam(struct running *running, size_t index)
{
	const struct word_search *search = running->search;
	uint64_t end = search->runs.item[index].end;
	struct range seam = { end - sizeof(uint64_t) + 1, end + sizeof(uint64_t) - 1 };
	uint8_t bytes[2 * sizeof(uint64_t)];

	if (index + 1 == search->runs.count || search->runs.item[index + 1].start != end)
		return;
	if (read_run(running, seam, bytes))
		scan_bytes_of(running, seam, bytes);
	else
		visit_unreadable(running, seam);
}

static void scan_run(struct running *running, size_t index, const uint8_t *bytes)
{
	struct range run = running->search->runs.item[index];

	if (!running->visit->anywhere) {
		scan_words_of(running, run, bytes);
		return;
	}
	scan_bytes_of(running, run, bytes);
	search_seam(running, index);
}

static void search_piece(struct running *running, const struct word_piece *piece, uint8_t *bytes)
{
	bool together = read_together(running, piece, bytes);

	for (size_t i = piece->first; i < piece->first + piece->count && !running->over; i++) {
		struct range run = running->search->runs.item[i];

		if (!together && !read_run(running, run, bytes))
			visit_unreadable(running, run);
		else if (running->visit->set)
			scan_run(running, i, bytes);
		bytes += run.end - run.start;
	}
}

static void search_pieces(void *context, unsigned int worker)
{
	struct running *running = context;
	const struct word_search *search = running->search;
	uint8_t *bytes = search->bytes + (size_t)worker * WORD_SEARCH_PIECE;

	for (size_t piece; !running->over && (piece = running->next++) < search->pieces.count;)
		search_piece(running, &search->pieces.item[piece], bytes);
}

bool word_search_run(struct word_search *search, const struct word_visit *visit)
{
	struct running running = { .search = search, .visit = visit };

	pthread_mutex_init(&running.lock, NULL);
	if (search->workers && visit->set && search->pieces.count > ALONE)
		workers_run(search->workers, search_pieces, &running);
	else
		search_pieces(&running, 0);
	pthread_mutex_destroy(&running.lock);
	return !running.over;
}
