/*
 * A list of mappings as a hostile process may make it (it chooses names), and as nobody makes it. What is accepted is sorted, and each address is
 * found in the one mapping that holds it.
 */
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "process/maps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = memory_resize(NULL, size + 1, 1);
	struct maps maps = { 0 };
	uint64_t end = 0;

	memcpy(text, data, size);
	text[size] = '\0';
	if (maps_parse(text, &maps)) {
		for (size_t i = 0; i < maps.count; i++) {
			const struct mapping *mapping = &maps.item[i];

			expect(mapping->range.start >= end && mapping->range.start < mapping->range.end, "mappings are out of order");
			expect(end == mapping->range.start || !maps_find(&maps, end), "an address between mappings is found");
			end = mapping->range.end;
			expect(maps_find(&maps, mapping->range.start) == mapping && maps_find(&maps, end - 1) == mapping, "a mapping is not found");
			expect(strlen(mapping->name) <= size && !strchr(mapping->name, '\n'), "a name is longer than its line");
			expect(!mapping_special(mapping, "[stack]") || !mapping->inode, "a file is taken for the stack");
		}
	}
	maps_free(&maps);
	return 0;
}
