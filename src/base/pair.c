#include "base/pair.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Lengths of the longest common subsequence of a[i..] and b[k..], row by row. */
static uint16_t *subsequence_table(const uint64_t *a, size_t m, const uint64_t *b, size_t n)
{
	uint16_t *table = memory_zeroed((m + 1) * (n + 1), sizeof(*table));

	for (size_t i = m; i-- > 0;)
		for (size_t k = n; k-- > 0;) {
			uint16_t down = table[(i + 1) * (n + 1) + k], right = table[i * (n + 1) + k + 1];

			table[i * (n + 1) + k] = a[i] == b[k] ? (uint16_t)(table[(i + 1) * (n + 1) + k + 1] + 1)
							      : (down > right ? down : right);
		}
	return table;
}

void pair_sequences(const uint64_t *a, size_t a_count, const uint64_t *b, size_t b_count, size_t *paired)
{
	size_t start = 0, end = 0, m, n;
	uint16_t *table;

	memset(paired, 0, a_count * sizeof(*paired));
	while (start < a_count && start < b_count && a[start] == b[start]) {
		paired[start] = start + 1;
		start++;
	}
	while (end < a_count - start && end < b_count - start && a[a_count - 1 - end] == b[b_count - 1 - end]) {
		paired[a_count - 1 - end] = b_count - end;
		end++;
	}
	m = a_count - start - end;
	n = b_count - start - end;
	if (!m || !n || m > PAIR_MAX || n > PAIR_MAX)
		return;
	table = subsequence_table(a + start, m, b + start, n);
	for (size_t i = 0, k = 0; i < m && k < n;) {
		if (a[start + i] == b[start + k]) {
			paired[start + i] = start + k + 1;
			i++, k++;
		} else if (table[(i + 1) * (n + 1) + k] >= table[i * (n + 1) + k + 1]) {
			i++;
		} else {
			k++;
		}
	}
	free(table);
}
