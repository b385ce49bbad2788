/* imports.h: find the symbols of other images that a patch refers to, as the dynamic linker would have. */
#ifndef STENT_LIVE_IMPORTS_H
#define STENT_LIVE_IMPORTS_H

#include "live/survey.h"

/*
 * The run-time address of each of the patch's imports, in their order; free() *values in any case. `target`: the image that the patch is
 * for. STATUS_REFUSED, with the reason, where it is not certain which address the dynamic linker would have found.
 */
enum status imports_find(const struct survey *survey, const struct patch *patch, const struct mapped_image *target, uint64_t **values,
			 struct error *error) must_check;

#endif
