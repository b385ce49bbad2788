/*
 * cmd.h: the subcommands, and what they share.
 *
 * Each is called with argv[0] set to "stent" (so that getopt's messages begin like all others) and
 * argv[1] the first word behind the subcommand's name. It prints what it has to say, errors
 * included, and returns the exit code (enum status).
 */
#ifndef STENT_CMD_CMD_H
#define STENT_CMD_CMD_H

#include <jansson.h>
#include <sys/types.h>

#include "base/error.h"

int cmd_diff(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_sign(int argc, char **argv);
int cmd_apply(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_revert(int argc, char **argv);
int cmd_stack(int argc, char **argv);
int cmd_upgrade(int argc, char **argv);

/* Print the lines of the error to stderr, each behind "stent: ", and clear it. Returns the status. */
int cmd_report(enum status status, struct error *error);

/* Report a wrong command line: the line, then where help is to be had ("stent show --help"). Returns
 * STATUS_ERROR. */
int cmd_misused(const char *command, const char *format, ...) printf_like(2, 3);

/* What getopt_long() has already complained of: adds where help is to be had. Returns STATUS_ERROR. */
int cmd_misused_option(const char *command);

/* Print it to stdout, and give the reference up. STATUS_ERROR: no memory for that (`object` may be NULL, which is the same). A failed write
 * is no error here: it stays in stdout's error flag, which main() looks at. */
enum status cmd_print_json(json_t *object, struct error *error) must_check;

/* Read a process id (decimal, 1 or larger). STATUS_ERROR when it is none. */
enum status cmd_parse_pid(const char *text, pid_t *pid, struct error *error) must_check;

#endif
