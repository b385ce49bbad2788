/* pair.h: line up two sequences. */
#ifndef STENT_BASE_PAIR_H
#define STENT_BASE_PAIR_H

#include <stddef.h>
#include <stdint.h>

/* Sequences whose middles (without the same start and end) differ in more numbers than this are not lined up there. */
#define PAIR_EDITS_MAX 10000

/*
 * A longest common subsequence of the m numbers of `a` and the n of `b`: paired[i] becomes the index in `b` plus one, or 0; `paired`
 * has room for m. It takes time with (m + n) times the number of differences, and little memory.
 */
void pair_sequences(const uint64_t *a, size_t m, const uint64_t *b, size_t n, size_t *paired);

#endif
