#include "cmd/progress_bar.h"

#include <stdio.h>
#include <unistd.h>

#define WIDTH 40
#define ERASE_LINE "\r\033[K"	/* ECMA-48: EL */

static void draw(const struct progress_bar *bar)
{
	static const char full[WIDTH + 1] = "########################################";
	int filled = (int)(bar->done * WIDTH / bar->all);

	if (!bar->shown)
		return;
	fprintf(stderr, ERASE_LINE "[%-*.*s] %zu/%zu %s", WIDTH, filled, full, bar->done, bar->all, bar->what);
	fflush(stderr);
}

void progress_bar_start(struct progress_bar *bar, const char *what, size_t all)
{
	*bar = (struct progress_bar){ .what = what, .all = all, .shown = all && isatty(STDERR_FILENO) };
	draw(bar);
}

void progress_bar_step(struct progress_bar *bar)
{
	size_t before = bar->done++;

	/* A terminal can be slower than the work. */
	if (bar->all && before * 200 / bar->all != bar->done * 200 / bar->all)
		draw(bar);
}

void progress_bar_end(struct progress_bar *bar)
{
	if (bar->shown)
		fputs(ERASE_LINE, stderr);
	bar->shown = false;
}
