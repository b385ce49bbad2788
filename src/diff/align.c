#include "diff/align.h"

#include <stdlib.h>

#include "base/pair.h"

struct token {
	uint64_t address;
	const struct code_ref *ref;	/* its first reference, or NULL */
};

struct tokens {
	ARRAY(struct token) list;
	ARRAY(uint64_t) hashes;		/* of the instructions without the fields of their references */
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

typedef uint64_t identify(const struct comparison *comparison, uint64_t address);

/* Tell references to different items apart. */
static uint64_t add_identity(uint64_t hash, const struct comparison *comparison, identify *identity, const struct code_ref *ref, size_t refs)
{
	for (size_t i = 0; identity && i < refs; i++)
		hash = (hash ^ identity(comparison, ref[i].target)) * UINT64_C(0x100000001b3);
	return hash;
}

/* `identity`: of the program's addresses, or NULL. */
static void tokenize(const struct program *program, uint32_t function, const struct comparison *comparison, identify *identity,
		     struct tokens *tokens)
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
			*array_add(&tokens->list) = (struct token){ address, next > first ? &program->refs.item[first] : NULL };
			*array_add(&tokens->hashes) = add_identity(hash_masked(code + (address - range->span.start), &insn, address,
									       &program->refs.item[first], next - first),
								   comparison, identity, &program->refs.item[first], next - first);
			address += insn.length;
		}
	}
}

struct alignment {
	struct tokens old, new;
	size_t *paired;		/* per old token: index of the new one plus one, or 0 */
};

static void pair_tokens(struct alignment *alignment)
{
	alignment->paired = memory_zeroed(alignment->old.list.count + 1, sizeof(size_t));
	pair_sequences(alignment->old.hashes.item, alignment->old.hashes.count, alignment->new.hashes.item,
		       alignment->new.hashes.count, alignment->paired);
}

static void alignment_free(struct alignment *alignment)
{
	free(alignment->paired);
	array_free(&alignment->old.list);
	array_free(&alignment->old.hashes);
	array_free(&alignment->new.list);
	array_free(&alignment->new.hashes);
}

void align_references(const struct comparison *comparison, uint32_t old_function, uint32_t new_function, align_found *found, void *context)
{
	struct alignment alignment = { 0 };
	const size_t *paired;

	tokenize(&comparison->old, old_function, comparison, identity_of_old, &alignment.old);
	tokenize(&comparison->new, new_function, comparison, identity_of_new, &alignment.new);
	pair_tokens(&alignment);
	paired = alignment.paired;
	for (size_t i = 0, count = alignment.old.list.count; i < count; i++) {
		const struct token *a = &alignment.old.list.item[i], *b = paired[i] ? &alignment.new.list.item[paired[i] - 1] : NULL;
		bool before = i > 0 && b && paired[i - 1] && paired[i - 1] == paired[i] - 1;
		bool behind = i + 1 < count && b && paired[i + 1] == paired[i] + 1;

		if ((before || behind) && a->ref && b->ref)
			found(context, a->ref, b->ref);
	}
	alignment_free(&alignment);
}

void align_singles(const struct program *old, uint32_t old_function, const struct program *new, uint32_t new_function,
		   align_single *single, void *context)
{
	struct alignment alignment = { 0 };
	bool *taken;

	tokenize(old, old_function, NULL, NULL, &alignment.old);
	tokenize(new, new_function, NULL, NULL, &alignment.new);
	pair_tokens(&alignment);
	taken = memory_zeroed(alignment.new.list.count + 1, sizeof(*taken));
	for (size_t i = 0; i < alignment.old.list.count; i++) {
		const struct token *token = &alignment.old.list.item[i];

		if (alignment.paired[i])
			taken[alignment.paired[i] - 1] = true;
		else
			single(context, old, token->address);
	}
	for (size_t k = 0; k < alignment.new.list.count; k++)
		if (!taken[k])
			single(context, new, alignment.new.list.item[k].address);
	free(taken);
	alignment_free(&alignment);
}
