/* An image of code that is no file: the slice of a patch in the memory of a process. */
#include <elf.h>
#include <stdlib.h>

#include "image/image.h"

static const uint8_t *bytes_at(const struct image *image, uint64_t address)
{
	return image->file + (address - image->span.start);
}

static bool inside(struct range outer, struct range inner)
{
	return inner.start >= outer.start && inner.start <= inner.end && inner.end <= outer.end;
}

void image_assemble(const char *name, const struct arch *arch, struct range span, uint8_t *bytes,
		    const struct image_part *parts, size_t count, struct range eh_frame, struct image *image)
{
	*image = (struct image){
		.name = text_copy(name),
		.arch = arch,
		.fixed_address = true,
		.span = span,
		.file = bytes,
		.file_size = span.end - span.start,
	};
	for (size_t i = 0; i < count; i++) {
		const struct image_part *part = &parts[i];

		if (!inside(span, part->span) || part->span.start == part->span.end)
			continue;
		*array_add(&image->segments) = (struct segment){
			.span = part->span,
			.file_size = part->span.end - part->span.start,
			.data = bytes_at(image, part->span.start),
			.flags = PF_R | (part->execute ? PF_X : 0) | (part->write ? PF_W : 0),
		};
		*array_add(&image->sections) = (struct section){
			.name = part->execute ? ".text" : ".data",
			.span = part->span,
			.data = bytes_at(image, part->span.start),
			.execute = part->execute,
			.write = part->write,
		};
	}
	if (inside(span, eh_frame) && eh_frame.start < eh_frame.end)
		image->eh_frame = (struct eh_frame){ bytes_at(image, eh_frame.start), eh_frame.end - eh_frame.start, eh_frame.start };
}
