/* slack.h: unused bytes of executable pages, behind the end of an image's code. */
#ifndef STENT_PROCESS_SLACK_H
#define STENT_PROCESS_SLACK_H

#include "process/image.h"
#include "process/maps.h"

struct slack {
	struct range *item;
	size_t count, room;
};

/* From the end of each executable segment to the end of its page, where the process may have private copies. Free
 * with array_free(). */
void slack_find(const struct maps *maps, const struct mapped_images *images, struct slack *slack);

#endif
