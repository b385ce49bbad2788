/*
 * main.c: the table of subcommands.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "cmd/cmd.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *description;
} commands[] = {
	{ "diff", cmd_diff, "compare two builds of a program or library and write a patch" },
	{ "show", cmd_show, "say what a patch changes, per function, and why" },
	{ "check", cmd_check, "compare a program's unwind data with its instructions" },
	{ "sign", cmd_sign, "sign a patch, for machines that take only signed ones" },
	{ "apply", cmd_apply, "put a patch into a running process, or all that it is for" },
	{ "status", cmd_status, "list the patches that are in all processes, or in one" },
	{ "revert", cmd_revert, "take a patch out of a running process, or all that hold it" },
	{ "upgrade", cmd_upgrade, "bring every process to the builds that are on disk now" },
	{ "stack", cmd_stack, "print the stacks of a process, and how far each can be trusted" },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_usage(FILE *out)
{
	fputs("Usage: stent COMMAND [OPTION...] [ARGUMENT...]\n"
	      "Puts a fix into a running process, without a restart.\n\n"
	      "Commands:\n", out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].description);
	fputs("\n"
	      "  stent COMMAND --help says more about each.\n"
	      "  stent --help prints this text, stent --version the version.\n\n"
	      "Exit codes:\n"
	      "  0  done\n"
	      "  1  error: wrong arguments, bad input, or the system said no\n"
	      "  2  refused: not safe; nothing was changed, and the reasons were printed\n"
	      "  3  there was nothing to do\n"
	      "  4  gave up waiting and rolled back\n", out);
}

/* Output that could not be written (a full disk) is an error, even when all else went well. */
static int finish(int status)
{
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "stent: cannot write the output: %s\n", strerror(errno));
		return status ? status : STATUS_ERROR;
	}
	return status;
}

/* A breakpoint for each of many threads takes a descriptor each. */
static void allow_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char **argv)
{
	static char program[] = "stent";

	allow_descriptors();
	if (argc < 2) {
		print_usage(stderr);
		return STATUS_ERROR;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_usage(stdout);
		return finish(STATUS_OK);
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("stent " STENT_VERSION);
		return finish(STATUS_OK);
	}
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		argv[1] = program;
		return finish(commands[i].run(argc - 1, argv + 1));
	}
	fprintf(stderr, "stent: '%s' is not a command\nstent: try 'stent --help'\n", argv[1]);
	return STATUS_ERROR;
}
