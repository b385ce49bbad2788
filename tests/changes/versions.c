/* Texts in variables, by themselves and pointed to, that say the version: the process goes on saying its own. */
#include "host.h"

#if V == 1
#define NAME "2.6.12-1+deb12u3"
#define DATE "2025/10/03"
#else
#define NAME "2.6.12-1+deb12u4"
#define DATE "2026/10/17"
#endif

static char date[] = DATE;
static char name[] = NAME;
static char released[] = "version " NAME ", released " DATE;
static const char *says = "host/" NAME ",\nand a line more";

static const struct plugin {
	const char *version;
	long number;
	const char *package;
} plugin = { NAME, 7, "host " NAME };

/* Who loads it keeps it. */
static const struct plugin *loaded;

static APART const struct plugin *entry(void)
{
	return &plugin;
}

/* They may change, as far as the compiler knows. */
static APART long change(long n)
{
	if (n == 1000) {
		date[0] = name[0] = released[0] = '0';
		says = "nothing";
	}
	return n * V;
}

static APART long lengths(void)
{
	return (long)(strlen(date) + strlen(name) + strlen(released) + strlen(says));
}

static APART long is_the_same(void)
{
	if (!loaded)
		loaded = entry();
	return loaded == entry() && loaded->number == 7;
}

static long answer(long n)
{
	return change(n) + lengths() + is_the_same();
}
