/* objects.c: which variable or table an address lies in, by the symbols; and names that not every build has. */
#include "image/objects.h"

#include <elf.h>
#include <stdlib.h>

#include "base/search.h"

/* By address; of several names of one place the first of the symbol table's. */
static int compare_objects(const void *one, const void *other)
{
	const struct object *a = one, *b = other;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return (a->symbol > b->symbol) - (a->symbol < b->symbol);
}

void objects_find(struct image *image)
{
	uint64_t reach = 0;

	image->objects.count = 0;
	for (size_t i = 0; i < image->symbols.count; i++) {
		const struct symbol *symbol = &image->symbols.item[i];

		if (symbol->defined && symbol->type == STT_OBJECT && symbol->size && symbol->value + symbol->size > symbol->value)
			*array_add(&image->objects) = (struct object){ symbol->value, symbol->value + symbol->size, (uint32_t)i };
	}
	if (image->objects.count)
		qsort(image->objects.item, image->objects.count, sizeof(*image->objects.item), compare_objects);
	for (size_t i = 0; i < image->objects.count; i++) {
		struct object *object = &image->objects.item[i];

		reach = object->reach > reach ? object->reach : reach;
		object->reach = reach;
	}
}

const struct symbol *image_object(const struct image *image, uint64_t address)
{
	const struct symbol *found = NULL;

	for (size_t i = array_search(&image->objects, start, address + 1); i-- > 0 && image->objects.item[i].reach > address;) {
		const struct symbol *symbol = &image->symbols.item[image->objects.item[i].symbol];

		if (found && found->value != symbol->value)
			break;
		if (address - symbol->value < symbol->size)
			found = symbol;
	}
	return found;
}

size_t image_object_names(const struct image *image, const struct symbol *object, const struct object **names)
{
	size_t first = array_search(&image->objects, start, object->value), end = array_search(&image->objects, start, object->value + 1);

	*names = image->objects.item + first;
	return end - first;
}

bool image_has_names(const struct image *image)
{
	for (size_t i = 0; i < image->symbols.count; i++)
		if (!image->symbols.item[i].dynamic)
			return true;
	return false;
}

void image_drop_names(struct image *image)
{
	size_t kept = 0;

	for (size_t i = 0; i < image->symbols.count; i++)
		if (image->symbols.item[i].dynamic)
			image->symbols.item[kept++] = image->symbols.item[i];
	image->symbols.count = kept;
	objects_find(image);
}
