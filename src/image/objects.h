/* objects.h: the symbols of variables and tables, by address. image_object() (image.h) asks them. */
#ifndef STENT_IMAGE_OBJECTS_H
#define STENT_IMAGE_OBJECTS_H

#include "image/image.h"

/* Fill image->objects from image->symbols; again when there are more of these. */
void objects_find(struct image *image);

#endif
