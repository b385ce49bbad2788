#include "process/slack.h"

#include <stdlib.h>

#define PAGE 4096ul

void slack_find(const struct maps *maps, const struct mapped_images *images, struct slack *slack)
{
	for (size_t i = 0; i < images->count; i++)
		for (size_t j = 0; j < images->item[i].code.count; j++) {
			uint64_t end = images->item[i].code.item[j].end;
			const struct mapping *mapping = maps_find(maps, end - 1);
			struct range rest = { (end + 7) & ~7ul, (end + PAGE - 1) & ~(PAGE - 1) };

			/* A shared mapping of a file can't be written to, and would change the file. */
			if (mapping && mapping->execute && !mapping->shared && !mapping->write &&
			    rest.end <= mapping->range.end && rest.start < rest.end)
				*array_add(slack) = rest;
		}
}
