/*
 * debug.h: what debug information knows of an image: names that the image itself was stripped of, and whose code was inlined where.
 *
 * Looked for in the image (.symtab, DWARF, .gnu_debugdata), then by build-id under /usr/lib/debug, then, only when
 * $DEBUGINFOD_URLS is set, on those servers. All of that is libdwfl's work. What it says goes to people, and pairs functions by
 * name; that a function did not change is never concluded from it.
 */
#ifndef STENT_IMAGE_DEBUG_H
#define STENT_IMAGE_DEBUG_H

#include <stdint.h>

struct image;
struct debug;

/*
 * Look for it, and add the names that the image's own symbol table does not have to image->symbols. The image then owns what was
 * found, until image_close(). Finding nothing is no error. To be called once, before the image is analysed.
 */
void image_add_debug(struct image *image);

/* Name of the innermost function that was inlined at the address, valid until image_close(). NULL: none was, or nobody knows. */
const char *image_inlined(const struct image *image, uint64_t address);

/* For image_close(). Takes NULL. */
void debug_free(struct debug *debug);

#endif
