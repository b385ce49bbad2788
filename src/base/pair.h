/* pair.h: line up two sequences. */
#ifndef STENT_BASE_PAIR_H
#define STENT_BASE_PAIR_H

#include <stddef.h>
#include <stdint.h>

/* Sequences whose middles (without the same start and end) are longer than this are not lined up there. */
#define PAIR_MAX 4000

/*
 * A longest common subsequence of the m numbers of `a` and the n of `b`: paired[i] becomes the index in `b` plus one, or 0; `paired`
 * has room for m. It takes time and memory with the product of the middles' lengths.
 */
void pair_sequences(const uint64_t *a, size_t m, const uint64_t *b, size_t n, size_t *paired);

#endif
