#include "program/handlers.h"

#include <stdlib.h>

const char *handlers_read(const struct program *program, const struct code_range *range, struct handlers *handlers)
{
	const struct image *image = program->image;
	const char *why = NULL;
	struct eh_fde fde;

	*handlers = (struct handlers){ 0 };
	if (!range->handlers)
		return NULL;
	if (!eh_frame_at(&image->eh_frame, range->fde, &fde))
		return "its unwind tables can't be read";
	if (fde.cie.has_personality) {
		if (!fde.cie.personality)
			return "its personality routine is encoded in a way that is not known";
		*array_add(&handlers->refs) = (struct handler_ref){ image->eh_frame.address + fde.cie.personality_at, fde.cie.personality,
								    fde.cie.personality_encoding };
	}
	if (!fde.lsda)
		return NULL;
	handlers->entry = (struct handler_ref){ image->eh_frame.address + fde.lsda_at, fde.lsda, fde.cie.lsda_encoding };
	why = lsda_read(image, fde.lsda, range->span.start, &handlers->area);
	for (size_t i = 0; i < handlers->area.types.count && !why; i++) {
		const struct lsda_type *type = &handlers->area.types.item[i];

		*array_add(&handlers->refs) = (struct handler_ref){ type->where, type->target, handlers->area.type_encoding };
	}
	return why;
}

void handlers_free(struct handlers *handlers)
{
	lsda_free(&handlers->area);
	array_free(&handlers->refs);
}
