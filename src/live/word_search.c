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
#define PIECES 4096u	/* room at first */

void word_search_open(bool helped, struct word_search *search)
{
	size_t size;

	*search = (struct word_search){ .workers = helped ? workers_start() : NULL };
	size = (size_t)(helped ? workers_count(search->workers) : 1) * WORD_SEARCH_PIECE;
	/* Written to now, so that it is there while a process stands still. */
	search->bytes = memory_resize(NULL, size, 1);
	memset(search->bytes, 1, size);
	search->pieces.room = PIECES;
	search->pieces.item = memory_resize(NULL, PIECES, sizeof(*search->pieces.item));
	memset(search->pieces.item, 1, PIECES * sizeof(*search->pieces.item));
}

void word_search_close(struct word_search *search)
{
	workers_stop(search->workers);
	free(search->bytes);
	array_free(&search->pieces);
	*search = (struct word_search){ 0 };
}

void word_search_clear(struct word_search *search)
{
	search->pieces.count = 0;
	search->size = 0;
}

static bool add_run(void *context, struct range run)
{
	struct word_search *search = context;

	search->size += run.end - run.start;
	for (uint64_t at = run.start, end; at < run.end; at = end) {
		end = run.end - at > WORD_SEARCH_PIECE ? at + WORD_SEARCH_PIECE : run.end;
		*array_add(&search->pieces) = (struct range){ at, end };
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

static void visit_unreadable(struct running *running, struct range piece)
{
	const struct word_visit *visit = running->visit;

	pthread_mutex_lock(&running->lock);
	if (!running->over)
		running->over = !visit->unreadable(visit->context, piece);
	pthread_mutex_unlock(&running->lock);
}

static void scan_piece(struct running *running, uint64_t start, const uint64_t *words, size_t count)
{
	const struct scan_set *set = running->visit->set;

	for (size_t at = scan_words(set, words, count); at < count && !running->over; at += 1 + scan_words(set, words + at + 1, count - at - 1))
		visit_hit(running, words[at], start + at * sizeof(*words));
}

static void search_piece(struct running *running, struct range piece, uint8_t *bytes)
{
	const struct word_visit *visit = running->visit;
	size_t size = piece.end - piece.start;

	/* (The pieces of the buffer are aligned.) */
	if (!(visit->tid ? process_read_stopped(visit->tid, piece.start, bytes, size) : process_read(visit->process, piece.start, bytes, size)))
		visit_unreadable(running, piece);
	else if (visit->set)
		scan_piece(running, piece.start, (const uint64_t *)(const void *)bytes, size / sizeof(uint64_t));
}

static void search_pieces(void *context, unsigned int worker)
{
	struct running *running = context;
	const struct word_search *search = running->search;
	uint8_t *bytes = search->bytes + (size_t)worker * WORD_SEARCH_PIECE;

	for (size_t piece; !running->over && (piece = running->next++) < search->pieces.count;)
		search_piece(running, search->pieces.item[piece], bytes);
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
