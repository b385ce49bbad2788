#include "diff/align.h"

#include <stdlib.h>

#define ALIGN_MAX 4000

struct token {
	uint64_t hash;			/* of the instruction without the fields of its references */
	const struct code_ref *ref;	/* its first reference, or NULL */
};

struct tokens {
	struct token *item;
	size_t count, room;
};

static uint64_t hash_masked(const uint8_t *code, const struct insn *insn, uint64_t address, const struct code_ref *ref, size_t refs)
{
	uint8_t bytes[16];
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	memcpy(bytes, code, insn->length);
	for (size_t i = 0; i < refs; i++)
		memset(bytes + (ref[i].where - address), 0, ref[i].size);
	/* A branch inside the function moves when anything between it and its target changes. */
	if (!refs && insn->ref[0].kind == REF_BRANCH)
		memset(bytes + insn->ref[0].offset, 0, insn->ref[0].size);
	for (size_t i = 0; i < insn->length; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static void tokenize(const struct program *program, uint32_t function, struct tokens *tokens)
{
	const struct function *f = &program->functions.item[function];

	for (size_t part = 0; part < f->parts.count; part++) {
		const struct code_range *range = &program->ranges.item[f->parts.item[part]];
		const uint8_t *code = program_code(program, range);
		uint32_t next = range->first_ref, end = range->first_ref + range->ref_count;
		uint64_t address = range->span.start;
		struct insn insn;

		while (address < range->span.end &&
		       program->image->arch->decode(code + (address - range->span.start), range->span.end - address, address, &insn)) {
			uint32_t first = next;

			while (next < end && program->refs.item[next].insn == address)
				next++;
			*array_add(tokens) = (struct token){
				hash_masked(code + (address - range->span.start), &insn, address, &program->refs.item[first], next - first),
				next > first ? &program->refs.item[first] : NULL };
			address += insn.length;
		}
	}
}

/* Lengths of the longest common subsequence of a[i..] and b[k..], row by row. */
static uint16_t *subsequence_table(const struct token *a, size_t m, const struct token *b, size_t n)
{
	uint16_t *table = memory_zeroed((m + 1) * (n + 1), sizeof(*table));

	for (size_t i = m; i-- > 0;)
		for (size_t k = n; k-- > 0;) {
			uint16_t down = table[(i + 1) * (n + 1) + k], right = table[i * (n + 1) + k + 1];

			table[i * (n + 1) + k] = a[i].hash == b[k].hash ? (uint16_t)(table[(i + 1) * (n + 1) + k + 1] + 1)
									: (down > right ? down : right);
		}
	return table;
}

/* paired[i] = index + 1 in b, or 0 */
static void pair_tokens(const struct tokens *a, const struct tokens *b, size_t *paired)
{
	size_t start = 0, end = 0;

	while (start < a->count && start < b->count && a->item[start].hash == b->item[start].hash) {
		paired[start] = start + 1;
		start++;
	}
	while (end < a->count - start && end < b->count - start &&
	       a->item[a->count - 1 - end].hash == b->item[b->count - 1 - end].hash) {
		paired[a->count - 1 - end] = b->count - end;
		end++;
	}

	size_t m = a->count - start - end, n = b->count - start - end;

	if (!m || !n || m > ALIGN_MAX || n > ALIGN_MAX)
		return;

	uint16_t *table = subsequence_table(a->item + start, m, b->item + start, n);

	for (size_t i = 0, k = 0; i < m && k < n;) {
		if (a->item[start + i].hash == b->item[start + k].hash) {
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

void align_references(const struct program *old, uint32_t old_function, const struct program *new, uint32_t new_function,
		      align_found *found, void *context)
{
	struct tokens a = { 0 }, b = { 0 };
	size_t *paired;

	tokenize(old, old_function, &a);
	tokenize(new, new_function, &b);
	paired = memory_zeroed(a.count + 1, sizeof(*paired));
	pair_tokens(&a, &b, paired);
	for (size_t i = 0; i < a.count; i++) {
		bool before = i > 0 && paired[i] && paired[i - 1] == paired[i] - 1;
		bool behind = i + 1 < a.count && paired[i] && paired[i + 1] == paired[i] + 1;

		if (paired[i] && (before || behind) && a.item[i].ref && b.item[paired[i] - 1].ref)
			found(context, a.item[i].ref, b.item[paired[i] - 1].ref);
	}
	free(paired);
	array_free(&a);
	array_free(&b);
}
