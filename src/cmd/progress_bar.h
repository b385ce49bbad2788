/* progress_bar.h: how far something has come, on stderr, if that is a terminal. */
#ifndef STENT_CMD_PROGRESS_BAR_H
#define STENT_CMD_PROGRESS_BAR_H

#include <stdbool.h>
#include <stddef.h>

struct progress_bar {
	const char *what;	/* not owned */
	size_t done, all;
	bool shown;
};

/* `all`: steps; 0: nothing is shown. */
void progress_bar_start(struct progress_bar *bar, const char *what, size_t all);
void progress_bar_step(struct progress_bar *bar);

/* Take it from the screen. */
void progress_bar_end(struct progress_bar *bar);

#endif
