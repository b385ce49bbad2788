/*
 * grown.c: have objects grown?
 *
 * Objects that live in the process are as large as the old build made them, and hold what its code has put there. Where a new member moves those behind
 * it, code that is otherwise the same has other displacements, and explain.c sees that. One at the end of its structure, or in a gap, moves nothing. What gives
 * it away:
 * - another size is asked of an allocator, or told when an object is given back or filled (memset());
 * - new code loads and stores a number at a displacement at which no old code does either.
 *
 * What only loads there may be a fix that looks at a member which the old build fills by copying a whole structure. And a small displacement is one of some
 * other structure, too: of new members there nothing is seen, unless their objects have grown.
 */
#include "diff/grown.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "arch/frame.h"
#include "base/search.h"

#define WRAPPED 2u	/* functions of the program's own that hand a size on */

/* Functions of libraries that are told the size of one object, and by which argument, from 0. Those with two are together. (Not memcpy(): that mostly is told
 * how much of one is meant, and a fix may well be that it was too much.) */
static const struct allocator {
	const char *name;
	unsigned int argument;
} allocators[] = {
	/* C */
	{ "malloc", 0 }, { "calloc", 1 }, { "realloc", 1 }, { "reallocarray", 2 }, { "aligned_alloc", 1 }, { "memalign", 1 }, { "posix_memalign", 2 },
	/* what fills a whole object, mostly with zeros */
	{ "memset", 2 }, { "__memset_chk", 2 }, { "bzero", 1 }, { "explicit_bzero", 1 },
	/* C++: operator new and new[], delete and delete[] with a size */
	{ "_Znwm", 0 }, { "_Znam", 0 }, { "_ZnwmRKSt9nothrow_t", 0 }, { "_ZnamRKSt9nothrow_t", 0 }, { "_ZnwmSt11align_val_t", 0 },
	{ "_ZnamSt11align_val_t", 0 }, { "_ZdlPvm", 1 }, { "_ZdaPvm", 1 }, { "_ZdlPvmSt11align_val_t", 1 },
	/* GLib */
	{ "g_malloc", 0 }, { "g_malloc0", 0 }, { "g_try_malloc", 0 }, { "g_try_malloc0", 0 }, { "g_malloc_n", 1 }, { "g_malloc0_n", 1 },
	{ "g_slice_alloc", 0 }, { "g_slice_alloc0", 0 }, { "g_slice_free1", 0 }, { "g_type_register_static_simple", 2 },
	{ "g_type_register_static_simple", 4 }, { "g_type_add_instance_private", 1 },
	/* others that many programs use, or that plugins have from their program */
	{ "apr_palloc", 1 }, { "CRYPTO_malloc", 0 }, { "CRYPTO_zalloc", 0 }, { "_talloc_zero", 1 }, { "talloc_named_const", 1 },
	{ "ngx_palloc", 1 }, { "ngx_pcalloc", 1 }, { "ngx_alloc", 0 }, { "ngx_calloc", 0 }, { "palloc", 0 }, { "palloc0", 0 },
	{ "MemoryContextAlloc", 1 }, { "MemoryContextAllocZero", 1 }, { "PyObject_Malloc", 0 }, { "PyMem_Malloc", 0 },
	{ "AcquireMagickMemory", 0 }, { "AcquireQuantumMemory", 1 },
};

/* Others are known by this in their names, in whatever case (but not of C++ and Rust, whose names say all their types, too). */
static const char alloc[] = "alloc";

/* A size that is told. */
struct request {
	const char *callee;
	unsigned int argument;
	uint64_t size;
};

struct requests {
	struct request *item;
	size_t count, room;
};

/* What is known of the registers of the arguments, going through code from its start to its end. (Ways that join are not followed: of a wrong
 * size, both builds have the same.) */
struct arguments {
	bool known[8];
	uint64_t value[8];
	bool address[8];	/* of something in the image, or on the stack */
};

/* NO_FUNCTION: not one of the program's own, or not known. */
static uint32_t callee_of(const struct program *program, const struct insn_ref *ref)
{
	uint32_t function = ref->kind == REF_BRANCH ? program_function(program, ref->target) : NO_FUNCTION;

	return function != NO_FUNCTION && program->functions.item[function].entry == ref->target ? function : NO_FUNCTION;
}

static const char *callee_name(const struct program *program, const struct insn_ref *ref)
{
	const struct relocation *stub = ref->kind == REF_BRANCH ? program_stub(program, ref->target) : NULL;
	const struct data_ref *slot = ref->kind == REF_LOAD ? program_data_ref(program, ref->target) : NULL;
	uint32_t function = callee_of(program, ref);

	if (stub)
		return stub->symbol;
	if (slot)
		return slot->symbol;
	return function != NO_FUNCTION ? program->functions.item[function].name : NULL;
}

static bool leaves(const struct insn *insn)
{
	return insn->kind == INSN_CALL || insn->kind == INSN_CALL_INDIRECT || insn->kind == INSN_JUMP || insn->kind == INSN_JUMP_INDIRECT;
}

static const struct allocator *allocator_of(const struct program *program, const struct insn *insn, unsigned int depth);

/* A function of the program's own (xmalloc()), which hands the size on as it got it, in the same register, before it calls anything else. */
static const struct allocator *find_wrapped(const struct program *program, uint32_t function, unsigned int depth)
{
	const struct arch *arch = program->image->arch;
	const struct code_range *range = &program->ranges.item[program->functions.item[function].parts.item[0]];
	const uint8_t *code = program_code(program, range);
	uint64_t size = range->span.end - range->span.start, written = 0;
	struct insn insn;

	for (uint64_t at = 0; at < size; at += insn.length) {
		if (!arch->decode(code + at, size - at, range->span.start + at, &insn))
			return NULL;
		if (leaves(&insn)) {
			const struct allocator *allocator = allocator_of(program, &insn, depth);

			return allocator && !(written & UINT64_C(1) << arch->argument[allocator->argument]) ? allocator : NULL;
		}
		written |= insn.clobbers;
	}
	return NULL;
}

/* The first in the list, or NULL. */
static const struct allocator *allocator_of(const struct program *program, const struct insn *insn, unsigned int depth)
{
	const char *name = callee_name(program, &insn->ref[0]);
	uint32_t function = callee_of(program, &insn->ref[0]);

	for (size_t i = 0; name && i < sizeof(allocators) / sizeof(*allocators); i++)
		if (strcmp(allocators[i].name, name) == 0)
			return &allocators[i];
	return depth && function != NO_FUNCTION ? find_wrapped(program, function, depth - 1) : NULL;
}

static void note_filled(const struct arch *arch, const struct insn *insn, const struct arguments *arguments, struct requests *requests)
{
	if (arguments->known[arch->fill_count] && !arguments->address[0])
		*array_add(requests) = (struct request){ "memset, inlined,", 0, arguments->value[arch->fill_count] * insn->fills };
}

static void note_argument(const char *callee, unsigned int argument, const struct arguments *arguments, struct requests *requests)
{
	if (arguments->known[argument])
		*array_add(requests) = (struct request){ callee, argument, arguments->value[argument] };
}

/* The object is there already: the first argument says where. */
static bool fills(const struct allocator *allocator)
{
	return strstr(allocator->name, "memset") || strstr(allocator->name, "bzero");
}

static void note_request(const struct program *program, const struct insn *insn, const struct arguments *arguments, struct requests *requests)
{
	const struct allocator *allocator = allocator_of(program, insn, WRAPPED);
	const struct allocator *end = allocators + sizeof(allocators) / sizeof(*allocators), *first = allocator;
	const char *name = allocator ? NULL : callee_name(program, &insn->ref[0]);

	/* (What is on the stack, or a variable, is seen in other ways.) */
	for (; allocator && allocator < end && strcmp(allocator->name, first->name) == 0; allocator++)
		if (!fills(allocator) || !arguments->address[0])
			note_argument(allocator->name, allocator->argument, arguments, requests);
	/* The first argument, or the second behind a pool, or a number of objects. (Behind a size, or a text, it mostly is a line number.) */
	if (name && name[0] != '_' && strcasestr(name, alloc))
		note_argument(name, strcasestr(name, "calloc") || (!arguments->known[0] && !arguments->address[0]), arguments, requests);
}

/* Does the instruction make an address? In an image of fixed address that is a number, too. */
static bool makes_address(const struct program *program, const uint8_t *code, uint64_t at, const struct insn *insn)
{
	struct insn_effect effect;

	for (size_t i = 0; i < 2; i++)
		if (insn->ref[i].kind == REF_ADDRESS || (insn->ref[i].kind == REF_ABSOLUTE && program->image->fixed_address &&
							 image_section(program->image, insn->ref[i].target)))
			return true;
	return program->image->arch->effect(code, insn->length, at, &effect) && effect.kind == EFFECT_MOVE &&
	       effect.source == REGISTER_STACK_POINTER;
}

/* Behind the instruction. A number is put into a register by what writes to nothing else, and loads nothing. */
static void follow_arguments(const struct program *program, const uint8_t *code, uint64_t at, const struct insn *insn, struct arguments *arguments)
{
	const struct arch *arch = program->image->arch;

	for (unsigned int i = 0; i < arch->argument_count; i++) {
		uint64_t bit = UINT64_C(1) << arch->argument[i];

		if (leaves(insn) || insn->kind == INSN_RETURN || insn->clobbers & bit)
			arguments->known[i] = arguments->address[i] = false;
		if (insn->clobbers != bit)
			continue;
		arguments->address[i] = makes_address(program, code, at, insn);
		if (!arguments->address[i] && insn->immediate.size >= 4 && !insn->displacement.size) {
			arguments->known[i] = true;
			arguments->value[i] = insn_number(code, insn->immediate);
		}
	}
}

static void find_requests(const struct program *program, uint32_t function, struct requests *requests)
{
	const struct arch *arch = program->image->arch;
	const struct function *f = &program->functions.item[function];

	for (size_t part = 0; part < f->parts.count; part++) {
		const struct code_range *range = &program->ranges.item[f->parts.item[part]];
		const uint8_t *code = program_code(program, range);
		struct arguments arguments = { 0 };
		struct insn insn;

		for (uint64_t at = 0; at < range->span.end - range->span.start; at += insn.length) {
			if (!arch->decode(code + at, range->span.end - range->span.start - at, range->span.start + at, &insn))
				break;
			if (leaves(&insn))
				note_request(program, &insn, &arguments, requests);
			if (insn.fills)
				note_filled(arch, &insn, &arguments, requests);
			follow_arguments(program, code + at, range->span.start + at, &insn, &arguments);
		}
	}
}

static bool is_same_place(const struct request *one, const struct request *other)
{
	return one->argument == other->argument && !strcmp(one->callee, other->callee);
}

/* Take out of both what both have. */
static void cancel(struct requests *old, struct requests *new)
{
	for (size_t i = 0; i < old->count; i++)
		for (size_t k = 0; k < new->count; k++) {
			if (!is_same_place(&old->item[i], &new->item[k]) || old->item[i].size != new->item[k].size)
				continue;
			old->item[i--] = old->item[--old->count];
			new->item[k] = new->item[--new->count];
			break;
		}
}

/* Sizes that come, or go, are of other objects; one for another is the same object's. */
static char *compare_requests(const struct requests *old, const struct requests *new, const char *name)
{
	for (size_t i = 0; i < old->count; i++)
		for (size_t k = 0; k < new->count; k++)
			if (is_same_place(&old->item[i], &new->item[k]))
				return text_format("an object's size changed: %s tells %s 0x%" PRIx64 " bytes where it told it 0x%" PRIx64, name, new->item[k].callee,
						   new->item[k].size, old->item[i].size);
	return NULL;
}

static char *find_resized(const struct comparison *comparison, uint32_t old_function)
{
	struct requests old = { 0 }, new = { 0 };
	char *name, *what;

	find_requests(&comparison->old, old_function, &old);
	find_requests(&comparison->new, comparison->new_of[old_function], &new);
	cancel(&old, &new);
	name = old.count && new.count ? program_function_name(&comparison->old, old_function) : NULL;
	what = name ? compare_requests(&old, &new, name) : NULL;
	free(name);
	array_free(&old);
	array_free(&new);
	return what;
}

/* A number at a displacement. */
struct member {
	uint64_t displacement;
	uint8_t size;
	bool loaded, stored, known;	/* by new code; by old code, in either way */
	uint32_t function;
};

struct members {
	struct member *item;
	size_t count, room;
	size_t unknown;		/* so many are not known, when old code is looked at */
};

static int compare_members(const void *one, const void *other)
{
	const struct member *a = one, *b = other;

	if (a->displacement != b->displacement)
		return a->displacement < b->displacement ? -1 : 1;
	return (a->size > b->size) - (a->size < b->size);
}

/* In an image of fixed address it may be an address. */
static bool is_address(const struct program *program, const struct insn *insn)
{
	for (size_t i = 0; i < 2 && program->image->fixed_address; i++)
		if (insn->ref[i].kind == REF_ABSOLUTE && insn->ref[i].offset == insn->displacement.offset &&
		    image_section(program->image, insn->ref[i].target))
			return true;
	return false;
}

/* What the part's code does with numbers in memory is handed to the function. */
static void each_member(const struct program *program, const struct code_range *range, void (*take)(struct members *members, const struct member *member),
			struct members *members)
{
	const struct arch *arch = program->image->arch;
	const uint8_t *code = program_code(program, range);
	uint64_t size = range->span.end - range->span.start;
	struct insn insn;

	for (uint64_t at = 0; at < size; at += insn.length) {
		struct member member = { .function = range->function };

		if (!arch->decode(code + at, size - at, range->span.start + at, &insn))
			return;
		if (!insn.access || is_address(program, &insn))
			continue;
		member.displacement = insn_number(code + at, insn.displacement);
		member.size = insn.access;
		member.loaded = insn.loads;
		member.stored = insn.stores;
		/* (What is below a register is on the stack, or before an object.) */
		if ((int64_t)member.displacement > 0)
			take(members, &member);
	}
}

static void add_member(struct members *members, const struct member *member)
{
	*array_add(members) = *member;
}

static void mark_known(struct members *members, const struct member *member)
{
	struct member *found = members->count ? bsearch(member, members->item, members->count, sizeof(*member), compare_members) : NULL;

	if (found && !found->known) {
		found->known = true;
		members->unknown--;
	}
}

/* One of each, and only those that are both loaded and stored. */
static void merge(struct members *members)
{
	size_t kept = 0;

	if (members->count)
		qsort(members->item, members->count, sizeof(*members->item), compare_members);
	for (size_t i = 0, next; i < members->count; i = next) {
		struct member member = members->item[i];

		for (next = i + 1; next < members->count && compare_members(&member, &members->item[next]) == 0; next++) {
			member.loaded |= members->item[next].loaded;
			member.stored |= members->item[next].stored;
		}
		if (member.loaded && member.stored)
			members->item[kept++] = member;
	}
	members->count = members->unknown = kept;
}

/*
 * Per new function: may it see objects of the old build's? Those that it has a counterpart for, and what their code calls. (Not what only tables of new classes
 * lead to: that sees objects of these, all of which are new.)
 */
static bool *find_reached(const struct comparison *comparison, const bool *included)
{
	const struct program *new = &comparison->new;
	bool *reached = memory_zeroed(new->functions.count, sizeof(bool));

	for (size_t i = 0; i < new->ranges.count; i++) {
		const struct code_range *range = &new->ranges.item[i];

		if (range->function == NO_FUNCTION || !included[range->function])
			continue;
		reached[range->function] |= comparison->old_of[range->function] != NO_FUNCTION;
		for (uint32_t k = 0; k < range->ref_count; k++) {
			const struct code_ref *ref = &new->refs.item[range->first_ref + k];
			uint32_t callee = ref->kind == REF_BRANCH ? program_function(new, ref->target) : NO_FUNCTION;

			if (callee != NO_FUNCTION && callee != range->function)
				reached[callee] = true;
		}
	}
	return reached;
}

char *grown_member(const struct comparison *comparison, const bool *included)
{
	const struct program *old = &comparison->old, *new = &comparison->new;
	bool *reached = find_reached(comparison, included);
	struct members members = { 0 };
	char *what = NULL, *name;

	for (size_t i = 0; i < new->ranges.count; i++) {
		uint32_t function = new->ranges.item[i].function;

		if (function != NO_FUNCTION && included[function] && reached[function])
			each_member(new, &new->ranges.item[i], add_member, &members);
	}
	free(reached);
	merge(&members);
	for (size_t i = 0; i < old->ranges.count && members.unknown; i++)
		each_member(old, &old->ranges.item[i], mark_known, &members);
	for (size_t i = 0; i < members.count && members.unknown && !what; i++) {
		if (members.item[i].known)
			continue;
		name = program_function_name(new, members.item[i].function);
		what = text_format("a structure has a new member: new code loads and stores %u bytes at displacement 0x%" PRIx64
				   ", where no old code does (%s)", members.item[i].size, members.item[i].displacement, name);
		free(name);
	}
	array_free(&members);
	return what;
}

char *grown_object(const struct comparison *comparison, const bool *included)
{
	char *what = NULL;

	for (uint32_t f = 0; f < comparison->old.functions.count && !what; f++)
		if (comparison->changed[f] && included[comparison->new_of[f]])
			what = find_resized(comparison, f);
	return what;
}
