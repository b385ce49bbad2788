/*
 * classes.c: classes of C++, as far as objects that live in the process depend on them.
 *
 * An object points to its class's table of virtual functions, which is the old build's, and code calls by the position in it. So a class that
 * is in both builds must have the same functions at the same positions. Code refers to some part of a table only and computes where the others are,
 * so comparing what is referred to is not enough.
 *
 * Layout of tables and types: Itanium C++ ABI, 2.5.2 and 2.9.5. Each part of a table begins with a distance, and a pointer to the
 * type; what follows are the functions. A type begins with a pointer to the table of its own class, which is one of the C++ library's, and a
 * pointer to its name. Code that was built without types (-fno-rtti) has nothing by which its tables can be told.
 */
#include <stdlib.h>
#include <string.h>

#include "diff/slicing.h"

#define RECORD_MAX 1024u	/* bytes; most tables and types are shorter */

static bool begins_with(const char *text, const char *start)
{
	return text && strncmp(text, start, strlen(start)) == 0;
}

static bool in_constants(const struct program *program, uint64_t address)
{
	const struct section *section = image_section(program->image, address);

	return section && section_is_constant(section);
}

/* The text that the pointer leads to, or NULL. */
static const char *text_behind(const struct program *program, const struct data_ref *ref)
{
	return ref && ref->target ? text_at(program->image, ref->target) : NULL;
}

/*
 * If it is a pointer to the functions of one of the C++ library's classes of types: a text that says which, else NULL. (The library may be linked in; and
 * a program of fixed address has a copy of the library's table.)
 */
static const char *kind_of_type(const struct program *program, const struct data_ref *ref)
{
	const struct relocation *copy = ref && ref->target ? image_relocation(program->image, ref->target - 16) : NULL;
	const struct data_ref *type = ref && ref->target ? program_data_ref(program, ref->target - 8) : NULL;
	const char *symbol = ref && ref->symbol ? ref->symbol : copy ? copy->symbol : NULL;
	const char *name = type && type->target ? text_behind(program, program_data_ref(program, type->target + 8)) : NULL;

	if (begins_with(symbol, "_ZTVN10__cxxabiv1"))
		return symbol;
	return begins_with(name, "N10__cxxabiv1") ? name : NULL;
}

/* Name of the type at the address, or NULL: it is none. */
static const char *type_name(const struct program *program, uint64_t address)
{
	if (!in_constants(program, address) || !kind_of_type(program, program_data_ref(program, address)))
		return NULL;
	return text_behind(program, program_data_ref(program, address + 8));
}

static bool is_function(const struct program *program, const struct data_ref *ref)
{
	if (!ref)
		return false;
	if (ref->target)
		return program_function(program, ref->target) != NO_FUNCTION;
	return ref->symbol && ref->kind == RELOC_ADDRESS && !begins_with(ref->symbol, "_ZTV") && !begins_with(ref->symbol, "_ZTI");
}

/* The distance to the start of the object, which is never behind the part that the table is of. In a type, where a pointer to a base
 * type may come before something else's functions, a pointer or a positive number stands there. */
static bool is_distance(const struct program *program, uint64_t address)
{
	const uint8_t *bytes = image_bytes(program->image, address, 8);

	return bytes && (int64_t)load64(bytes) <= 0 && !program_data_ref(program, address);
}

const char *class_of_table(const struct program *program, uint64_t address)
{
	bool can_be = is_function(program, program_data_ref(program, address)) && is_distance(program, address - 16);
	const struct data_ref *ref = can_be ? program_data_ref(program, address - 8) : NULL;
	const char *name = ref && ref->target ? type_name(program, ref->target) : NULL;

	return name || !ref || !begins_with(ref->symbol, "_ZTI") ? name : ref->symbol + strlen("_ZTI");
}

const char *class_around(const struct program *program, uint64_t where)
{
	while (is_function(program, program_data_ref(program, where - 8)))
		where -= 8;
	return class_of_table(program, where);
}

/* Bytes of a type: its own class says how many bases are listed behind its name (ABI 2.9.5). 0: unknown. */
static uint64_t type_size(const struct program *program, uint64_t type)
{
	const char *kind = kind_of_type(program, program_data_ref(program, type));
	const uint8_t *bases = image_bytes(program->image, type + 20, 4);

	if (strstr(kind, "__vmi_class_type_info"))
		return bases ? 24 + UINT64_C(16) * load32(bases) : 0;
	return strstr(kind, "__si_class_type_info") ? 24 : 16;
}

uint64_t class_record_size(const struct program *program, uint64_t address)
{
	uint64_t end = address;

	if (type_name(program, address))
		return type_size(program, address);
	while (class_of_table(program, address) && is_function(program, program_data_ref(program, end)))
		end += 8;
	return end - address;
}

/* By name; types before tables. */
static int compare_records(const void *one, const void *other)
{
	const struct class_record *a = one, *b = other;
	int order = strcmp(a->name, b->name);

	if (!order)
		order = a->table - b->table;
	return order ? order : (a->where > b->where) - (a->where < b->where);
}

static uint64_t distance_at(const struct program *program, uint64_t table)
{
	const uint8_t *bytes = image_bytes(program->image, table - 16, 8);

	return bytes ? load64(bytes) : UINT64_MAX;
}

/* The type, or the part of a table, that begins at the address. */
static struct class_record record_at(const struct program *program, uint64_t address)
{
	struct class_record record = { .where = address };

	if (!in_constants(program, address))
		return record;
	record.name = type_name(program, address);
	if (record.name)
		return record;
	record.name = class_of_table(program, address);
	record.table = record.name != NULL;
	record.distance = record.table ? distance_at(program, address) : 0;
	return record;
}

void classes_find(const struct program *program, struct class_records *records)
{
	for (size_t i = 0; i < program->data_refs.count; i++) {
		uint64_t where = program->data_refs.item[i].where;
		struct class_record record = record_at(program, where);

		if (record.name)
			*array_add(records) = record;
	}
	if (records->count)
		qsort(records->item, records->count, sizeof(*records->item), compare_records);
}

/* First record for that class: its index; behind the last when there is none. */
static size_t first_record(const struct class_records *records, const char *name)
{
	size_t low = 0, high = records->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(records->item[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < records->count && !strcmp(records->item[low].name, name) ? low : records->count;
}

/* The first part of the class's table: its index; behind the last record when there is none. */
static size_t first_part(const struct class_records *records, const char *name)
{
	size_t i = first_record(records, name);

	while (i < records->count && !strcmp(records->item[i].name, name) && !records->item[i].table)
		i++;
	return i < records->count && !strcmp(records->item[i].name, name) ? i : records->count;
}

/* How many records of the same class and kind follow, with the first one. */
static size_t count_class(const struct class_records *records, size_t first)
{
	size_t end = first + 1;

	while (end < records->count && !strcmp(records->item[end].name, records->item[first].name) &&
	       records->item[end].table == records->item[first].table)
		end++;
	return end - first;
}

/*
 * Does another record end where this one begins, or does its section begin there? Then its address is not that of the end of an array. (What is in front of
 * a part of a table is more of that table.)
 */
static bool is_plain_start(const struct program *program, const struct class_record *record)
{
	uint64_t start = image_section(program->image, record->where)->span.start;

	for (uint64_t at = record->where - 8; !record->table && at >= start && record->where - at <= RECORD_MAX; at -= 8) {
		struct class_record before = record_at(program, at);

		if (before.name)
			return at + class_record_size(program, at) == record->where;
	}
	return record->table || start == record->where;
}

/* Word by word: the same numbers, and pointers to the same. */
static bool same_words(struct comparison *comparison, struct range old, struct range new)
{
	if (old.end - old.start != new.end - new.start)
		return false;
	for (uint64_t at = 0; at < old.end - old.start; at += 8) {
		const struct data_ref *a = program_data_ref(&comparison->old, old.start + at), *b = program_data_ref(&comparison->new, new.start + at);
		const uint8_t *x = image_bytes(comparison->old.image, old.start + at, 8), *y = image_bytes(comparison->new.image, new.start + at, 8);

		if (!a != !b || (a ? pointers_compare(comparison, a, b) != SAME : !x || !y || memcmp(x, y, 8) != 0))
			return false;
	}
	return true;
}

static bool same_record(struct comparison *comparison, const struct class_record *old, const struct class_record *new)
{
	uint64_t back = new->table ? 16 : 0;

	return same_words(comparison, (struct range){ old->where - back, old->where + class_record_size(&comparison->old, old->where) },
			  (struct range){ new->where - back, new->where + class_record_size(&comparison->new, new->where) });
}

const struct class_record *classes_counterpart(const struct class_records *records, const struct class_record *record)
{
	const struct class_record *found = NULL;

	for (size_t i = first_record(records, record->name); i < records->count && !strcmp(records->item[i].name, record->name); i++) {
		const struct class_record *old = &records->item[i];

		if (old->table != record->table || old->distance != record->distance)
			continue;
		if (found)
			return NULL;
		found = old;
	}
	return found;
}

bool classes_find_old(struct slicing *slicing, uint64_t address, uint64_t *old_address)
{
	struct comparison *comparison = slicing->comparison;
	struct class_record record = record_at(&comparison->new, address);
	bool known = record.name && is_plain_start(&comparison->new, &record);
	const struct class_record *old = known ? classes_counterpart(&comparison->old_classes, &record) : NULL;

	if (!old || !same_record(comparison, old, &record))
		return false;
	*old_address = old->where;
	return true;
}

const struct class_record *classes_find_new(struct slicing *slicing, uint64_t address, size_t *count)
{
	const struct comparison *comparison = slicing->comparison;
	const struct class_records *records = &comparison->new_classes;
	struct class_record record = record_at(&comparison->new, address);
	size_t first;

	/* (At a fixed address, which numbers in code are addresses of its parts is not known for certain.) */
	if (!record.name || comparison->new.image->fixed_address || !is_plain_start(&comparison->new, &record) ||
	    first_record(&comparison->old_classes, record.name) < comparison->old_classes.count)
		return NULL;
	first = record.table ? first_part(records, record.name) : first_record(records, record.name);
	*count = count_class(records, first);
	for (size_t i = 0; i < *count; i++)
		if (!class_record_size(&comparison->new, records->item[first + i].where))
			return NULL;
	return &records->item[first];
}

static bool same_part(struct comparison *comparison, const struct class_record *a, const struct class_record *b)
{
	uint64_t size = class_record_size(&comparison->old, a->where);

	if (size != class_record_size(&comparison->new, b->where) || a->distance != b->distance)
		return false;
	for (uint64_t at = 0; at < size; at += 8)
		if (pointers_compare(comparison, program_data_ref(&comparison->old, a->where + at), program_data_ref(&comparison->new, b->where + at)))
			return false;
	return true;
}

static void check_class(struct slicing *slicing, const struct class_record *old, size_t old_count, const struct class_record *new, size_t new_count)
{
	bool same = old_count == new_count;

	for (size_t i = 0; i < old_count && same; i++)
		same = same_part(slicing->comparison, &old[i], &new[i]);
	if (!same)
		slicing->status = refuse(slicing->error, "%s: the table of virtual functions of class %s changed, and objects that live in the process have the old one",
					 slicing->patch->image, old->name);
}

void classes_check(struct slicing *slicing)
{
	const struct class_records *old = &slicing->comparison->old_classes, *new = &slicing->comparison->new_classes;

	for (size_t i = 0, count; i < old->count; i += count) {
		size_t k = old->item[i].table ? first_part(new, old->item[i].name) : new->count;

		count = count_class(old, i);
		if (k < new->count)
			check_class(slicing, &old->item[i], count, &new->item[k], count_class(new, k));
	}
}
