/* grown.h: signs that objects of the new build have members that those which live in the process don't have. */
#ifndef STENT_DIFF_GROWN_H
#define STENT_DIFF_GROWN_H

#include "diff/comparison.h"

/* Of functions that changed, and whose new code the slice has (`included`, per new function): where one tells an allocator another size than it did.
 * A sentence about the first, or NULL; free() it. */
char *grown_object(const struct comparison *comparison, const bool *included) must_check;

/* Of the new functions that the slice has: the first member that only they know. As above. */
char *grown_member(const struct comparison *comparison, const bool *included) must_check;

#endif
