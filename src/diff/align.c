#include "diff/align.h"

#include <stdlib.h>

#include "base/pair.h"

struct token {
	uint64_t address;
	const struct code_ref *ref;	/* its first reference, or NULL */
};

struct tokens {
	ARRAY(struct token) list;
	ARRAY(uint64_t) hashes;		/* of the instructions without the fields of their references, and of what these refer to */
};

static uint64_t hash_masked(const struct arch *arch, enum alignment how, const uint8_t *code, const struct insn *insn, uint64_t address,
			    const struct code_ref *ref, size_t refs)
{
	uint8_t bytes[16];
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	memcpy(bytes, code, insn->length);
	for (size_t i = 0; i < refs; i++)
		memset(bytes + (ref[i].where - address), 0, ref[i].size);
	/* A branch inside the function moves when anything between it and its target changes. */
	if (!refs && insn->ref[0].kind == REF_BRANCH)
		memset(bytes + insn->ref[0].offset, 0, insn->ref[0].size);
	if (how == ALIGN_FORMS)
		return arch->form(bytes, insn->length);
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
static void tokenize(const struct program *program, uint32_t function, enum alignment how, const struct comparison *comparison,
		     identify *identity, struct tokens *tokens)
{
	const struct arch *arch = program->image->arch;
	const struct function *f = &program->functions.item[function];

	for (size_t part = 0; part < f->parts.count; part++) {
		const struct code_range *range = &program->ranges.item[f->parts.item[part]];
		const uint8_t *code = program_code(program, range);
		uint32_t next = range->first_ref, end = range->first_ref + range->ref_count;
		uint64_t address = range->span.start;
		struct insn insn;

		while (address < range->span.end &&
		       arch->decode(code + (address - range->span.start), range->span.end - address, address, &insn)) {
			const struct code_ref *ref = &program->refs.item[next];
			size_t refs = 0;
			uint64_t hash;

			for (; next < end && program->refs.item[next].insn == address; next++)
				refs++;
			hash = hash_masked(arch, how, code + (address - range->span.start), &insn, address, ref, refs);
			*array_add(&tokens->list) = (struct token){ address, refs ? ref : NULL };
			*array_add(&tokens->hashes) = add_identity(hash, comparison, identity, ref, refs);
			address += insn.length;
		}
	}
}

struct pairs {
	struct tokens old, new;
	size_t *paired;		/* per old token: index of the new one plus one, or 0 */
	bool *taken;		/* per new token: it is paired */
};

static void pair_tokens(struct pairs *pairs)
{
	pairs->paired = memory_zeroed(pairs->old.list.count + 1, sizeof(*pairs->paired));
	pairs->taken = memory_zeroed(pairs->new.list.count + 1, sizeof(*pairs->taken));
	pair_sequences(pairs->old.hashes.item, pairs->old.hashes.count, pairs->new.hashes.item, pairs->new.hashes.count, pairs->paired);
	for (size_t i = 0; i < pairs->old.list.count; i++)
		if (pairs->paired[i])
			pairs->taken[pairs->paired[i] - 1] = true;
}

static void pairs_free(struct pairs *pairs)
{
	free(pairs->paired);
	free(pairs->taken);
	array_free(&pairs->old.list);
	array_free(&pairs->old.hashes);
	array_free(&pairs->new.list);
	array_free(&pairs->new.hashes);
}

static bool refers_to_data(const struct program *program, const struct code_ref *ref)
{
	const struct section *section = ref ? image_section(program->image, ref->target) : NULL;

	return section && !section->execute;
}

/* A pair alone may be chance. So many in a row are not; it takes more forms than bytes, because fewer bits tell them apart. */
static const size_t in_row[ALIGNMENTS] = { [ALIGN_BYTES] = 2, [ALIGN_FORMS] = 4 };

static bool stands_in_row(const struct pairs *pairs, size_t old, size_t enough)
{
	const size_t *paired = pairs->paired;
	size_t first = old, last = old;

	while (last - first + 1 < enough && first > 0 && paired[first - 1] && paired[first - 1] + 1 == paired[first])
		first--;
	while (last - first + 1 < enough && last + 1 < pairs->old.list.count && paired[last + 1] == paired[last] + 1)
		last++;
	return last - first + 1 >= enough;
}

/* Do instructions with the same bytes, all that line up, say what the address is in the other build? `aligned`: by addresses of this one. */
static bool is_known_by_bytes(const struct vote_map *aligned, const struct vote_map *aligned_back, uint64_t address)
{
	size_t count, count_back = 0;
	const struct vote *vote = votes_from(aligned, address, &count);

	if (count == 1)
		(void)votes_from(aligned_back, vote->to, &count_back);
	return count_back == 1;
}

/* Is an instruction left over, on either side, that could have been the one in the pair? */
static bool is_left(const struct comparison *comparison, const struct pairs *pairs, uint64_t hash)
{
	for (size_t i = 0; i < pairs->old.list.count; i++) {
		const struct code_ref *ref = pairs->old.list.item[i].ref;

		if (pairs->old.hashes.item[i] == hash && !pairs->paired[i] && refers_to_data(&comparison->old, ref) &&
		    !is_known_by_bytes(&comparison->aligned, &comparison->aligned_back, ref->target))
			return true;
	}
	for (size_t k = 0; k < pairs->new.list.count; k++) {
		const struct code_ref *ref = pairs->new.list.item[k].ref;

		if (pairs->new.hashes.item[k] == hash && !pairs->taken[k] && refers_to_data(&comparison->new, ref) &&
		    !is_known_by_bytes(&comparison->aligned_back, &comparison->aligned, ref->target))
			return true;
	}
	return false;
}

static bool is_sure(const struct comparison *comparison, const struct pairs *pairs, size_t old, size_t new)
{
	const struct code_ref *a = pairs->old.list.item[old].ref, *b = pairs->new.list.item[new].ref;

	return refers_to_data(&comparison->old, a) && refers_to_data(&comparison->new, b) &&
	       !is_left(comparison, pairs, pairs->old.hashes.item[old]);
}

void align_references(const struct comparison *comparison, uint32_t old_function, uint32_t new_function, enum alignment how, align_found *found,
		      void *context)
{
	struct pairs pairs = { 0 };

	tokenize(&comparison->old, old_function, how, comparison, identity_of_old, &pairs.old);
	tokenize(&comparison->new, new_function, how, comparison, identity_of_new, &pairs.new);
	pair_tokens(&pairs);
	for (size_t i = 0; i < pairs.old.list.count; i++) {
		size_t other = pairs.paired[i] - 1;

		if (pairs.paired[i] && pairs.old.list.item[i].ref && pairs.new.list.item[other].ref && stands_in_row(&pairs, i, in_row[how]) &&
		    (how == ALIGN_BYTES || is_sure(comparison, &pairs, i, other)))
			found(context, pairs.old.list.item[i].ref, pairs.new.list.item[other].ref);
	}
	pairs_free(&pairs);
}

/* What a function's references were in the old build. */
struct noting {
	const struct comparison *comparison;
	uint64_t *old_targets;
};

static void note_target(void *context, const struct code_ref *old, const struct code_ref *new)
{
	const struct noting *noting = context;

	noting->old_targets[new - noting->comparison->new.refs.item] = old->target;
}

uint64_t align_counterpart(const struct comparison *comparison, enum alignment how, const struct code_ref *ref)
{
	const struct counterparts *known = &comparison->counterparts[how];
	uint32_t function = program_function(&comparison->new, ref->insn), old = function != NO_FUNCTION ? comparison->old_of[function] : NO_FUNCTION;
	struct noting noting = { comparison, known->old_targets };

	if (old == NO_FUNCTION)
		return 0;
	if (!known->lined_up[function])
		align_references(comparison, old, function, how, note_target, &noting);
	known->lined_up[function] = true;
	return known->old_targets[ref - comparison->new.refs.item];
}

void align_singles(const struct program *old, uint32_t old_function, const struct program *new, uint32_t new_function,
		   align_single *single, void *context)
{
	struct pairs pairs = { 0 };

	tokenize(old, old_function, ALIGN_BYTES, NULL, NULL, &pairs.old);
	tokenize(new, new_function, ALIGN_BYTES, NULL, NULL, &pairs.new);
	pair_tokens(&pairs);
	for (size_t i = 0; i < pairs.old.list.count; i++)
		if (!pairs.paired[i])
			single(context, old, pairs.old.list.item[i].address);
	for (size_t k = 0; k < pairs.new.list.count; k++)
		if (!pairs.taken[k])
			single(context, new, pairs.new.list.item[k].address);
	pairs_free(&pairs);
}
